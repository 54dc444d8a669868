"""The numbers of a report, read from the marts; the same SQL on all warehouses."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from loader.errors import WarehouseError
from loader.months import add_months, format_month, month_range, next_month
from loader.state import MonthState, read_states
from loader.warehouse.base import Warehouse

Rows = list[dict[str, Any]]

#: Airports, as zones of pickup.
AIRPORTS = {132: "JFK", 138: "LaGuardia", 1: "Newark"}
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
    "black_car_fund": "Black Car Fund",
    "sales_tax": "sales tax",
}
#: How many months the page on quality goes back.
_QUALITY_MONTHS = 24


@dataclass(frozen=True)
class Numbers:
    """All numbers of a report.

    Attributes:
        first: first month.
        last: last month.
        datasets: those that have marts in these months.
        totals: sums by dataset and month, of the months and those that they are compared with.
        hours: trips, and fares and tips by card, by dataset, day and hour.
        zones: trips by dataset, pickup zone and whether they are of the months before.
        boroughs: trips by dataset and the boroughs of both ends.
        payments: trips by dataset and kind of payment.
        airports: trips by dataset, airport and hour of the day.
        quality: shares of odd rows by dataset and month, up to the last month.
        states: the months that the warehouse knows.
        republished: months of which several versions were merged.
    """

    first: dt.date
    last: dt.date
    datasets: Sequence[str]
    totals: Rows
    hours: Rows
    zones: Rows
    boroughs: Rows
    payments: Rows
    airports: Rows
    quality: Rows
    states: list[MonthState]
    republished: set[tuple[str, dt.date]]

    @property
    def title(self) -> str:
        """The months, as people write them."""
        names = [f"{month:%B %Y}" for month in (self.first, self.last)]
        return names[0] if self.first == self.last else " to ".join(names)

    def sums(self, dataset: str, months_back: int = 0) -> dict[str, float] | None:
        """Add up a dataset's totals.

        Args:
            dataset: the dataset.
            months_back: 0 for the report's months, else how far the months lie before them.

        Returns:
            Sums by column; None when a month is missing.
        """
        months = {add_months(month, -months_back) for month in month_range(self.first, self.last)}
        rows = [row for row in self.totals if row["dataset"] == dataset]
        rows = [row for row in rows if row["file_month"] in months]
        if len(rows) < len(months):
            return None
        names = [name for name in rows[0] if name not in ("dataset", "file_month")]
        return {name: sum(row[name] or 0 for row in rows) for name in names}


def newest_month(warehouse: Warehouse) -> dt.date | None:
    """Return the newest month that has marts; None when none has.

    Args:
        warehouse: the warehouse.
    """
    rows = warehouse.read("select max(file_month) as month from {marts}.month_quality")
    return rows[0]["month"] if rows else None


def read_numbers(warehouse: Warehouse, first: dt.date, last: dt.date) -> Numbers:
    """Read the numbers of months.

    Args:
        warehouse: the warehouse.
        first: first month.
        last: last month.

    Raises:
        WarehouseError: when no dataset has marts of these months.
    """
    months = month_range(first, last)
    before = [add_months(month, -len(months)) for month in months]
    year_before = [add_months(month, -12) for month in months]
    here = f"file_month between date '{first}' and date '{last}'"
    listed = ", ".join(f"date '{month}'" for month in {*months, *before, *year_before})
    both = ", ".join(f"date '{month}'" for month in {*months, *before})
    in_time = f"{here} and pickup_hour >= '{first}' and pickup_hour < '{next_month(last)}'"

    def read(query: str) -> Rows:
        return [
            {n: float(v) if isinstance(v, Decimal) else v for n, v in row.items()}
            for row in warehouse.read(query)
        ]

    sums = ", ".join(f"sum({name}) as {name}" for name in ("trips", "total_amount", *PARTS))
    card = "case when payment_type = 1 then"
    totals = read(
        f"select dataset, file_month, {sums}, sum({card} fare_amount end) as card_fare_amount,"
        f" sum({card} tip_amount end) as card_tip_amount from {{marts}}.hourly_zone_trips"
        f" where file_month in ({listed}) group by dataset, file_month"
    )
    datasets = sorted({row["dataset"] for row in totals if first <= row["file_month"] <= last})
    if not datasets:
        raise WarehouseError(
            f"{format_month(first)}: no dataset has marts of it; load the month, or build its"
            " marts: nyc-tlc marts"
        )
    return Numbers(
        first=first,
        last=last,
        datasets=datasets,
        totals=totals,
        hours=read(
            "select dataset, cast(pickup_hour as date) as pickup_date,"
            " extract(hour from pickup_hour) as hour_of_day, sum(trips) as trips,"
            f" sum({card} fare_amount end) as card_fare_amount,"
            f" sum({card} tip_amount end) as card_tip_amount from {{marts}}.hourly_zone_trips"
            f" where {in_time} group by dataset, pickup_date, hour_of_day"
        ),
        zones=read(
            "select hourly.dataset, hourly.pickup_location_id, zones.zone_name, zones.borough,"
            f" hourly.file_month < date '{first}' as is_before, sum(hourly.trips) as trips"
            " from {marts}.hourly_zone_trips as hourly"
            " inner join {tlc}.taxi_zones as zones"
            " on hourly.pickup_location_id = zones.location_id"
            f" where hourly.file_month in ({both}) group by 1, 2, 3, 4, 5"
        ),
        boroughs=read(
            "select pairs.dataset, starts.borough as pickup_borough,"
            " ends.borough as dropoff_borough, sum(pairs.trips) as trips"
            " from {marts}.zone_pairs as pairs"
            " inner join {tlc}.taxi_zones as starts"
            " on pairs.pickup_location_id = starts.location_id"
            " inner join {tlc}.taxi_zones as ends"
            " on pairs.dropoff_location_id = ends.location_id"
            f" where {here} group by 1, 2, 3"
        ),
        payments=read(
            "select fares.dataset, names.payment_type_name, sum(fares.trips) as trips"
            " from {marts}.monthly_fares as fares"
            " inner join {tlc}.payment_types as names on fares.payment_type = names.payment_type"
            f" where {here} group by 1, 2"
        ),
        airports=read(
            "select dataset, pickup_location_id, extract(hour from pickup_hour) as hour_of_day,"
            " sum(trips) as trips from {marts}.hourly_zone_trips"
            f" where {in_time} and pickup_location_id in ({', '.join(map(str, AIRPORTS))})"
            " group by 1, 2, 3"
        ),
        quality=read(
            "select * from {marts}.month_quality"
            f" where file_month between date '{add_months(last, 1 - _QUALITY_MONTHS)}'"
            f" and date '{last}' order by dataset, file_month"
        ),
        states=list(read_states(warehouse).values()),
        republished={
            (row["dataset"], row["file_month"])
            for row in read(
                "select dataset, file_month from {tlc}.file_ledger"
                " group by dataset, file_month having count(*) > 1"
            )
        },
    )
