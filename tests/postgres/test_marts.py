"""The marts hold what the files hold, counted by plain Python, and follow each merge."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loader.calendar import days_of
from tests.conftest import DATA_TESTS, Workspace, publish, succeeded
from tests.months import without_marts
from tests.trips import (
    AMOUNTS,
    amount_of,
    assert_counted,
    count,
    files_of,
    groups_of,
    number_of,
    percentile_of,
    ratio,
    rows_by_name,
    sum_of,
    trips_of,
)

#: Real files where they are there, generated ones otherwise.
MONTHS = [
    ("green", "2023-01"),
    ("green", "2023-02"),
    ("yellow", "2009-01"),
    ("yellow", "2025-01"),
    ("fhv", "2020-04"),
    ("fhvhv", "2025-01"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return files_of(MONTHS, tmp_path_factory.mktemp("files"))


def run(workspace: Workspace, dataset: str, month: str, source: Path, *options: str):
    command = ("run", "--dataset", dataset, "--month", month, "--source", source)
    return workspace.loader(*command, *options, **DATA_TESTS)


@pytest.fixture
def workspace(new_workspace) -> Workspace:
    return new_workspace(marts=True)


@pytest.fixture(scope="module")
def warehouse(new_workspace, files) -> Workspace:
    workspace = new_workspace(marts=True)
    for dataset, month in MONTHS:
        succeeded(run(workspace, dataset, month, files))
    return workspace


def of_mart(workspace: Workspace, name: str, dataset: str, month: str, columns: str = "*") -> str:
    return (
        f"select {columns} from {workspace.tlc}_marts.{name}"
        f" where dataset = '{dataset}' and file_month = date '{month}-01'"
    )


SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p97": 0.97}
MEASURES = ("fare", "tip_percent", "minutes", "miles")
COUNTS = {"trips": count, "reversals": number_of("is_reversal")}
FLAGGED = {
    **{"fee_trips": number_of("has_paid_fee"), "waited_trips": number_of("has_waited")},
    "timed_trips": number_of("is_timed"),
}
#: Sums have four decimals; some of the values of 2009 are 16.619999999999999.
FOUR_DECIMALS = 0.00005001
#: Of each mart: what a row is one of, and what it counts of its trips, by how near it is.
COUNTED = {
    "hourly_zone_trips": (
        "pickup_hour pickup_location_id payment_type company",
        {
            FOUR_DECIMALS: {
                **(COUNTS | FLAGGED),
                "null_block_trips": number_of("is_in_null_block"),
                **{name: sum_of(name) for name in ("passengers", "miles", "timed_miles")},
                **{name: amount_of(name) for name in AMOUNTS},
            },
            1e-3: {
                "waiting_minutes": sum_of("waited"),
                **{name: sum_of(name) for name in ("minutes", "timed_minutes")},
            },
        },
    ),
    "monthly_trips": (
        "hour_of_day pickup_borough payment_type company",
        {
            1e-3: {
                **(COUNTS | FLAGGED),
                "days_in_month": lambda trips: len(days_of(trips[0].file_month)),
                **{name: sum_of(name) for name in ("miles", "timed_miles")},
                **{name: amount_of(name) for name in ("total_amount", "fare_amount")},
            }
        },
    ),
    "zone_pairs": (
        "pickup_location_id dropoff_location_id",
        {
            1e-4: COUNTS | {"total_amount": amount_of("total_amount")},
            0: {
                "median_minutes": percentile_of("minutes", 0.5),
                "p90_minutes": percentile_of("minutes", 0.9),
                "median_fare": percentile_of("fare", 0.5),
                "median_mph": percentile_of("mph", 0.5),
            },
        },
    ),
    "monthly_fares": (
        "payment_type",
        {
            0: COUNTS
            | {
                f"{name}_{measure}": percentile_of(measure, share)
                for measure in MEASURES
                for name, share in SHARES.items()
            }
        },
    ),
}


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_marts_add_up_to_the_file(warehouse, files, dataset, month):
    trips = trips_of(files, dataset, month)

    def rows_of(name: str) -> list[dict]:
        return rows_by_name(warehouse, of_mart(warehouse, name, dataset, month))

    for name, (place, counted) in COUNTED.items():
        for near, columns in counted.items():
            assert_counted(rows_of(name), place, groups_of(trips, place), columns, near)
    # Each kind of payment has the percentiles of the whole month, too.
    whole = dict.fromkeys(groups_of(trips, "payment_type"), trips)
    columns = {
        f"month_{name}_{measure}": percentile_of(measure, SHARES[name])
        for measure in MEASURES
        for name in ("p50", "p90")
    }
    assert_counted(rows_of("monthly_fares"), "payment_type", whole, columns)
    ends = groups_of(trips, "dropoff_hour dropoff_location_id")
    assert_counted(rows_of("dropoff_hours"), "hour_of_day dropoff_location_id", ends, COUNTS)


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_the_quality_of_a_month_is_counted(warehouse, files, dataset, month):
    trips = trips_of(files, dataset, month)
    unknown = sum(trip.is_unknown_zone for trip in trips)
    if month == "2009-01":  # coordinates instead: the view counts those that are missing, too
        unknown = sum(
            any(
                all(trip.row[f"{side}_{axis}"] in (0, None) for axis in ("longitude", "latitude"))
                for side in ("pickup", "dropoff")
            )
            for trip in trips
        )
    in_block = sum(trip.is_in_null_block for trip in trips)
    wanted = {
        "all_rows": len(trips),
        "reversal_rows": sum(trip.is_reversal for trip in trips),
        "outside_month_rows": sum(trip.is_outside for trip in trips),
        "null_block_rows": in_block,
        "dropoff_before_pickup_rows": sum(
            bool(t.pickup and t.dropoff and t.dropoff < t.pickup) for t in trips
        ),
        "over_1000_miles_rows": sum(
            trip.all_miles is not None and not trip.all_miles <= 1_000 for trip in trips
        ),
        "unknown_zone_rows": unknown,
        "null_block_share": pytest.approx(in_block / len(trips)),
        "pickup_zones": len({trip.pickup_location_id for trip in trips} - {None}),
        "versions_seen": 1,
        "rows_added_since": 0,
    }
    (found,) = rows_by_name(warehouse, of_mart(warehouse, "month_quality", dataset, month))
    assert {name: found[name] for name in wanted} == wanted


def test_revenue_has_the_course_s_columns_and_the_file_s_numbers(warehouse, files):
    def average(measure: str):
        return lambda trips: ratio(sum_of(measure)(trips), count(trips))

    rows = rows_by_name(warehouse, of_mart(warehouse, "monthly_zone_revenue", "green", "2023-01"))
    assert {(row["service_type"], row["revenue_month"]) for row in rows} == {
        ("Green", dt.date(2023, 1, 1))
    }
    groups = groups_of(trips_of(files, "green", "2023-01"), "pickup_location_id")
    counted = {
        "revenue_monthly_fare": amount_of("fare_amount"),
        "revenue_monthly_total_amount": amount_of("total_amount"),
        "total_monthly_trips": count,
        "avg_monthly_passenger_count": average("passengers"),
        "avg_monthly_trip_distance": average("miles"),
    }
    assert_counted(rows, "pickup_location_id", groups, counted, near=1e-6)


def test_days_are_the_hours_added_up(warehouse):
    schema = f"{warehouse.tlc}_marts"
    sums = "sum(total_amount), sum(timed_trips), sum(timed_miles), sum(timed_minutes)"
    days, hours = (
        warehouse.query(f"select {sums} from {schema}.{name}_zone_trips")
        for name in ("daily", "hourly")
    )
    assert days == hours
    wrong = (
        f"select count(*) from {schema}.daily_zone_trips where timed_trips > 0"
        " and abs(miles_per_hour - timed_miles / timed_minutes * 60) < 1e-9 is not true"
    )
    assert warehouse.query(wrong) == [(0,)]
    (named,) = warehouse.query(
        f"select pickup_zone_name, pickup_borough from {schema}.daily_zone_trips"
        " where pickup_location_id = 132 limit 1"
    )
    assert named == ("JFK Airport", "Queens")


def test_clean_trips_are_those_that_most_people_mean(warehouse, files):
    wanted = sum(
        not trip.is_reversal
        and not trip.is_outside
        and not (trip.dropoff < trip.pickup)
        and not trip.all_miles > 1_000
        and not trip.is_unknown_zone
        for trip in trips_of(files, "green", "2023-01")
    )
    query = of_mart(warehouse, "trips_clean", "green", "2023-01", "count(*)")
    assert warehouse.query(query) == [(wanted,)]


# ---- Republished, killed, later ------------------------------------------------------------------

JANUARY = ("green", "2023-01")
TABLES = ("hourly_zone_trips", "zone_pairs", "monthly_fares", "monthly_trips", "dropoff_hours")
TABLES += ("month_quality",)


def hourly_trips(workspace: Workspace) -> list[tuple]:
    return workspace.query(
        "select dataset, file_month, sum(trips + reversals)"
        f" from {workspace.tlc}_marts.hourly_zone_trips group by 1, 2 order by 1, 2"
    )


def contents(workspace: Workspace) -> dict[str, list[tuple]]:
    """Return all marts' rows of a month, without the time of the merge that they count."""
    return {
        name: sorted(
            workspace.query(
                of_mart(workspace, name, *JANUARY, f"(to_jsonb({name}) - 'merged_at')::text")
            )
        )
        for name in TABLES
    }


