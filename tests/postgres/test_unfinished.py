"""What a month lacks is read from the records, and every command that runs months finishes it."""

import datetime as dt
import json

import pytest

from tests.conftest import DATA_TESTS, Workspace, publish, succeeded
from tests.copies import copy_project
from tests.months import load, without_marts
from tests.trips import count, trips_of

MONTHS = [dt.date(2023, month, 1) for month in (1, 2, 3, 4)]
ROWS = 2_000
RANGE = ("--since", "2023-01", "--to", "2023-04")


def write(workspace: Workspace, month: dt.date, rows: int = ROWS, seed: int = 0) -> None:
    publish(workspace.source, "green", f"{month:%Y-%m}", rows, seed)


def of(month: dt.date) -> tuple[str, ...]:
    """Limit `run --all` and `sync` to a month."""
    return ("--since", f"{month:%Y-%m}", "--to", f"{month:%Y-%m}")


def run(workspace: Workspace, *options: object, **env: str):
    command = ("run", "--dataset", "green", "--source", workspace.source)
    return workspace.loader(*command, *options, **env)


MARTS = ("hourly_zone_trips", "zone_pairs", "monthly_fares", "monthly_trips", "dropoff_hours")


def in_the_marts(workspace: Workspace, month: dt.date) -> list[tuple[int, int]]:
    """Count a month's rows and trips in each mart that is a table."""
    counted = "coalesce(sum(trips + reversals), 0)::int, coalesce(sum(trips), 0)::int"
    return [
        workspace.query(
            f"select {counted} from {workspace.tlc}_marts.{mart} where file_month = %s", month
        )[0]
        for mart in MARTS
    ]


def assert_counted(workspace: Workspace, *months: dt.date) -> None:
    """Compare what the marts count of months with the files."""
    for month in months:
        trips = trips_of(workspace.source, "green", f"{month:%Y-%m}")
        assert in_the_marts(workspace, month) == [(len(trips), count(trips))] * len(MARTS)


def trips(workspace: Workspace) -> list[tuple]:
    return workspace.query(
        "select file_month, unique_row_id, fare_amount"
        f" from {workspace.tlc}.green_tripdata order by unique_row_id"
    )


def nodes(workspace: Workspace) -> list[str]:
    """List what the last build ran."""
    written = (workspace.local_dir / "dbt").glob("run_results*.json")
    newest = max(written, key=lambda path: path.stat().st_mtime_ns)
    return [one["unique_id"] for one in json.loads(newest.read_text())["results"]]


@pytest.fixture(scope="module")
def warehouse(new_workspace) -> Workspace:
    """Four small months in one command."""
    workspace = new_workspace(marts=True)
    for month in MONTHS:
        write(workspace, month)
    done = succeeded(run(workspace, "--month", "2023-01", "--to", "2023-04", **DATA_TESTS))
    assert "green 2023-02 to 2023-04  marts" in done.stderr
    return workspace


def test_marts_of_small_months_are_built_together_and_are_right(warehouse):
    assert_counted(warehouse, *MONTHS)
    # and whatever isn't of a month is there after the first run
    assert warehouse.query(f"select count(*) > 10000 from {warehouse.tlc}_marts.dates") == [(True,)]
    assert warehouse.query(
        f"select count(distinct file_month) from {warehouse.tlc}_marts.monthly_zone_revenue"
    ) == [(4,)]


@pytest.fixture(scope="module")
def stale(warehouse) -> Workspace:
    """The months as a crash of the server between merge and marts leaves them."""
    assert without_marts(warehouse) == 0
    for month in MONTHS:
        write(warehouse, month, ROWS + 500, seed=1)
    load(warehouse, "green", "2023-01:2023-04")
    variables = json.dumps({"dataset": "green", "months": [f"{one:%Y-%m}" for one in MONTHS]})
    succeeded(warehouse.dbt("build", "--select", "green_tripdata", "--vars", variables))
    for month in MONTHS:
        assert in_the_marts(warehouse, month)[0][0] != ROWS + 500
    return warehouse


