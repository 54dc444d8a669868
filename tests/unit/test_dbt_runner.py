"""A merge that BigQuery aborts is tried again. No emulator aborts one."""

import datetime as dt
import io
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from rich.console import Console

from loader.building.runner import DbtRunner
from loader.building.worker import BuildResult, NodeResult
from loader.errors import WarehouseError
from loader.settings import Settings
from loader.terminal.progress import Reporter
from loader.warehouse.versions import FileVersion

MODEL = "model.nyc_tlc.green_tripdata"
SAID = "Transaction is aborted due to concurrent update against table p:tlc.file_ledger"
ABORTED = BuildResult(False, [NodeResult(MODEL, "error", None, SAID, "")], [])
REFUSED = BuildResult(False, [NodeResult(MODEL, "error", None, "Syntax error", "")], [])
MERGED = BuildResult(True, [NodeResult(MODEL, "success", None, None, "")], [])


@pytest.fixture
def runner(tmp_path, monkeypatch) -> Iterator[DbtRunner]:
    monkeypatch.setattr("loader.building.runner._ABORTED_MAX_SECONDS", 0)
    made = DbtRunner(Settings("bigquery", "", tmp_path, ""), lambda *_: None)
    yield made
    made.close()


def build(runner: DbtRunner, monkeypatch, answers: list[BuildResult]) -> int:
    """Build with these answers of dbt; return how many of them are left."""
    monkeypatch.setattr(runner, "_build", lambda *asked: answers.pop(0))
    row = {"dataset": "green", "file_month": dt.date(2023, 1, 1), "file_rows": 1}
    reporter = Reporter(Console(file=io.StringIO()))
    runner.build(SimpleNamespace(), [FileVersion.of_row(row)], reporter)
    return len(answers)


def test_an_aborted_merge_is_tried_again(runner, monkeypatch):
    assert build(runner, monkeypatch, [ABORTED, ABORTED, MERGED, MERGED]) == 1


@pytest.mark.parametrize(("answer", "times", "message"), [(ABORTED, 4, SAID), (REFUSED, 1, "Synt")])
def test_what_stays_or_is_another_failure_is_told(runner, monkeypatch, answer, times, message):
    answers = [answer] * 9
    with pytest.raises(WarehouseError, match=message):
        build(runner, monkeypatch, answers)
    assert len(answers) == 9 - times


DENIED = """Database Error{}
  permission denied for schema t_tlc
  LINE 1: select count(*) from "t_tlc"."file_ledger"
                               ^"""


def test_a_failure_is_told_with_its_reason_and_without_a_pointer(runner, monkeypatch):
    of_model = NodeResult(MODEL, "error", None, DENIED.format(" in model green_tripdata"), "")
    hint = "\n  HINT:  Grant it."
    for answer, told in (
        (BuildResult(False, [], [DENIED.format("") + hint]), "permission denied for schema t_tlc;"),
        (BuildResult(False, [of_model], []), "green_tripdata: permission denied for schema t_tlc;"),
    ):
        with pytest.raises(WarehouseError) as error:
            build(runner, monkeypatch, [answer])
        assert f"dbt build failed: {told} " in str(error.value)
