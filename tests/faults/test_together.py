"""Commands at once on one warehouse: nothing is lost or doubled; who can't go on waits, or ends."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from loader.calendar import file_name, parse_month
from loader.settings import PROJECT_DIR
from tests import forks
from tests.conftest import Workspace, publish, succeeded
from tests.exact import assert_same, expected, landed, stored

pytestmark = pytest.mark.empty_warehouse

DBT_BUILD = (
    *("-m", "dbt.cli.main", "--no-use-colors", "build"),
    *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)),
)


@dataclass(frozen=True)
class Outcome:
    code: int
    said: str


def machines(workspace: Workspace, count: int) -> list[Workspace]:
    """Give surroundings of their own, as of several machines, on one warehouse and source."""
    made = []
    for number in range(count):
        folder = workspace.local_dir / f"machine{number}"
        folder.mkdir()
        env = workspace.env | {
            "TLC_LOCAL_DIR": str(folder),
            "TLC_SOURCE": str(workspace.source),
            "DBT_TARGET_PATH": str(folder / "dbt"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }
        made.append(replace(workspace, env=env, local_dir=folder))
    return made


def together(commands: Sequence[tuple[Workspace, Sequence[str]]]) -> list[Outcome]:
    """Start commands at the same moment, and wait for all of them."""
    with ExitStack() as stack:
        for workspace, arguments in commands:
            stack.enter_context(workspace.parsed(arguments))
        processes = [
            subprocess.Popen(
                [forks.python(), *arguments],
                cwd=PROJECT_DIR,
                env=workspace.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for workspace, arguments in commands
        ]
        said = [process.communicate(timeout=300)[0] for process in processes]
    return [Outcome(p.returncode, text) for p, text in zip(processes, said, strict=True)]


def run(dataset: str, month: str) -> tuple[str, ...]:
    return ("-m", "loader", "run", "--dataset", dataset, "--month", month)


@contextmanager
def open_transaction(workspace: Workspace, sql: str) -> Iterator[None]:
    """Have somebody else run a statement, and not commit."""
    with closing(workspace.connect()) as connection:
        connection.autocommit = False
        connection.cursor().execute(sql)
        yield


def file_of(workspace: Workspace, dataset: str, month: str) -> Path:
    return workspace.source / file_name(dataset, parse_month(month))


MONTHS = [("green", "2023-01"), ("green", "2023-02"), ("yellow", "2023-01"), ("yellow", "2023-02")]


@pytest.fixture(scope="module")
def crowd(new_workspace) -> dict:
    """Four months at once from four machines, into a warehouse with nothing in it.

    Then again, published anew, while a fifth builds all that is landed.
    """
    workspace = new_workspace(built=False)
    *four, fifth = machines(workspace, 5)
    for key in MONTHS:
        publish(workspace.source, *key, 2_000)
    runs = [(machine, run(*key)) for machine, key in zip(four, MONTHS, strict=True)]
    told = {"workspace": workspace, "first": together(runs)}
    told["tables"] = {key: stored(workspace, *key) for key in MONTHS}
    told["files"] = {key: expected(file_of(workspace, *key), key[0]) for key in MONTHS}
    for key in MONTHS:
        publish(workspace.source, *key, 1_500)
    told["second"] = together([*runs, (fifth, DBT_BUILD)])
    return told


def test_four_runs_at_once_land_and_merge_four_months(crowd):
    assert [outcome.code for outcome in crowd["first"]] == [0, 0, 0, 0], crowd["first"]
    for key, table in crowd["tables"].items():
        assert_same(table, crowd["files"][key])


def test_those_that_wait_for_anothers_build_say_so(crowd):
    said = "".join(outcome.said for outcome in crowd["first"])
    assert "waiting for another run's dbt build in this warehouse to end" in said


def test_four_republished_months_at_once_beside_a_plain_build(crowd):
    workspace = crowd["workspace"]
    assert [outcome.code for outcome in crowd["second"]] == [0, 0, 0, 0, 0], crowd["second"]
    for key in MONTHS:
        assert_same(stored(workspace, *key), expected(file_of(workspace, *key), key[0]))
    current = workspace.query(
        "select dataset, to_char(file_month, 'YYYY-MM'), table_rows"
        f" from {workspace.tlc}.file_ledger where is_current order by 1, 2"
    )
    assert current == [(*key, 1_500) for key in MONTHS]


def test_four_runs_of_one_month_are_as_one(workspace):
    path = publish(workspace.source, "green", "2023-01", 2_000)
    outcomes = together([(m, run("green", "2023-01")) for m in machines(workspace, 4)])
    assert sorted(outcome.code for outcome in outcomes)[0] == 0
    assert {outcome.code for outcome in outcomes} <= {0, 8}
    for outcome in outcomes:
        if outcome.code == 8:
            assert "green 2023-01: another run is working on it" in outcome.said
    assert_same(stored(workspace, "green", "2023-01"), expected(path, "green"))
    ledger = f"select table_rows, is_current from {workspace.tlc}.file_ledger"
    assert workspace.query(ledger) == [(2_000, True)]


def test_runs_in_one_folder_take_turns(workspace):
    (machine,) = machines(workspace, 1)
    two = (("green", "2023-01"), ("yellow", "2023-01"))
    for key in two:
        publish(workspace.source, *key, 2_000)
    outcomes = together([(machine, run(*key)) for key in two])
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    for key in two:
        assert_same(stored(workspace, *key), expected(file_of(workspace, *key), key[0]))


@pytest.fixture
def machine(workspace) -> Workspace:
    """A machine that gives up after a second."""
    (made,) = machines(workspace, 1)
    made.env["TLC_LOCK_SECONDS"] = "1"
    return made


def test_a_reader_that_doesnt_end_is_not_waited_for(workspace, machine):
    publish(workspace.source, "green", "2023-01", 2_000)
    assert together([(machine, run("green", "2023-01"))])[0].code == 0
    with open_transaction(workspace, f"select count(*) from {workspace.tlc}.green_tripdata"):
        path = publish(workspace.source, "green", "2023-01", 1_900)
        publish(workspace.source, "green", "2023-02", 100)
        months = (*run("green", "2023-01"), "--to", "2023-02")
        assert together([(machine, months)])[0].code == 0
        assert_same(stored(workspace, "green", "2023-01"), expected(path, "green"))


def test_who_changes_the_table_makes_the_run_give_up(workspace, machine):
    path = publish(workspace.source, "green", "2023-01", 2_000)
    again = [(machine, run("green", "2023-01"))]
    assert together(again)[0].code == 0
    before = expected(path, "green")
    with open_transaction(workspace, f"update {workspace.tlc}.green_tripdata set tip_amount = 1"):
        path = publish(workspace.source, "green", "2023-01", 1_900)
        (outcome,) = together(again)
        assert outcome.code == 8, outcome.said
        assert "green 2023-01: a query or an open transaction of somebody else" in outcome.said
        assert_same(stored(workspace, "green", "2023-01"), before)
    assert together(again)[0].code == 0
    assert_same(stored(workspace, "green", "2023-01"), expected(path, "green"))


def test_a_reader_of_the_raw_table_makes_the_landing_give_up(workspace, machine):
    publish(workspace.source, "green", "2023-01", 2_000)
    load = ("-m", "loader", "load", "--dataset", "green", "--month", "2023-01")
    assert together([(machine, load)])[0].code == 0
    with open_transaction(workspace, f"select count(*) from {workspace.raw}.green_tripdata"):
        before = landed(workspace, "green", "2023-01")
        path = publish(workspace.source, "green", "2023-01", 1_900)
        (outcome,) = together([(machine, load)])
        assert outcome.code == 8, outcome.said
        assert_same(landed(workspace, "green", "2023-01"), before)
    assert together([(machine, load)])[0].code == 0
    assert_same(landed(workspace, "green", "2023-01"), expected(path, "green"))


@pytest.mark.parametrize(
    "ahead",
    [
        "update {raw}.month_files set landed_at = landed_at + interval '2 hours'",
        "update {tlc}.file_ledger set merged_at = merged_at + interval '2 hours'",
    ],
)
def test_a_version_after_one_of_a_clock_that_was_ahead_is_the_newest(workspace, ahead):
    """Another machine landed the version before, or another server merged it."""
    workspace.env["TLC_SOURCE"] = str(workspace.source)
    command = ("run", "--dataset", "green", "--month", "2023-01")
    for rows in (900, 800, 850):
        path = publish(workspace.source, "green", "2023-01", rows)
        succeeded(workspace.loader(*command))
        assert_same(stored(workspace, "green", "2023-01"), expected(path, "green"))
        assert "nothing to do" in succeeded(workspace.loader(*command)).stdout
        workspace.query(ahead.format(raw=workspace.raw, tlc=workspace.tlc))