def publish_and_run(workspace: Workspace, rows: int, *options: str, month: str = "2023-01") -> Path:
    path = publish(workspace.source, "green", month, rows)
    succeeded(run(workspace, "green", month, workspace.source, *options))
    return path


LATER = ("--marts", "later")


def test_a_republished_month_is_replaced_in_the_marts_and_no_other_is(workspace):
    for month in ("2023-01", "2023-02"):
        path = publish_and_run(workspace, 500, month=month)
    pq.write_table(pq.read_table(path).slice(100), path)
    january = of_mart(workspace, "hourly_zone_trips", *JANUARY, "ctid, *")
    before = workspace.query(january)
    succeeded(run(workspace, "green", "2023-02", workspace.source))
    assert workspace.query(january) == before
    assert hourly_trips(workspace) == [
        ("green", dt.date(2023, 1, 1), 500),
        ("green", dt.date(2023, 2, 1), 400),
    ]
    columns = "all_rows, versions_seen, rows_added_since, rows_removed_since"
    quality = of_mart(workspace, "month_quality", "green", "2023-02", columns)
    assert workspace.query(quality) == [(400, 2, 0, 100)]


def test_marts_that_were_left_for_later_are_named_and_built(workspace):
    for month in ("2023-01", "2023-02"):
        publish(workspace.source, "green", month, 300)
    told = succeeded(run(workspace, *JANUARY, workspace.source, "--to", "2023-02", *LATER))
    # the second month: those of its table, of which one warns of a month that is made up
    assert "tests: 3 passed, 1 warned\n" in told.stderr
    assert without_marts(workspace) == 2
    told = succeeded(workspace.loader("marts", **DATA_TESTS))
    assert told.stdout == "2 months built\n"
    assert [rows for *_, rows in hourly_trips(workspace)] == [300, 300]
    assert without_marts(workspace) == 0
    told = succeeded(workspace.loader("marts"))
    assert told.stdout == "nothing to do: every merged month has its marts\n"


