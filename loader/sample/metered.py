"""Trips of yellow since 2011, and of green: values, and the quirks that break naive loads."""

import datetime as dt
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from loader.calendar import next_month
from loader.sample.layouts import ALWAYS, Column, Dated, Trips, at, since
from loader.sample.row_group import RowGroup, blanked, remainder
from loader.sample.trips import (
    AIRPORT_ZONES,
    distances,
    dollars,
    durations,
    epoch,
    pickup_times,
    timestamps,
    zones,
)

# ---- The quirks and how often they happen -------------------------------------------------------

#: Share of a month's rows, drawn at random.
UNKNOWN_PICKUP_ZONE = 0.003  # zones 264 and 265
UNKNOWN_DROPOFF_ZONE = 0.01
TOTAL_IS_OFF = 0.002  # total_amount is not the sum of its parts
NO_SURCHARGE_IN_CSV: Dated[float] = {ALWAYS: 0.866, since(2019, 2): 0.0}

#: First row number and step: fixed row numbers, so that small samples have these quirks too. A twin
#: copies the row before it: twins are on odd rows, the other quirks on even ones.
REPEATED_KEY = (999, 20_000)  # the trip of the row before again, with the null block
STRAY_PICKUP = (100, 3_000)  # the pickup is outside the file's month
DROPOFF_FIRST = (200, 5_000)  # the dropoff is before the pickup
LONG_DISTANCE = (300, 1_500)  # more than 1,000 miles
RATECODE_99 = (400, 8_000)  # the code of an unknown rate

#: Columns of the null block (those that the dataset has). payment_type goes with it.
NULL_BLOCK_COLUMNS = (
    "passenger_count",
    "ratecodeid",
    "store_and_fwd_flag",
    "congestion_surcharge",
    "trip_type",
    "airport_fee",
)

# ---- What values look like ----------------------------------------------------------------------

#: Values and their weights.
VENDORS: Dated[dict[int, int]] = {
    ALWAYS: {1: 300, 2: 700},
    since(2020, 4): {1: 298, 2: 700, 6: 2},
    since(2025, 2): {1: 190, 2: 700, 6: 80, 7: 30},
}
PASSENGERS = {0: 10, 1: 750, 2: 130, 3: 40, 4: 20, 5: 30, 6: 20}
RATECODES = {1: 960, 2: 20, 3: 5, 4: 4, 5: 10, 6: 1}
PAYMENT_TYPES = {1: 690, 2: 300, 3: 7, 4: 3}

#: Amounts in cents.
EXTRAS = {0: 560, 50: 160, 100: 180, 250: 100}
TOLLS = {0: 965, 655: 30, 1375: 5}
MTA_TAX = 50
IMPROVEMENT_SURCHARGE: Dated[int] = {ALWAYS: 0, since(2015, 1): 30, since(2023, 1): 100}
AIRPORT_FEE: Dated[int] = {ALWAYS: 125, since(2023, 3): 175}
#: What total_amount adds up.
PARTS = (
    "fare_amount",
    "extra",
    "mta_tax",
    "tip_amount",
    "tolls_amount",
    "improvement_surcharge",
    "congestion_surcharge",
    "airport_fee",
    "cbd_congestion_fee",
)

#: Columns whose types changed alike in both datasets.
CONGESTION_SURCHARGE = Column(
    "congestion_surcharge", {ALWAYS: pa.null(), since(2019, 1): pa.float64()}
)
REQUEST_SOURCE = Column("request_source", {ALWAYS: None, since(2026, 6): pa.string()})


