"""The numbers of a report, read from the marts; the same SQL on all warehouses."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from loader.calendar import Month, add_months, days_of, month_range, name_runs
from loader.datasets import Kind, datasets, get_dataset
from loader.errors import WarehouseError
from loader.report.coverage import Coverage, read_coverage
from loader.terminal.commands import nyc_tlc
from loader.warehouse.base import Warehouse

Rows = list[dict[str, Any]]

#: Airports, as zones of pickup.
AIRPORTS = {132: "JFK", 138: "LaGuardia", 1: "Newark"}
#: A zone, an hour, a month or an airport is shown by itself from so many trips on: below, an
#: average is chance.
LEAST_TRIPS = 100
#: What a passenger pays, from the fare on.
PARTS = {
    "fare_amount": "fare",
    "tip_amount": "tip",
    "tolls_amount": "tolls",
    "extra": "extra",
    "mta_tax": "MTA tax",
    "improvement_surcharge": "improvement surcharge",
    "congestion_surcharge": "congestion surcharge",
    "cbd_congestion_fee": "congestion pricing",
    "airport_fee": "airport fee",
    "ehail_fee": "e-hail fee",
    "black_car_fund": "Black Car Fund",
    "sales_tax": "sales tax",
}
#: In SQL: the trip began in the month of its file.
IN_FILE_MONTH = (
    "extract(year from pickup_hour) = extract(year from file_month)"
    " and extract(month from pickup_hour) = extract(month from file_month)"
)
#: In SQL: TLC's zones "Unknown" and "Outside of NYC" aren't zones of the city.
_IS_ZONE = "pickup_location_id not in (264, 265)"
#: How many months the page on quality goes back.
_QUALITY_MONTHS = 24


@dataclass(frozen=True)
class Numbers(Coverage):
    """All numbers of a report, of the months that count.

    Attributes:
        totals: sums by dataset and month, of the months and those that they are compared with.
        hours: trips, those whose tip is recorded, and their fares and tips, by dataset, day and
            hour. Trips that began in another month than their file's are left out.
        holidays: names of the months' holidays, by date.
        zones: trips by dataset, file month and known pickup zone, of the months as in `totals`.
        boroughs: trips by dataset and the boroughs of both ends; None where the zone is.
        companies: sums of apps by dataset and company; none where the marts of a month are older.
        payments: trips of taxis by dataset and payment type, with its name.
        airports: trips by dataset, airport and hour of the day, as in `hours`.
        quality: shares of odd rows by dataset and month, up to the last month.
        republished: months of which several versions were merged.
        versions: versions of the report's months, and of those that were republished.
        oddities: kinds of odd values that `quality` counts, with how to read them.
    """

    totals: Rows
    hours: Rows
    holidays: dict[dt.date, str]
    zones: Rows
    boroughs: Rows
    companies: Rows
    payments: Rows
    airports: Rows
    quality: Rows
    republished: set[Month]
    versions: Rows
    oddities: Rows

    def sums(self, dataset: str, months_back: int = 0) -> dict[str, float]:
        """Add up a dataset's totals of the months that `months` lists; 0 where no row has any."""
        months = self.months(dataset, months_back)
        rows = [r for r in self.totals if r["dataset"] == dataset and r["file_month"] in months]
        names = ("trips", "total_amount", "recorded_fare_amount", "recorded_tip_amount", *PARTS)
        names += ("timed_miles", "timed_minutes")
        return {name: sum(row[name] or 0 for row in rows) for name in names}

    def a_day(self, dataset: str, column: str, months_back: int = 0) -> float:
        """Return a sum by day: months have 28 to 31."""
        sums, days = self.sums(dataset, months_back), self.days(dataset, months_back)
        return sums[column] / len(days)

    def zone_trips(self, datasets: Iterable[str], months_back: int = 0) -> Counter[int]:
        """Count trips by zone of pickup, of the months that `months` lists."""
        months = {dataset: self.months(dataset, months_back) for dataset in datasets}
        trips: Counter[int] = Counter()
        for row in self.zones:
            if row["file_month"] in months.get(row["dataset"], ()):
                trips[row["pickup_location_id"]] += row["trips"]
        return trips


def is_app(dataset: str) -> bool:
    """Return whether a dataset is of apps: none of its trips has a payment type."""
    return get_dataset(dataset).kind == Kind.APP


def tips_by(
    rows: Rows, place_of: Callable[[dict[str, Any]], Any], prefix: str = "", least: int = 0
) -> dict[str, dict[Any, float]]:
    """Return tips in percent of the fares, by dataset and place.

    Args:
        place_of: the place of a row, such as its hour; None: it has none.
        prefix: of the columns of trips, fares and tips.
        least: only places with so many trips.
    """
    sums: dict[tuple[str, Any], Counter[str]] = defaultdict(Counter)
    for row in rows:
        if (place := place_of(row)) is not None:
            for column in ("trips", "fare_amount", "tip_amount"):
                sums[row["dataset"], place][column] += row[prefix + column] or 0
    found: dict[str, dict[Any, float]] = {}
    for (dataset, place), own in sorted(sums.items()):
        if own["fare_amount"] > 0 and own["trips"] >= least:
            tip = own["tip_amount"] / own["fare_amount"] * 100
            found.setdefault(dataset, {})[place] = tip
    return found


def newest_month(warehouse: Warehouse) -> dt.date | None:
    """Return the newest month that has marts; None when none has."""
    rows = warehouse.read("select max(file_month) as month from {marts}.month_quality")
    return rows[0]["month"] if rows else None