@pytest.mark.parametrize("later", [True, False])
def test_a_month_that_became_empty_leaves_the_marts(workspace, later):
    path = publish_and_run(workspace, 300)
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    options = ("--allow-empty", "--accept", *(LATER if later else ()))
    succeeded(run(workspace, *JANUARY, workspace.source, *options))
    assert without_marts(workspace) == later
    if later:
        succeeded(workspace.loader("marts", **DATA_TESTS))
    assert contents(workspace) == {name: [] for name in TABLES}
    assert without_marts(workspace) == 0


def test_marts_that_were_cut_off_are_finished_by_the_next_run(workspace):
    """The months are merged, one mart is of the merge before, and another one lacks the month."""
    publish_and_run(workspace, 400)
    everything = contents(workspace)

    publish_and_run(workspace, 700, *LATER)
    workspace.query(f"delete from {workspace.tlc}_marts.zone_pairs")
    succeeded(workspace.loader("marts", **DATA_TESTS))
    assert hourly_trips(workspace) == [("green", dt.date(2023, 1, 1), 700)]

    publish_and_run(workspace, 400)
    # month_quality counts the versions
    assert contents(workspace) | {"month_quality": []} == everything | {"month_quality": []}


def test_marts_of_an_earlier_version_are_built_again(workspace):
    """The tables lack the new columns, then have them and rows of another version."""
    publish_and_run(workspace, 300)
    schema = f"{workspace.tlc}_marts"
    hourly, quality = f"{schema}.hourly_zone_trips", f"{schema}.month_quality"
    record = f"{workspace.tlc}.marts_ledger"
    everything = contents(workspace)
    assert workspace.query(f"select sum(timed_trips) > 200 from {hourly}") == [(True,)]

    for column in ("timed_trips", "timed_miles", "timed_minutes"):
        workspace.query(f"alter table {hourly} drop column {column} cascade")
    workspace.query(f"alter table {quality} drop column marts_version")
    workspace.query(f"drop table {record}")
    succeeded(workspace.dbt("build", "--vars", "{month: 2023-01}"))
    assert contents(workspace) == everything

    workspace.query(f"update {hourly} set timed_trips = null")
    workspace.query(f"update {record} set marts_version = 1")
    assert without_marts(workspace) == 1
    succeeded(workspace.dbt("build"))
    assert contents(workspace) == everything


def test_what_an_earlier_version_recorded_of_the_marts_is_kept(workspace):
    """It kept no ledger of marts: month_quality says what they count."""
    publish_and_run(workspace, 300)
    publish_and_run(workspace, 300, *LATER, month="2023-02")
    record = f"{workspace.tlc}.marts_ledger"
    before = workspace.query(f"select * from {record}")
    workspace.query(f"drop table {record}")
    assert without_marts(workspace) == 0
    succeeded(workspace.dbt("build", "--select", "marts_ledger"))
    assert workspace.query(f"select * from {record}") == before
    assert len(before) == 1
    assert without_marts(workspace) == 1


def test_a_build_of_the_last_mart_alone_records_nothing_new(workspace):
    publish_and_run(workspace, 300)
    record = f"select * from {workspace.tlc}.marts_ledger"
    before = workspace.query(record)
    publish_and_run(workspace, 400, *LATER)
    succeeded(workspace.dbt("run", "--select", "month_quality"))
    assert workspace.query(record) == before
    assert without_marts(workspace) == 1