@pytest.mark.parametrize(
    ("command", "month", "is_emptied"),
    [
        (("run", "--dataset", "green", "--month", "2023-01"), MONTHS[0], True),
        (("run", "--dataset", "green", "--month", "2023-02", "--keep-raw"), MONTHS[1], False),
        (("run", "--all", "--dataset", "green", *of(MONTHS[2])), MONTHS[2], True),
        (("sync", "--dataset", "green", *of(MONTHS[3])), MONTHS[3], True),
    ],
    ids=["run", "run --keep-raw", "run --all", "sync"],
)
def test_marts_that_a_crash_left_stale_are_built_by_the_same_command(
    stale, command, month, is_emptied
):
    if is_emptied:  # of parts that aren't logged, a crash leaves nothing
        parts = stale.query(
            "select inhrelid::regclass::text from pg_inherits"
            " where inhparent = %s::regclass and inhrelid::regclass::text like %s",
            f"{stale.raw}.green_tripdata",
            f"%{month:%Y_%m}%",
        )
        assert parts
        stale.query(f"truncate {', '.join(part for (part,) in parts)}")
    before = without_marts(stale)
    assert before > 0
    done = succeeded(stale.loader(*command, "--source", stale.source))
    assert "marts built" in done.stdout
    assert_counted(stale, month)
    again = succeeded(stale.loader(*command, "--source", stale.source))
    assert "nothing" in again.stdout
    assert without_marts(stale) == before - 1


def test_marts_that_fail_fail_their_months_and_the_next_run_builds_them(warehouse):
    for month in MONTHS[:3]:
        write(warehouse, month, ROWS + 900, seed=2)
    pairs = f"{warehouse.tlc}_marts.zone_pairs"
    warehouse.query(
        f"alter table {pairs} add constraint no_march check (file_month != '2023-03-01') not valid"
    )
    several = ("--month", "2023-01", "--to", "2023-03")
    failed = run(warehouse, *several)
    assert failed.returncode == 6
    assert "no_march" in failed.stderr
    assert "error: 2 of 3 months failed; run again to go on" in failed.stderr
    warehouse.query(f"alter table {pairs} drop constraint no_march")
    done = succeeded(run(warehouse, *several))
    assert done.stdout.count("marts built") == 2
    assert_counted(warehouse, *MONTHS[:3])


# ---- What a build leaves out ---------------------------------------------------------------------


def test_one_more_month_builds_what_is_of_a_month_alone(warehouse):
    write(warehouse, MONTHS[3], ROWS + 1, seed=3)
    succeeded(run(warehouse, "--month", "2023-04", **DATA_TESTS))
    built = nodes(warehouse)
    assert len(built) <= 34
    kinds = {name.split(".")[0] for name in built}
    assert kinds == {"model", "test", "operation"}
    tests = [name for name in built if name.startswith("test.")]
    assert {name.split(".")[2].split("_green")[0] for name in tests} == {
        *("rows_reconcile", "unusual_values", "unique_rows", "official_figures"),
        *(f"marts_reconcile_{name}" for name in ("hourly_zone_trips", "zone_pairs")),
        *(f"marts_reconcile_{name}" for name in ("monthly_fares", "month_quality")),
        *(f"marts_reconcile_{name}" for name in ("monthly_trips", "dropoff_hours")),
    }


def test_what_changed_in_the_project_or_was_dropped_is_built_by_the_next_run(
    new_workspace, tmp_path
):
    copy = copy_project(tmp_path / "project")
    workspace = new_workspace(marts=True)

    def run_next(month: dt.date, *options: str, **env: str) -> None:
        write(workspace, month)
        options = ("--month", f"{month:%Y-%m}", *options)
        succeeded(run(workspace, *options, cwd=copy, PYTHONPATH=str(copy), **env))

    def change(path: str, old: str, new: str) -> None:
        text = (copy / path).read_text()
        assert old in text
        (copy / path).write_text(text.replace(old, new, 1))

    run_next(MONTHS[0])
    change("seeds/vendors.csv", "Curb", "Curbed")
    run_next(MONTHS[1])
    names = f"select string_agg(vendor_name, '') like %s from {workspace.tlc}.vendors"
    assert workspace.query(names, "%Curbed%") == [(True,)]

    change("models/marts/trips_clean.sql", "where", "where 1 = 1 and")
    change("macros/marts/minutes_between.sql", "/ 60", "/ 61")
    views = f"{workspace.tlc}_marts"
    workspace.query(f"drop view {views}.dates")
    run_next(MONTHS[2], "--marts", "later")  # leaves out the views on the marts, too
    run_next(MONTHS[2])
    definition = "select pg_get_viewdef(%s::regclass)"
    ((clean,),) = workspace.query(definition, f"{views}.trips_clean")
    ((described,),) = workspace.query(definition, f"{views}.trips")
    assert "(1 = 1)" in clean
    assert "(61)" in described
    assert workspace.query(f"select count(*) > 0 from {views}.dates") == [(True,)]
    run_next(MONTHS[3], **DATA_TESTS)  # all would be twice as many
    assert len(nodes(workspace)) <= 30


