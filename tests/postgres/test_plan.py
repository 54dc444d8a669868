"""The plan of `run --all`: what it says is what happens, and it does nothing by itself."""

import csv
import datetime as dt
import json
import math
from collections import defaultdict

import pytest

from loader.calendar import Month, file_name
from loader.errors import UsageError
from loader.months import plan
from loader.months.state import MonthState
from loader.source.published import PublishedFile
from loader.warehouse.versions import FileVersion
from tests.conftest import DATA_DIR, Workspace, publish, succeeded

MONTHS = [
    *(("yellow", dt.date(2019, month, 1)) for month in (1, 3)),
    ("green", dt.date(2019, 2, 1)),
    ("fhvhv", dt.date(2019, 2, 1)),
]
ROWS = 20_000


def state(dataset: str, month: dt.date, size: int) -> MonthState:
    name = file_name(dataset, month)
    file = PublishedFile(dataset, month, name, name, size, None, None)
    return MonthState(Month(dataset, month), None, None, file)


@pytest.fixture
def stocked(workspace: Workspace) -> Workspace:
    for dataset, month in MONTHS:
        publish(workspace.source, dataset, f"{month:%Y-%m}", ROWS)
    return workspace


def run_all(workspace: Workspace, since: str) -> tuple[object, ...]:
    return ("run", "--all", "--source", workspace.source, "--since", since, "--to", "2019-03")


def test_a_plan_is_printed_carried_out_and_then_empty(stocked):
    run = run_all(stocked, "2019-01")
    dry = succeeded(stocked.loader(*run, "--dry-run", "--json"))
    plans = json.loads(dry.stdout)
    assert {name: one["files"] for name, one in plans.items()} == {
        **{"fhv": 0, "fhvhv": 1, "green": 1, "yellow": 2}
    }
    for name, one in plans.items():
        sizes = [path.stat().st_size for path in stocked.source.glob(f"{name}_*")]
        assert one["download_bytes"] == sum(sizes)
    told = succeeded(stocked.loader(*run, "--dry-run")).stdout
    assert "yellow       2  2019-01 … 2019-03" in told
    assert "green        1  2019-02" in told
    assert "without their marts" in told
    assert "nothing is landed yet" in succeeded(stocked.loader("status")).stdout

    done = succeeded(stocked.loader(*run))
    assert done.stdout.count("  merged") == len(MONTHS)
    assert f"4 months, {ROWS * 4:,} rows" in done.stdout
    rows = ("yellow", "green", "fhvhv")
    for name, months in zip(rows, (2, 1, 1), strict=True):
        query = f"select count(*) from {stocked.tlc}.{name}_tripdata"
        assert stocked.query(query) == [(ROWS * months,)]

    again = succeeded(stocked.loader(*run))
    assert again.stdout == "nothing to do: 4 months merged, and the source has no others\n"


def test_a_month_whose_run_was_stopped_after_the_merge_is_run_again(stocked):
    """It was not tested to its end, and has no marts; its raw rows are what it left."""
    run = (*run_all(stocked, "2019-03"), "--marts", "later")
    succeeded(stocked.loader(*run, "--keep-raw"))
    raw_rows = f"select count(*) from {stocked.raw}.yellow_tripdata"
    assert "nothing to do" in succeeded(stocked.loader(*run, "--keep-raw")).stdout
    assert stocked.query(raw_rows) == [(ROWS,)]

    assert "yellow   2019-03" in succeeded(stocked.loader(*run)).stdout
    assert stocked.query(raw_rows) == [(0,)]
    assert "nothing to do" in succeeded(stocked.loader(*run)).stdout


def test_the_room_is_that_of_the_tables(stocked):
    succeeded(stocked.loader(*run_all(stocked, "2019-01")))
    for dataset, file_month in MONTHS:
        (size,) = stocked.query(
            "select pg_total_relation_size(%s::regclass)::bigint",
            f"{stocked.tlc}.{dataset}_tripdata_{file_month:%Y_%m}",
        )[0]
        one = state(dataset, file_month, 1_000_000_000)
        planned = plan.plan_of([one])
        assert planned.disk_bytes / planned.rows == pytest.approx(size / ROWS, rel=0.25)


