"""The trips of month files, as the marts should count them, told by plain Python."""

import csv
import datetime as dt
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from psycopg2.extras import RealDictCursor

from loader.calendar import file_name, next_month, parse_month
from loader.settings import PROJECT_DIR
from tests.conftest import DATA_DIR, Workspace, publish
from tests.exact import expected

_AMOUNTS_OF_TAXIS = ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "ehail_fee")
_AMOUNTS_OF_TAXIS += ("improvement_surcharge", "congestion_surcharge", "total_amount")
_AMOUNTS_OF_TAXIS += ("airport_fee", "cbd_congestion_fee")
_AMOUNTS_OF_APPS = {
    **{"fare_amount": "base_passenger_fare", "tip_amount": "tips", "tolls_amount": "tolls"},
    **{"black_car_fund": "bcf", "sales_tax": "sales_tax", "driver_pay": "driver_pay"},
    **{name: name for name in ("congestion_surcharge", "airport_fee", "cbd_congestion_fee")},
}
AMOUNTS = dict.fromkeys((*_AMOUNTS_OF_TAXIS, *_AMOUNTS_OF_APPS))
#: Zones that are none.
UNKNOWN = (264, 265, None)
#: Kinds of payment, by code.
KINDS = {0: "Flex Fare", 1: "Credit card", 2: "Cash", 3: "No charge", 4: "Dispute", 5: "Unknown"}


def files_of(months: list[tuple[str, str]], folder: Path) -> Path:
    """Fill a folder with the real files of months, or with generated ones in their place."""
    for dataset, month in months:
        name = file_name(dataset, parse_month(month))
        places = [DATA_DIR / place / name for place in ("trip-data", "old-yellow") if DATA_DIR]
        real = next((path for path in places if path.exists()), None)
        if real:
            (folder / name).symlink_to(real)
        else:
            publish(folder, dataset, month, 3_000)
    return folder