def read_rows(warehouse: Warehouse, query: str) -> Rows:
    """Run a query on the marts; sums come as floats, of which pictures are made."""
    return with_floats(warehouse.read(query))


def with_floats(rows: Rows) -> Rows:
    """Return rows whose decimals are floats."""
    return [
        {name: float(v) if isinstance(v, Decimal) else v for name, v in row.items()} for row in rows
    ]


def sums_of(*columns: str) -> str:
    """Return sums in SQL."""
    return ", ".join(f"sum({column}) as {column}" for column in columns)


def read_numbers(warehouse: Warehouse, first: dt.date, last: dt.date) -> Numbers:
    """Read the numbers of months.

    Raises:
        WarehouseError: when no dataset has marts of these months.
    """
    months = month_range(first, last)
    covered = read_coverage(warehouse, first, last)
    shown = covered.datasets
    if not shown:
        raise WarehouseError(
            f"{name_runs(months)}: no dataset has marts of it; load the month, or build its"
            f" marts: {nyc_tlc('marts')}"
        )
    before = [add_months(month, -covered.length) for month in months]
    year_before = [add_months(month, -12) for month in months]
    here = covered.condition(months, shown)
    here_and_before = covered.condition([*months, *before, *year_before], shown)
    taxis = covered.condition(months, [name for name in shown if not is_app(name)])
    apps = ", ".join(f"'{name}'" for name in datasets() if is_app(name))

    read = partial(read_rows, warehouse)
    versions = read(
        "select dataset, file_month, last_modified, merged_at, file_bytes, sha256, table_rows,"
        " rows_added, rows_removed,"
        " count(*) over (partition by dataset, file_month) - 1 as others"
        " from {tlc}.file_ledger order by dataset, file_month, merged_at"
    )
    summed = ("trips", "total_amount", *PARTS, "timed_miles", "timed_minutes")
    # tips that were paid in cash are in no file
    tips = ", ".join(
        f"sum(case when payment_type = 1 or dataset in ({apps}) then {name} end) as recorded_{name}"
        for name in ("trips", "fare_amount", "tip_amount")
    )
    return Numbers(
        **vars(covered),
        totals=read(
            f"select dataset, file_month, {sums_of(*summed)}, {tips}"
            " from {marts}.hourly_zone_trips"
            f" where {here_and_before} group by dataset, file_month"
        ),
        hours=read(
            "select dataset, cast(pickup_hour as date) as pickup_date,"
            f" extract(hour from pickup_hour) as hour_of_day, sum(trips) as trips, {tips}"
            f" from {{marts}}.hourly_zone_trips where {here} and {IN_FILE_MONTH}"
            " group by dataset, pickup_date, hour_of_day"
        ),
        holidays={
            row["date_day"]: row["holiday_name"]
            for row in read(
                "select date_day, holiday_name from {marts}.dates where is_holiday and date_day"
                f" between date '{first}' and date '{days_of(last)[-1]}'"
            )
        },
        zones=read(
            "select hourly.dataset, hourly.file_month, hourly.pickup_location_id,"
            " zones.zone_name, zones.borough, sum(hourly.trips) as trips"
            " from {marts}.hourly_zone_trips as hourly"
            " inner join {tlc}.taxi_zones as zones"
            " on hourly.pickup_location_id = zones.location_id"
            f" where {here_and_before} and {_IS_ZONE}"
            " group by 1, 2, 3, 4, 5 having sum(hourly.trips) > 0"
        ),
        boroughs=read(
            "select pairs.dataset, starts.borough as pickup_borough,"
            " ends.borough as dropoff_borough, sum(pairs.trips) as trips"
            " from {marts}.zone_pairs as pairs"
            " left join {tlc}.taxi_zones as starts"
            " on pairs.pickup_location_id = starts.location_id"
            " left join {tlc}.taxi_zones as ends"
            " on pairs.dropoff_location_id = ends.location_id"
            f" where {here} group by 1, 2, 3 having sum(pairs.trips) > 0"
        ),
        companies=read(
            "select dataset, company,"
            f" {sums_of('trips', 'total_amount', 'fare_amount', 'tip_amount')},"
            f" {sums_of('waiting_minutes', 'waited_trips')}"
            f" from {{marts}}.monthly_trips where {here} and dataset in ({apps})"
            " group by 1, 2 having sum(trips) > 0"
        ),
        payments=read(
            "select fares.dataset, fares.payment_type, names.payment_type_name,"
            " sum(fares.trips) as trips from {marts}.monthly_fares as fares"
            " left join {tlc}.payment_types as names on fares.payment_type = names.payment_type"
            f" where {taxis} group by 1, 2, 3 having sum(fares.trips) > 0"
        ),
        airports=read(
            "select dataset, pickup_location_id, extract(hour from pickup_hour) as hour_of_day,"
            f" sum(trips) as trips from {{marts}}.hourly_zone_trips where {here}"
            f" and {IN_FILE_MONTH} and pickup_location_id in ({', '.join(map(str, AIRPORTS))})"
            " group by 1, 2, 3 having sum(trips) > 0"
        ),
        quality=read(
            "select * from {marts}.month_quality where "
            + covered.condition(
                month_range(add_months(last, 1 - _QUALITY_MONTHS), last), datasets()
            )
            + " order by dataset, file_month"
        ),
        republished={Month(row["dataset"], row["file_month"]) for row in versions if row["others"]},
        versions=[row for row in versions if row["others"] or first <= row["file_month"] <= last],
        oddities=read("select * from {tlc}.oddities where counted_in is not null order by oddity"),
    )
