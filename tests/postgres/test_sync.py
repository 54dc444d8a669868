"""`sync`: what a schedule calls. A simulated year of it: test_monthly_workflow.py."""

import json

import pytest

from tests import forks
from tests.cdn import cdn
from tests.conftest import succeeded
from tests.months import of
from tests.postgres.test_cli import in_process, one_line, small_month
from tests.postgres.test_interrupts import Command

__all__ = ["cdn", "in_process"]


def test_nothing_published_is_nothing_new(in_process, workspace):
    options = ("--dataset", "green", "--source", workspace.source)
    code, stdout, stderr = in_process("sync", *options, TLC_TODAY="2024-03-10")
    assert (code, stderr) == (0, "")
    assert stdout == "nothing new: 13 months looked at, 13 not yet published\n"
    code, stdout, _ = in_process("sync", *options, "--json", TLC_TODAY="2024-03-10")
    assert (code, json.loads(stdout)) == (0, [])


def test_all_datasets_are_looked_at_and_the_window_may_be_given(in_process, workspace):
    options = ("--since", "2023-11", "--to", "2024-01", "--source", workspace.source)
    code, stdout, _ = in_process("sync", *options, TLC_TODAY="2024-03-10")
    assert (code, stdout) == (0, "nothing new: 12 months looked at, 12 not yet published\n")


def test_the_first_sync_of_all_datasets_says_how_large_it_is(in_process, workspace):
    (workspace.source / "green_tripdata_2023-12.parquet").write_bytes(b"-" * 22_000_000)
    options = ("--since", "2023-11", "--to", "2024-01", "--source", workspace.source)
    for dataset in ((), ("--dataset", "green")):
        _, _, stderr = in_process("sync", *options, *dataset, TLC_TODAY="2024-03-10")
        assert ("this loads fhv, fhvhv, green, yellow: 1 file, 0.02 GB, about" in stderr) is (
            not dataset
        )


def test_a_blocked_source_is_told_as_such_and_not_asked_on(in_process, cdn, tmp_path):
    small_month(cdn.folder)
    cdn.forbid_all = True
    options = ("--dataset", "green", "--source", cdn.url, "--summary", tmp_path / "summary.md")
    code, stdout, stderr = in_process("sync", *options, TLC_TODAY="2023-03-10")
    assert (code, stdout) == (4, "")
    assert "blocked or throttled" in one_line(stderr)
    assert "not published" not in stderr
    # The first month and the reference, three times.
    assert len(cdn.requests) <= 6
    assert "blocked or throttled" in (tmp_path / "summary.md").read_text()


def test_a_month_that_fails_stops_no_other_and_force_does_all_anew(workspace, tmp_path):
    for month in ("2023-01", "2023-03"):
        small_month(workspace.source, month)
    (workspace.source / "green_tripdata_2023-02.parquet").write_bytes(b"no Parquet")
    options = ("--dataset", "green", "--source", workspace.source)
    summary = tmp_path / "summary.md"
    process = workspace.loader("sync", *options, "--summary", summary, TLC_TODAY="2023-05-10")
    assert process.returncode == 5
    assert "1 of 3 months failed" in one_line(process.stderr.replace("error: green", "green"))
    merged = f"select file_month::text, count(*) from {workspace.tlc}.green_tripdata group by 1"
    assert sorted(workspace.query(merged)) == [("2023-01-01", 50), ("2023-03-01", 50)]
    lines = summary.read_text().splitlines()
    told = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines[2:-5]]
    assert told[:8] == [[f"green 2022-{number:02}", "skipped"] for number in range(5, 13)]
    assert told[8:] == [
        *(["green 2023-01", "merged"], ["green 2023-02", "**failed**"]),
        *(["green 2023-03", "merged"], ["green 2023-04", "skipped"], ["green 2023-05", "skipped"]),
    ]

    assert lines[-4].startswith("2 of 3 months, 100 rows, ")
    assert lines[-2] == "To look at them: `nyc-tlc report --month 2023-01 --to 2023-03`"

    (workspace.source / "green_tripdata_2023-02.parquet").unlink()
    process = workspace.loader("sync", *options, "--json", TLC_TODAY="2023-05-10")
    assert json.loads(succeeded(process).stdout) == []
    # Rows that somebody deleted by hand come back, though no file has changed.
    workspace.query(f"delete from {workspace.tlc}.green_tripdata where file_row < 40")
    process = workspace.loader("sync", *options, "--force", "--json", TLC_TODAY="2023-05-10")
    done = json.loads(succeeded(process).stdout)
    assert [(one["month"], one["rows"]) for one in done] == [("2023-01", 50), ("2023-03", 50)]
    assert sorted(workspace.query(merged)) == [("2023-01-01", 50), ("2023-03-01", 50)]


@pytest.mark.empty_warehouse
def test_builds_on_one_warehouse_take_turns(workspace):
    small_month(workspace.source)
    connection = workspace.connect()
    with connection.cursor() as cursor:
        key = f"nyc_tlc {workspace.tlc} build"
        cursor.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
        options = (*of("green", "2023-01"), "--source", workspace.source)
        command = Command(workspace, "run", *options, python=forks.python())
        said = command.wait_for("waiting").splitlines()
        assert said[-1] == "waiting for another run's dbt build in this warehouse to end"
        cursor.execute("select to_regclass(%s)", (f"{workspace.tlc}.green_tripdata",))
        assert cursor.fetchone() == (None,)
    connection.close()
    code, stdout, _ = command.ended(120)
    assert (code, "merged" in stdout) == (0, True)