@pytest.mark.parametrize("command", ["marts", "sync"])
def test_marts_of_an_earlier_version_are_built_though_raw_tables_lack_columns(warehouse, command):
    """Nothing lands, which would add the columns; and all views are built."""
    column = "pickup_location_id_by_coordinates"
    warehouse.query(f"alter table {warehouse.raw}.yellow_tripdata drop column {column} cascade")
    warehouse.query(f"drop table {warehouse.raw}._project")
    warehouse.query(f"update {warehouse.tlc}.marts_ledger set marts_version = 3")
    assert without_marts(warehouse) == len(MONTHS)
    options = ("--dataset", "green", "--source", warehouse.source) if command == "sync" else ()
    window = ("--since", "2023-01", "--to", "2023-04") if command == "sync" else ()
    succeeded(warehouse.loader(command, *options, *window))
    assert without_marts(warehouse) == 0
    staged = f"select count({column}) from {warehouse.tlc}_staging.stg_tlc__yellow_trips"
    assert warehouse.query(staged) == [(0,)]


# ---- Months that are taken out -------------------------------------------------------------------


def test_a_month_is_removed_stays_away_and_comes_back_by_name(warehouse):
    before = trips(warehouse)
    of_month = [row for row in before if row[0] == MONTHS[1]]
    assert len(of_month) > 0
    removed = warehouse.loader("remove", "--dataset", "green", "--month", "2023-02")
    assert succeeded(removed).stdout == "removed: green 2023-02\n"
    assert trips(warehouse) == [row for row in before if row[0] != MONTHS[1]]
    assert in_the_marts(warehouse, MONTHS[1]) == [(0, 0)] * len(MARTS)
    assert_counted(warehouse, MONTHS[0])
    assert warehouse.query(
        "select is_current, removed_at is not null, table_rows"
        f" from {warehouse.tlc}.file_ledger where file_month = '2023-02-01'"
        " order by merged_at desc limit 1"
    ) == [(False, True, len(of_month))]
    (state,) = [
        one
        for one in json.loads(succeeded(warehouse.loader("status", "--json")).stdout)
        if one["month"] == "2023-02"
    ]
    assert (state["state"], state["table_rows"], state["has_marts"]) == ("removed", 0, False)
    source = ("--source", warehouse.source)
    synced = succeeded(warehouse.loader("sync", "--dataset", "green", *RANGE, *source))
    assert "nothing new" in synced.stdout
    ran = succeeded(warehouse.loader("run", "--all", "--dataset", "green", *RANGE, *source))
    assert ran.stdout.startswith("1 month removed: run them by name to have them back\nnothing")
    again = warehouse.loader("remove", "--dataset", "green", "--month", "2023-02")
    assert succeeded(again).stdout == "nothing to do: none of them is here\n"
    succeeded(warehouse.dbt("build"))  # nor does dbt by itself bring it back
    assert len(trips(warehouse)) == len(before) - len(of_month)

    succeeded(run(warehouse, "--month", "2023-02"))
    assert trips(warehouse) == before
    assert_counted(warehouse, MONTHS[1])


def test_a_month_that_only_landed_is_removed_from_a_warehouse_without_a_ledger(new_workspace):
    workspace = new_workspace()
    write(workspace, MONTHS[0])
    load(workspace, "green", "2023-01")
    removed = workspace.loader("remove", "--dataset", "green", "--month", "2023-01")
    assert succeeded(removed).stdout == "removed: green 2023-01\n"
    assert "nothing is landed" in succeeded(workspace.loader("status")).stdout


def test_what_is_built_on_a_removed_month_stays_without_rows(warehouse):
    before = trips(warehouse)
    partition = f"{warehouse.tlc}.green_tripdata_2023_02"
    warehouse.query(f"create view {warehouse.tlc}.mine as select * from {partition}")
    month = ("--dataset", "green", "--month", "2023-02")
    succeeded(warehouse.loader("remove", *month))
    assert warehouse.query(f"select count(*) from {warehouse.tlc}.mine") == [(0,)]
    succeeded(run(warehouse, "--month", "2023-02"))
    assert trips(warehouse) == before
    warehouse.query(f"drop view {warehouse.tlc}.mine")


def test_a_month_whose_partition_was_dropped_by_hand_is_told_and_loaded_again(warehouse):
    before = trips(warehouse)
    warehouse.query(f"drop table {warehouse.tlc}.green_tripdata_2023_02")
    told = succeeded(warehouse.loader("status")).stdout
    command = "nyc-tlc run --dataset green --month 2023-02"
    assert f"green 2023-02 was merged, and its rows are gone; to load it again: {command}" in told
    synced = warehouse.loader("sync", "--dataset", "green", *RANGE, "--source", warehouse.source)
    assert "green 2023-02  its rows are gone from the table" in succeeded(synced).stderr
    assert trips(warehouse) == before
    assert_counted(warehouse, MONTHS[1])