def test_rows_are_estimated_by_the_size_of_the_files():
    # Without the folder of real files there is nothing to look at.
    facts = DATA_DIR / "facts" / "tlc_file_metadata_2009-2024.csv" if DATA_DIR else None
    wanted, estimated = defaultdict(int), defaultdict(int)
    for file in csv.DictReader(facts.read_text().splitlines()) if facts else ():
        dataset, year = file["file_record_type"], int(file["file_year"])
        month = dt.date(year, int(file["file_month"]), 1)
        one = plan.plan_of([state(dataset, month, int(file["file_size_bytes"]))])
        wanted[dataset, year] += int(file["file_num_rows"])
        estimated[dataset, year] += one.rows
    for key, rows in wanted.items():
        assert estimated[key] == pytest.approx(rows, rel=0.2), key


@pytest.mark.parametrize(
    "options",
    [
        *(("--all", "--month", "2019-01"), ("--dataset", "green"), ("--month", "2019-01")),
        *(("--dataset", "green", "--month", "2019-01", "--dry-run"), ("--since", "2019-01")),
    ],
)
def test_options_that_do_not_go_together_are_refused(workspace, options):
    process = workspace.loader("run", *options)
    assert process.returncode == 2
    assert "or --all; --since and --dry-run go with --all" in process.stderr


def test_a_disk_that_is_too_small_is_told_with_what_it_lacks(tmp_path):
    large = plan.Plan(1, 1, 1, 1, 10**18)
    with pytest.raises(UsageError, match=r"lacks [0-9,]+\.[0-9] GB: run fewer months"):
        plan.require_room(large, tmp_path)
    plan.require_room(plan.Plan(0, 0, 0, 0, 0), tmp_path)


def merges(rows: int, every: float) -> list[FileVersion]:
    """Versions that were merged one after the other."""
    times = (dt.datetime(2024, 1, 1) + dt.timedelta(seconds=every * n) for n in range(4))
    return [FileVersion.of_row({"merged_at": time, "table_rows": rows}) for time in times]


@pytest.mark.parametrize(
    ("files", "rows", "marts", "seconds"),
    [
        # Idle, two cores: docs/performance.md and docs/history.md.
        *((1, 7_700_000, False, 21), (24, 184_800_000, False, 24 * 17.3)),
        *((595, 4_400_000, False, 595 * 0.6), (595, 4_400_000, True, 595 * 1.7)),
        # Two cores that others use, too: green, then fhv.
        *((2, 132_000, True, 20.5), (6, 396_000, False, 35.0), (6, 396_000, True, 38.6)),
        *((4, 4_400_000, False, 45.1), (4, 4_400_000, True, 106.6)),
    ],
)
def test_the_time_is_about_what_was_measured(files, rows, marts, seconds):
    one = plan.Plan(files, rows, 0, 0, 0)
    # Small months say nothing of a row: a merge of theirs is mostly dbt's start.
    for merged in ([], merges(60_000, every=5)):
        least, most, is_measured = plan.seconds_of(one, merged, marts=marts)
        assert not is_measured
        assert least < most
        assert seconds / 3 < math.sqrt(least * most) < seconds * 3


def test_the_time_follows_the_large_months_that_were_merged_here():
    one = plan.Plan(10, 40_000_000, 0, 0, 0)
    slow = plan.seconds_of(one, merges(4_000_000, every=80.6), marts=True)
    assert slow == (pytest.approx(5 + 14 + 800), pytest.approx(15 + 60 + 1_600), True)
    # Merges that belong to two runs are no measure.
    apart = plan.seconds_of(one, merges(4_000_000, every=3_600), marts=True)
    assert apart == plan.seconds_of(one, [], marts=True)