@dataclass(frozen=True)
class Metered:
    """What differs between the trips of yellow and of green.

    Attributes:
        reversals: share of rows that are the negative twin of the charge in the row before.
        null_block: share of rows whose columns of the meter are all null.
        null_block_payment: payment_type of the null block.
        popular_zones: zones and weights.
        congestion_surcharge: cents and weights.
        cbd_fee: cents and weights.
        null_block_has_surcharge_in_csv: congestion_surcharge isn't null there in the CSV copies.
    """

    reversals: Dated[float]
    null_block: float
    null_block_payment: int | None
    popular_zones: dict[int, int]
    congestion_surcharge: Dated[dict[int, int]]
    cbd_fee: dict[int, int]
    null_block_has_surcharge_in_csv: bool

    def make(self, group: RowGroup, filled: set[str]) -> Trips:
        """Make the trips of a row group: trips first, then the quirks that concern whole rows.

        Args:
            group: the row group.
            filled: names of the file's columns that have values.
        """
        trips = self._trips(group)
        trips |= self._amounts(group, trips, filled)
        trips |= _odd_values(group, trips)
        reversal, repeat = self._twin_rows(group)
        trips = _copy_row_before(trips, pc.or_(reversal, repeat))
        trips |= _negated(trips, reversal)
        trips |= self._null_block(group, trips, reversal, repeat)
        return _as_published(trips)

    def as_in_csv(self, group: RowGroup, trips: Trips) -> Trips:
        """Change the values that are others in the frozen CSV copies.

        Args:
            group: the row group.
            trips: as in the Parquet file.
        """
        block = trips["passenger_count"].is_null()
        surcharge = trips["congestion_surcharge"]
        if self.null_block_has_surcharge_in_csv:
            drawn = group.pick("congestion", at(group.month, self.congestion_surcharge))
            surcharge = pc.if_else(block, dollars(drawn), surcharge)
        missing = group.chance("no surcharge in CSV", at(group.month, NO_SURCHARGE_IN_CSV))
        return trips | {
            "vendorid": blanked(trips["vendorid"], block),
            "payment_type": blanked(trips["payment_type"], block),
            "congestion_surcharge": blanked(surcharge, missing),
        }

    def _trips(self, group: RowGroup) -> Trips:
        """Make what is known of a trip besides its amounts; hundredths of miles, seconds."""
        pickup = _with_strays(group, pickup_times(group))
        distance = distances(group)
        seconds = durations(group, distance)
        backwards = pc.negate(group.below("backwards", 3_600))
        seconds = pc.if_else(group.every(DROPOFF_FIRST), pc.subtract(backwards, 1), seconds)
        ratecode = group.pick("rate code", RATECODES)
        return {
            "vendorid": group.pick("vendor", at(group.month, VENDORS)),
            "pickup_datetime": pickup,
            "dropoff_datetime": pc.add(pickup, seconds),
            "store_and_fwd_flag": pc.if_else(group.chance("flag", 0.005), "Y", "N"),
            "ratecodeid": ratecode,
            "pulocationid": zones(group, "pickup zone", self.popular_zones, UNKNOWN_PICKUP_ZONE),
            "dolocationid": zones(group, "dropoff zone", self.popular_zones, UNKNOWN_DROPOFF_ZONE),
            "passenger_count": group.pick("passengers", PASSENGERS),
            "trip_distance": distance,
            "payment_type": group.pick("payment", PAYMENT_TYPES),
            # A negotiated fare is a dispatched trip, all others are hailed.
            "trip_type": pc.if_else(pc.equal(ratecode, 5), pa.scalar(2, pa.int64()), 1),
            "request_source": pc.if_else(group.chance("source", 0.1), "APP", "STREET"),
        }

    def _amounts(self, group: RowGroup, trips: Trips, filled: set[str]) -> Trips:
        """Make the amounts of the trips, in cents."""
        # 3 dollars, then 70 cents for every fifth of a mile.
        fare = pc.add(300, pc.multiply(pc.divide(trips["trip_distance"], 20), 70))
        tip = pc.divide(pc.multiply(fare, group.below("tip", 31)), 100)
        from_airport = pc.is_in(trips["pulocationid"], pa.array(AIRPORT_ZONES, pa.int64()))
        amounts = {
            "fare_amount": fare,
            "extra": group.pick("extra", EXTRAS),
            "mta_tax": group.constant(MTA_TAX),
            # Tips are recorded for cards (payment type 1) only.
            "tip_amount": pc.if_else(pc.equal(trips["payment_type"], 1), tip, 0),
            "tolls_amount": group.pick("tolls", TOLLS),
            "improvement_surcharge": group.constant(at(group.month, IMPROVEMENT_SURCHARGE)),
            "congestion_surcharge": group.pick(
                "congestion", at(group.month, self.congestion_surcharge)
            ),
            "airport_fee": pc.if_else(from_airport, at(group.month, AIRPORT_FEE), 0),
            "cbd_congestion_fee": group.pick("cbd", self.cbd_fee),
            "ehail_fee": pa.nulls(group.rows, pa.int64()),
        }
        total = pc.if_else(group.chance("total is off", TOTAL_IS_OFF), group.constant(100), 0)
        for part in filled.intersection(PARTS):
            total = pc.add(total, amounts[part])
        return amounts | {"total_amount": total}

    def _twin_rows(self, group: RowGroup) -> tuple[pa.Array, pa.Array]:
        """Choose the rows that are a twin of the row before: reversals, and repeats of a trip."""
        repeat = group.every(REPEATED_KEY)
        odd = pc.equal(remainder(group.numbers, 2), 1)
        share = at(group.month, self.reversals)
        reversal = pc.and_(odd, group.chance("reversal", 2 * share))  # only odd rows can be one
        return pc.and_not(reversal, repeat), repeat

    def _null_block(
        self, group: RowGroup, trips: Trips, reversal: pa.Array, repeat: pa.Array
    ) -> Trips:
        """Take the meter's columns from some rows: from repeats always, from their sources never.

        The two halves of a reversal keep theirs, because the halves share them in TLC's files.
        """
        twin = pc.or_(reversal, repeat)
        has_twin = pa.concat_arrays([twin.slice(1), pa.array([False])])
        drawn = group.chance("null block", self.null_block)
        block = pc.or_(pc.and_not(drawn, pc.or_(twin, has_twin)), repeat)
        payment = pa.scalar(self.null_block_payment, pa.int64())
        return {name: blanked(trips[name], block) for name in NULL_BLOCK_COLUMNS} | {
            "payment_type": pc.if_else(block, payment, trips["payment_type"])
        }


