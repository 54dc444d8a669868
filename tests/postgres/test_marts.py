"""The marts hold what the files hold, counted by plain Python, and follow each merge."""

import csv
import datetime as dt
import math
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loader.calendar import file_name, next_month, parse_month
from loader.sample import write_month
from loader.settings import PROJECT_DIR
from tests.conftest import DATA_DIR, DATA_TESTS, Workspace, succeeded
from tests.exact import expected

#: Real files where they are there, generated ones otherwise.
MONTHS = [
    ("green", "2023-01"),
    ("green", "2023-02"),
    ("yellow", "2009-01"),
    ("yellow", "2025-01"),
    ("fhv", "2020-04"),
    ("fhvhv", "2025-01"),
]
AMOUNTS = {
    **{name: name for name in ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount")},
    **{name: name for name in ("improvement_surcharge", "congestion_surcharge", "total_amount")},
    **{name: name for name in ("airport_fee", "cbd_congestion_fee", "ehail_fee")},
}
AMOUNTS_OF_APPS = {
    **{"fare_amount": "base_passenger_fare", "tip_amount": "tips", "tolls_amount": "tolls"},
    **{"black_car_fund": "bcf", "sales_tax": "sales_tax", "driver_pay": "driver_pay"},
    **{name: name for name in ("congestion_surcharge", "airport_fee", "cbd_congestion_fee")},
}

#: Sums have four decimals; some of the values of 2009 are 16.619999999999999.
HALF = Decimal("0.00005")


def files_of(months: list[tuple[str, str]], folder: Path) -> Path:
    """Fill a folder with the real files of months, or with generated ones in their place."""
    for dataset, month in months:
        name = file_name(dataset, parse_month(month))
        places = [DATA_DIR / place / name for place in ("trip-data", "old-yellow") if DATA_DIR]
        real = next((path for path in places if path.exists()), None)
        if real:
            (folder / name).symlink_to(real)
        else:
            write_month(folder / name, dataset, parse_month(month), 3_000)
    return folder


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


@cache
def companies(seed: str, key: str) -> dict[str, str]:
    """Read which company a licence or a base is of."""
    with (PROJECT_DIR / "seeds" / f"{seed}.csv").open(newline="", encoding="utf-8") as file:
        return {row[key]: row["company"] for row in csv.DictReader(file) if row["company"]}


class Trip:
    """A row of a file as the marts should count it."""

    def __init__(self, dataset: str, month: dt.date, row: dict) -> None:
        apps = dataset in ("fhv", "fhvhv")
        self.row = row
        fare, total = row.get("fare_amount"), row.get("total_amount")
        self.is_reversal = not apps and any(x is not None and x < 0 for x in (fare, total))
        meter = ("passenger_count", "rate_code_id", "store_and_fwd_flag")
        self.is_in_null_block = not apps and all(row[name] is None for name in meter)
        names = AMOUNTS_OF_APPS if apps else AMOUNTS
        self.amounts = {name: row.get(column) for name, column in names.items()}
        if dataset == "fhvhv":
            parts = ["base_passenger_fare", "tips", "tolls", "bcf", "sales_tax"]
            parts += ["congestion_surcharge", "airport_fee", "cbd_congestion_fee"]
            self.amounts["total_amount"] = sum(row[part] or 0 for part in parts)
        pickup, dropoff = row["pickup_datetime"], row["dropoff_datetime"]
        self.pickup, self.dropoff = pickup, dropoff
        seconds = (dropoff - pickup).total_seconds() if pickup and dropoff else None
        self.minutes = seconds / 60 if seconds is not None and 0 <= seconds <= 86_400 else None
        miles = row.get("trip_miles" if apps else "trip_distance")
        self.all_miles = miles
        self.miles = miles if miles is not None and 0 <= miles <= 1_000 else None
        self.passengers = row.get("passenger_count")
        if self.is_reversal:
            self.minutes = self.miles = self.passengers = None
        fare = self.amounts.get("fare_amount")
        self.fare = None if self.is_reversal else fare
        recorded = apps or (row["payment_type"] == 1 and not self.is_reversal)
        tip = self.amounts.get("tip_amount")
        self.tip_percent = (
            math.floor(tip / fare * 1000 + 0.5) / 10
            if recorded and fare is not None and fare > 0 and tip is not None
            else None
        )
        self.is_timed = (
            self.miles is not None
            and self.minutes is not None
            and self.miles > 0
            and 1 <= self.minutes <= 180
            and self.miles * 60 <= self.minutes * 80
        )
        self.mph = self.miles / self.minutes * 60 if self.is_timed else None
        self.payment = None if apps else row["payment_type"]
        bases = companies("bases", "base_num")
        self.company = companies("hvfhs_licenses", "hvfhs_license_num").get(
            row.get("hvfhs_license_num"), bases.get(row.get("dispatching_base_num"))
        )
        self.has_paid_fee = not self.is_reversal and (row.get("cbd_congestion_fee") or 0) > 0
        requested = row.get("request_datetime")
        waited = (pickup - requested).total_seconds() / 60 if pickup and requested else None
        self.waited = waited if waited is not None and 0 <= waited <= 180 else None
        self.hour = pickup and pickup.replace(minute=0, second=0, microsecond=0)
        self.is_outside = pickup is None or not month <= pickup.date() < next_month(month)
        zones = row["pickup_location_id"], row["dropoff_location_id"]
        self.is_unknown_zone = any(zone in (264, 265, None) for zone in zones)


def trips_of(files: Path, dataset: str, month: str) -> list[Trip]:
    path = files / file_name(dataset, parse_month(month))
    rows = expected(path, dataset).to_pylist()
    return [Trip(dataset, parse_month(month), row) for row in rows]


def exact(values) -> Decimal | None:
    """Add doubles up as the decimals that were published."""
    present = [Fraction(repr(value)) for value in values if value is not None]
    if not present:
        return None
    total = sum(present, Fraction(0))
    return Decimal(total.numerator) / Decimal(total.denominator)


def percentile(values, share: float) -> float | None:
    present = sorted(value for value in values if value is not None)
    return present[max(math.ceil(share * len(present)), 1) - 1] if present else None


def near(found: list, wanted: list) -> bool:
    return all(
        one is other is None
        or (None not in (one, other) and math.isclose(one, other, rel_tol=1e-12))
        for one, other in zip(found, wanted, strict=True)
    )


def of_month(dataset: str, month: str) -> str:
    return f"dataset = '{dataset}' and file_month = date '{month}-01'"


def mart(workspace: Workspace, name: str, dataset: str, month: str, columns: str = "*"):
    schema = f"{workspace.tlc}_marts"
    return workspace.query(
        f"select {columns} from {schema}.{name} where {of_month(dataset, month)}"
    )


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_hours_and_zones_add_up_to_the_file(warehouse, files, dataset, month):
    groups = defaultdict(list)
    for trip in trips_of(files, dataset, month):
        groups[trip.hour, trip.row["pickup_location_id"], trip.payment, trip.company].append(trip)
    amounts = [*AMOUNTS, "black_car_fund", "sales_tax", "driver_pay"]
    columns = ["pickup_hour", "pickup_location_id", "payment_type", "company"]
    columns += ["fee_trips", "waited_trips", "waiting_minutes", "trips", "reversals"]
    columns += ["null_block_trips", "passengers", "miles", "minutes"]
    columns += ["timed_trips", "timed_miles", "timed_minutes", *amounts]
    found = mart(warehouse, "hourly_zone_trips", dataset, month, ", ".join(columns))
    assert len(found) == len(groups)
    for hour, zone, payment, company, paid, waited, waiting, *counts in found:
        trips, reversals, in_block, passengers, *measures = counts
        miles, minutes, timed, timed_miles, timed_minutes, *sums = measures
        group = groups[hour, zone, payment, company]
        assert paid == sum(trip.has_paid_fee for trip in group)
        waits = [trip.waited for trip in group if trip.waited is not None]
        assert waited == len(waits)
        assert float(waiting or 0) == pytest.approx(sum(waits), abs=1e-3)
        assert trips == sum(not trip.is_reversal for trip in group)
        assert reversals == sum(trip.is_reversal for trip in group)
        assert in_block == sum(trip.is_in_null_block for trip in group)
        counted = [trip.passengers for trip in group if trip.passengers is not None]
        assert passengers == (sum(counted) if counted else None)
        rides = [trip for trip in group if trip.is_timed]
        assert timed == len(rides)
        for of_trips, distance, duration in (
            (group, miles, minutes),
            (rides, timed_miles, timed_minutes),
        ):
            travelled = exact(trip.miles for trip in of_trips)
            assert distance is travelled is None or abs(distance - travelled) < HALF
            spent = [trip.minutes for trip in of_trips if trip.minutes is not None]
            assert (duration is None) == (not spent)
            assert float(duration or 0) == pytest.approx(sum(spent), abs=1e-3)
        for name, total in zip(amounts, sums, strict=True):
            wanted = exact(trip.amounts.get(name) for trip in group)
            assert (total is None) == (wanted is None), name
            assert total is None or abs(total - wanted) < HALF, (name, total, wanted)


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_hours_of_the_day_and_boroughs_add_up_to_the_file(warehouse, files, dataset, month):
    with (PROJECT_DIR / "seeds/taxi_zones.csv").open(newline="", encoding="utf-8") as file:
        boroughs = {int(row["location_id"]): row["borough"] for row in csv.DictReader(file)}
    groups, ends = defaultdict(list), defaultdict(list)
    for trip in trips_of(files, dataset, month):
        place = boroughs.get(trip.row["pickup_location_id"])
        hour = trip.hour and trip.hour.hour
        groups[hour, place, trip.payment, trip.company].append(trip)
        end = trip.dropoff and trip.dropoff.hour
        ends[end, trip.row["dropoff_location_id"]].append(trip)
    found = mart(warehouse, "dropoff_hours", dataset, month, "*")
    assert len(found) == len(ends)
    for *_, hour, zone, trips, reversals, _ in found:
        group = ends[hour, zone]
        assert trips == sum(not trip.is_reversal for trip in group)
        assert trips + reversals == len(group)
    columns = "hour_of_day, pickup_borough, payment_type, company, days_in_month, trips, reversals,"
    columns += (
        " fee_trips, timed_trips, waited_trips, miles, timed_miles, total_amount, fare_amount"
    )
    found = mart(warehouse, "monthly_trips", dataset, month, columns)
    assert len(found) == len(groups)
    days = (next_month(parse_month(month)) - parse_month(month)).days
    for (
        *place,
        in_month,
        trips,
        reversals,
        paid,
        timed,
        waited,
        miles,
        timed_miles,
        total,
        fare,
    ) in found:
        group = groups[tuple(place)]
        assert in_month == days
        assert trips == sum(not trip.is_reversal for trip in group)
        assert trips + reversals == len(group)
        assert paid == sum(trip.has_paid_fee for trip in group)
        assert timed == sum(trip.is_timed for trip in group)
        assert waited == sum(trip.waited is not None for trip in group)
        for shown, wanted in (
            (miles, [trip.miles for trip in group]),
            (timed_miles, [trip.miles for trip in group if trip.is_timed]),
            (total, [trip.amounts.get("total_amount") for trip in group]),
            (fare, [trip.amounts.get("fare_amount") for trip in group]),
        ):
            assert float(shown or 0) == pytest.approx(float(exact(wanted) or 0), abs=1e-3)


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_pairs_of_zones_have_the_medians_of_their_trips(warehouse, files, dataset, month):
    groups = defaultdict(list)
    for trip in trips_of(files, dataset, month):
        groups[trip.row["pickup_location_id"], trip.row["dropoff_location_id"]].append(trip)
    columns = "pickup_location_id, dropoff_location_id, trips, reversals, total_amount"
    columns += ", median_minutes, p90_minutes, median_fare, median_mph"
    found = mart(warehouse, "zone_pairs", dataset, month, columns)
    assert len(found) == len(groups)
    for start, end, trips, reversals, total, *measures in found:
        group = groups[start, end]
        assert trips == sum(not trip.is_reversal for trip in group)
        assert trips + reversals == len(group)
        wanted = exact(trip.amounts.get("total_amount") for trip in group)
        assert float(total or 0) == pytest.approx(float(wanted or 0), abs=1e-4)
        assert near(
            measures,
            [
                percentile([trip.minutes for trip in group], 0.5),
                percentile([trip.minutes for trip in group], 0.9),
                percentile([trip.fare for trip in group], 0.5),
                percentile([trip.mph for trip in group], 0.5),
            ],
        )


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_fares_spread_as_in_the_file(warehouse, files, dataset, month):
    groups = defaultdict(list)
    for trip in trips_of(files, dataset, month):
        groups[trip.payment].append(trip)
    measures = ("fare", "tip_percent", "minutes", "miles")
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p97": 0.97}
    columns = [f"{name}_{measure}" for measure in measures for name in shares]
    columns += [f"month_{name}_{measure}" for measure in measures for name in ("p50", "p90")]
    found = mart(
        *(warehouse, "monthly_fares", dataset, month),
        ", ".join(["payment_type", "trips", "reversals", *columns]),
    )
    everything = [trip for group in groups.values() for trip in group]
    of_month = [
        percentile([getattr(trip, measure) for trip in everything], share)
        for measure in measures
        for share in (0.5, 0.9)
    ]
    assert len(found) == len(groups)
    for payment, trips, reversals, *values in found:
        group = groups[payment]
        assert trips == sum(not trip.is_reversal for trip in group)
        assert trips + reversals == len(group)
        wanted = [
            percentile([getattr(trip, measure) for trip in group], share)
            for measure in measures
            for share in shares.values()
        ]
        assert near(values, [*wanted, *of_month])


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_the_quality_of_a_month_is_counted(warehouse, files, dataset, month):
    trips = trips_of(files, dataset, month)
    columns = ["all_rows", "reversal_rows", "outside_month_rows", "null_block_rows"]
    columns += ["dropoff_before_pickup_rows", "over_1000_miles_rows", "unknown_zone_rows"]
    columns += ["null_block_share", "pickup_zones", "versions_seen", "rows_added_since"]
    ((*found,),) = mart(warehouse, "month_quality", dataset, month, ", ".join(columns))
    unknown = sum(trip.is_unknown_zone for trip in trips)
    if month == "2009-01":  # coordinates instead: the view counts those that are missing, too
        sides = ("pickup", "dropoff")
        missing = [
            any(
                all(trip.row[f"{side}_{axis}"] in (0, None) for axis in ("longitude", "latitude"))
                for side in sides
            )
            for trip in trips
        ]
        unknown = sum(missing)
    in_block = sum(trip.is_in_null_block for trip in trips)
    zones = {trip.row["pickup_location_id"] for trip in trips} - {None}
    assert found == [
        len(trips),
        sum(trip.is_reversal for trip in trips),
        sum(trip.is_outside for trip in trips),
        in_block,
        sum(bool(t.pickup and t.dropoff and t.dropoff < t.pickup) for t in trips),
        sum(trip.all_miles is not None and not trip.all_miles <= 1_000 for trip in trips),
        unknown,
        pytest.approx(in_block / len(trips)),
        len(zones),
        1,
        0,
    ]


def test_revenue_has_the_course_s_columns_and_the_file_s_numbers(warehouse, files):
    trips = trips_of(files, "green", "2023-01")
    found = mart(
        *(warehouse, "monthly_zone_revenue", "green", "2023-01"),
        "pickup_location_id, service_type, revenue_month, revenue_monthly_fare,"
        " revenue_monthly_total_amount, total_monthly_trips, avg_monthly_passenger_count,"
        " avg_monthly_trip_distance",
    )
    groups = defaultdict(list)
    for trip in trips:
        groups[trip.row["pickup_location_id"]].append(trip)
    assert len(found) == len(groups)
    for zone, service, month, fare, total, count, passengers, miles in found:
        group = groups[zone]
        assert (service, month) == ("Green", dt.date(2023, 1, 1))
        assert fare == exact(trip.amounts["fare_amount"] for trip in group)
        assert total == exact(trip.amounts["total_amount"] for trip in group)
        rides = [trip for trip in group if not trip.is_reversal]
        assert count == len(rides)
        if rides:
            on_board = sum(trip.passengers or 0 for trip in rides)
            assert float(passengers or 0) == pytest.approx(on_board / len(rides))
            travelled = sum(trip.miles or 0 for trip in rides)
            assert float(miles or 0) == pytest.approx(travelled / len(rides))


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
    found = mart(warehouse, "trips_clean", "green", "2023-01", "count(*)")
    assert found == [(wanted,)]


# ---- Republished, killed, later ------------------------------------------------------------------


def hourly_trips(workspace: Workspace) -> list[tuple]:
    return workspace.query(
        "select dataset, file_month, sum(trips + reversals)"
        f" from {workspace.tlc}_marts.hourly_zone_trips group by 1, 2 order by 1, 2"
    )


def rows_of(workspace: Workspace, name: str) -> list[str]:
    """Return a mart's rows of green 2023-01, without the time of the merge that they count."""
    found = mart(workspace, name, "green", "2023-01", f"(to_jsonb({name}) - 'merged_at')::text")
    return sorted(row for (row,) in found)


def test_a_republished_month_is_replaced_in_the_marts_and_no_other_is(workspace):
    for month in ("2023-01", "2023-02"):
        write_month(
            workspace.source / f"green_tripdata_{month}.parquet", "green", parse_month(month), 500
        )
        succeeded(run(workspace, "green", month, workspace.source))
    path = workspace.source / "green_tripdata_2023-02.parquet"
    pq.write_table(pq.read_table(path).slice(100), path)
    before = mart(workspace, "hourly_zone_trips", "green", "2023-01", "ctid, *")
    succeeded(run(workspace, "green", "2023-02", workspace.source))
    assert mart(workspace, "hourly_zone_trips", "green", "2023-01", "ctid, *") == before
    assert hourly_trips(workspace) == [
        ("green", dt.date(2023, 1, 1), 500),
        ("green", dt.date(2023, 2, 1), 400),
    ]
    columns = "all_rows, versions_seen, rows_added_since, rows_removed_since"
    assert mart(workspace, "month_quality", "green", "2023-02", columns) == [(400, 2, 0, 100)]


def test_marts_that_were_left_for_later_are_named_and_built(workspace):
    for month in ("2023-01", "2023-02"):
        write_month(
            workspace.source / f"green_tripdata_{month}.parquet", "green", parse_month(month), 300
        )
    command = ("run", "--dataset", "green", "--month", "2023-01", "--to", "2023-02")
    later = ("--source", workspace.source, "--marts", "later")
    told = succeeded(workspace.loader(*command, *later, **DATA_TESTS))
    # the second month: those of its table, of which one warns of a month that is made up
    assert "tests: 3 passed, 1 warned\n" in told.stderr
    assert (
        "without their marts: 2; to build them: nyc-tlc marts" in workspace.loader("status").stdout
    )
    told = succeeded(workspace.loader("marts", **DATA_TESTS))
    assert told.stdout == "2 months built\n"
    assert [rows for *_, rows in hourly_trips(workspace)] == [300, 300]
    assert "without their marts" not in workspace.loader("status").stdout
    told = succeeded(workspace.loader("marts"))
    assert told.stdout == "nothing to do: every merged month has its marts\n"


@pytest.mark.parametrize("later", [True, False])
def test_a_month_that_became_empty_leaves_the_marts(workspace, later):
    path = workspace.source / "green_tripdata_2023-01.parquet"
    write_month(path, "green", dt.date(2023, 1, 1), 300)
    succeeded(run(workspace, "green", "2023-01", workspace.source))
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    options = ("--allow-empty", "--accept", *(["--marts", "later"] if later else []))
    succeeded(run(workspace, "green", "2023-01", workspace.source, *options))
    assert ("without their marts: 1" in workspace.loader("status").stdout) == later
    if later:
        succeeded(workspace.loader("marts", **DATA_TESTS))
    for name in TABLES:
        assert mart(workspace, name, "green", "2023-01") == []
    assert "without their marts" not in workspace.loader("status").stdout


def test_marts_that_were_cut_off_are_finished_by_the_next_run(workspace):
    """The months are merged, one mart is of the merge before, and another one lacks the month."""
    path = workspace.source / "green_tripdata_2023-01.parquet"
    write_month(path, "green", dt.date(2023, 1, 1), 400)
    succeeded(run(workspace, "green", "2023-01", workspace.source))
    schema = f"{workspace.tlc}_marts"
    everything = [rows_of(workspace, name) for name in TABLES]

    write_month(path, "green", dt.date(2023, 1, 1), 700)
    succeeded(run(workspace, "green", "2023-01", workspace.source, "--marts", "later"))
    workspace.query(f"delete from {schema}.zone_pairs")
    succeeded(workspace.loader("marts", **DATA_TESTS))
    assert hourly_trips(workspace) == [("green", dt.date(2023, 1, 1), 700)]

    write_month(path, "green", dt.date(2023, 1, 1), 400)
    succeeded(run(workspace, "green", "2023-01", workspace.source))
    for name, before in zip(TABLES, everything, strict=True):
        if name == "month_quality":
            continue  # which counts the versions
        assert rows_of(workspace, name) == before


def test_marts_of_an_earlier_version_are_built_again(workspace):
    """The tables lack the new columns, then have them and rows of another version."""
    path = workspace.source / "green_tripdata_2023-01.parquet"
    write_month(path, "green", dt.date(2023, 1, 1), 300)
    succeeded(run(workspace, "green", "2023-01", workspace.source))
    schema = f"{workspace.tlc}_marts"
    hourly, quality = f"{schema}.hourly_zone_trips", f"{schema}.month_quality"
    record = f"{workspace.tlc}.marts_ledger"
    everything = [rows_of(workspace, name) for name in TABLES]
    assert workspace.query(f"select sum(timed_trips) > 200 from {hourly}") == [(True,)]

    for column in ("timed_trips", "timed_miles", "timed_minutes"):
        workspace.query(f"alter table {hourly} drop column {column} cascade")
    workspace.query(f"alter table {quality} drop column marts_version")
    workspace.query(f"drop table {record}")
    succeeded(workspace.dbt("build", "--vars", "{month: 2023-01}"))
    assert [rows_of(workspace, name) for name in TABLES] == everything

    workspace.query(f"update {hourly} set timed_trips = null")
    workspace.query(f"update {record} set marts_version = 1")
    assert "without their marts: 1" in workspace.loader("status").stdout
    succeeded(workspace.dbt("build"))
    assert [rows_of(workspace, name) for name in TABLES] == everything


def test_what_an_earlier_version_recorded_of_the_marts_is_kept(workspace):
    """It kept no ledger of marts: month_quality says what they count."""
    for month in ("2023-01", "2023-02"):
        path = workspace.source / f"green_tripdata_{month}.parquet"
        write_month(path, "green", parse_month(month), 300)
        options = ("--marts", "later") if month == "2023-02" else ()
        succeeded(run(workspace, "green", month, workspace.source, *options))
    record = f"{workspace.tlc}.marts_ledger"
    before = workspace.query(f"select * from {record}")
    workspace.query(f"drop table {record}")
    assert "without their marts" not in succeeded(workspace.loader("status")).stdout
    succeeded(workspace.dbt("build", "--select", "marts_ledger"))
    assert workspace.query(f"select * from {record}") == before
    assert len(before) == 1
    assert "without their marts: 1" in succeeded(workspace.loader("status")).stdout


def test_a_build_of_the_last_mart_alone_records_nothing_new(workspace):
    path = workspace.source / "green_tripdata_2023-01.parquet"
    write_month(path, "green", dt.date(2023, 1, 1), 300)
    succeeded(run(workspace, "green", "2023-01", workspace.source))
    record = f"select * from {workspace.tlc}.marts_ledger"
    before = workspace.query(record)
    write_month(path, "green", dt.date(2023, 1, 1), 400)
    succeeded(run(workspace, "green", "2023-01", workspace.source, "--marts", "later"))
    succeeded(workspace.dbt("run", "--select", "month_quality"))
    assert workspace.query(record) == before
    assert "without their marts: 1" in workspace.loader("status").stdout


TABLES = ("hourly_zone_trips", "zone_pairs", "monthly_fares", "monthly_trips", "dropoff_hours")
TABLES += ("month_quality",)