@cache
def seed(name: str) -> dict[str, dict[str, str]]:
    """Read a table of codes, by its first column."""
    with (PROJECT_DIR / "seeds" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return {next(iter(row.values())): row for row in csv.DictReader(file)}


class Trip:
    """A row of a file as the marts should count it; named as they name it."""

    def __init__(self, dataset: str, month: dt.date, row: dict[str, Any]) -> None:
        self.dataset, self.file_month, self.row = dataset, month, row
        apps = dataset in ("fhv", "fhvhv")
        fare, total = row.get("fare_amount"), row.get("total_amount")
        self.is_reversal = not apps and any(x is not None and x < 0 for x in (fare, total))
        meter = ("passenger_count", "rate_code_id", "store_and_fwd_flag")
        self.is_in_null_block = not apps and all(row[name] is None for name in meter)
        names = _AMOUNTS_OF_APPS if apps else {name: name for name in _AMOUNTS_OF_TAXIS}
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
        self.timed_miles, self.timed_minutes, self.mph = (
            (self.miles, self.minutes, self.miles / self.minutes * 60)
            if self.is_timed
            else (None, None, None)
        )
        self.payment_type = None if apps else row["payment_type"]
        self.is_tip_known = self.payment_type == 1 or dataset == "fhvhv"
        licence = seed("hvfhs_licenses").get(row.get("hvfhs_license_num"))
        base = seed("bases").get(row.get("dispatching_base_num"))
        self.company = (licence and licence["company"]) or (base and base["company"]) or None
        self.has_paid_fee = not self.is_reversal and (row.get("cbd_congestion_fee") or 0) > 0
        requested = row.get("request_datetime")
        waited = (pickup - requested).total_seconds() / 60 if pickup and requested else None
        self.waited = waited if waited is not None and 0 <= waited <= 180 else None
        self.has_waited = self.waited is not None
        self.pickup_hour = pickup and pickup.replace(minute=0, second=0, microsecond=0)
        self.is_outside = pickup is None or not month <= pickup.date() < next_month(month)
        self.pickup_location_id = row["pickup_location_id"]
        self.dropoff_location_id = row["dropoff_location_id"]
        self.is_unknown_zone = bool(
            {self.pickup_location_id, self.dropoff_location_id} & {*UNKNOWN}
        )

    @property
    def hour_of_day(self) -> int | None:
        """The hour in which it began."""
        return self.pickup and self.pickup.hour

    @property
    def dropoff_hour(self) -> int | None:
        """The hour in which it ended."""
        return self.dropoff and self.dropoff.hour

    @property
    def pickup_borough(self) -> str | None:
        """The borough in which it began."""
        return seed("taxi_zones").get(str(self.pickup_location_id), {}).get("borough")

    @property
    def is_borough_known(self) -> bool:
        """Whether it began in one of the city's boroughs, or in Newark."""
        return self.pickup_borough not in (None, "Unknown", "N/A")

    @property
    def zone_name(self) -> str | None:
        """The zone in which it began."""
        return seed("taxi_zones").get(str(self.pickup_location_id), {}).get("zone_name")

    @property
    def year_number(self) -> int:
        """The year of its file."""
        return self.file_month.year

    @property
    def is_night(self) -> bool:
        """Whether it began from 20:00 to 6:00."""
        return not 6 <= self.pickup.hour <= 19

    @property
    def payment_type_name(self) -> str | None:
        """How it was paid."""
        return KINDS.get(self.payment_type)


def trips_of(files: Path, dataset: str, month: str) -> list[Trip]:
    """Read the trips of a month's file."""
    file_month = parse_month(month)
    rows = expected(files / file_name(dataset, file_month), dataset).to_pylist()
    return [Trip(dataset, file_month, row) for row in rows]


# ---- What is counted of trips --------------------------------------------------------------------

Counted = Callable[[list[Trip]], float | None]


def count(trips: Iterable[Trip]) -> int:
    """Count trips, without reversals."""
    return sum(not trip.is_reversal for trip in trips)


def number_of(flag: str) -> Counted:
    """Count the trips that have a flag."""
    return lambda trips: sum(getattr(trip, flag) for trip in trips)


def added(values: Iterable[float | None]) -> float | None:
    """Add up the values that are there; None when there is none."""
    present = [value for value in values if value is not None]
    return math.fsum(present) if present else None


def sum_of(measure: str) -> Counted:
    """Add a measure of trips up."""
    return lambda trips: added(getattr(trip, measure) for trip in trips)


def total(trips: Iterable[Trip], amount: str = "total_amount") -> float | None:
    """Add an amount of trips up."""
    return added(trip.amounts.get(amount) for trip in trips)


def amount_of(name: str) -> Counted:
    """Add an amount of trips up, in a table of what is counted."""
    return lambda trips: total(trips, name)


def ratio(one: float | None, other: float | None, times: float = 1) -> float | None:
    """Divide; None when one is missing, or the divisor is 0."""
    return one / other * times if one is not None and other else None


def percentile(values: Iterable[float | None], share: float) -> float | None:
    """Return the smallest value that a share of the values doesn't exceed."""
    present = sorted(value for value in values if value is not None)
    return present[max(math.ceil(share * len(present)), 1) - 1] if present else None


def percentile_of(measure: str, share: float) -> Counted:
    """Return that of a measure of trips."""
    return lambda trips: percentile((getattr(trip, measure) for trip in trips), share)


def groups_of(trips: Iterable[Trip], names: str) -> dict[tuple, list[Trip]]:
    """Group trips by attributes."""
    found = defaultdict(list)
    for trip in trips:
        found[tuple(getattr(trip, name) for name in names.split())].append(trip)
    return found


def rows_by_name(workspace: Workspace, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a query, with the names of their columns."""
    with closing(workspace.connect()) as connection:
        cursor = connection.cursor(cursor_factory=RealDictCursor)
        cursor.execute(sql)
        return cursor.fetchall()


def assert_counted(
    rows: list[dict],
    names: str,
    groups: dict[tuple, list[Trip]],
    counted: dict[str, Counted],
    near: float = 0.0,
) -> None:
    """Compare a row for each group, found by columns, with what is counted of its trips."""
    assert len(rows) == len(groups)
    for row in rows:
        trips = groups[tuple(row[name] for name in names.split())]
        for name, counts in counted.items():
            found, wanted = row[name], counts(trips)
            assert found is wanted is None or math.isclose(
                float(found), float(wanted), rel_tol=1e-12, abs_tol=near
            ), (name, found, wanted, row)