def _with_strays(group: RowGroup, pickup: pa.Array) -> pa.Array:
    """Move some pickups out of the month in turn: meters that lost their clock, its ends."""
    hours = pa.array(
        [
            epoch(group.month) - 3_600,
            epoch(dt.date(2009, 1, 1)) - 3_600,
            epoch(next_month(group.month)),
            epoch(dt.date(2009, 1, 1)),
        ],
        pa.int64(),
    )
    _, step = STRAY_PICKUP
    hour = hours.take(remainder(pc.divide(group.numbers, step), len(hours)))
    stray = pc.add(hour, remainder(pickup, 3_600))
    return pc.if_else(group.every(STRAY_PICKUP), stray, pickup)


def _odd_values(group: RowGroup, trips: Trips) -> Trips:
    """Replace the distance and the rate code of some rows, whose amounts stay plausible."""
    long = pc.add(100_001, group.below("long distance", 20_000_000))
    return {
        "trip_distance": pc.if_else(group.every(LONG_DISTANCE), long, trips["trip_distance"]),
        "ratecodeid": pc.if_else(group.every(RATECODE_99), 99, trips["ratecodeid"]),
    }


def _copy_row_before(trips: Trips, twins: pa.Array) -> Trips:
    """Make twins equal to the row before in all columns."""
    here = pa.array(range(len(twins)), pa.int64())
    source = pc.if_else(twins, pc.subtract(here, 1), here)
    return {name: column.take(source) for name, column in trips.items()}


def _negated(trips: Trips, reversal: pa.Array) -> Trips:
    """Give reversals the negative of all amounts of their charge."""
    amounts = [*PARTS, "total_amount"]
    negated = {name: pc.if_else(reversal, pc.negate(trips[name]), trips[name]) for name in amounts}
    no_charge = 3  # the payment type of most of TLC's
    return negated | {"payment_type": pc.if_else(reversal, no_charge, trips["payment_type"])}


def _as_published(trips: Trips) -> Trips:
    """Turn seconds into timestamps, cents into dollars, hundredths of miles into miles."""
    times = ("pickup_datetime", "dropoff_datetime")
    hundredths = (*PARTS, "ehail_fee", "total_amount", "trip_distance")
    return (
        trips
        | {name: timestamps(trips[name]) for name in times}
        | {name: dollars(trips[name]) for name in hundredths}
    )
