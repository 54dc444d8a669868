"""Makes month files that look like TLC's: for tests, demonstrations and measurements offline.

A file has TLC's header, column order, Arrow types and compression of its month, plausible values,
and the quirks that break naive loads: the tables below say how often each one happens. The same
arguments always give the same values. Only `pyarrow` is needed: its random numbers are as fast as
numpy's, and a row group is made at a time, so memory stays bounded.

Two simplifications: the null block is in all months (in TLC's files it starts in 2019, and stands
at the file's end), and rows are ordered by day, not by second.
"""

import datetime as dt
import hashlib
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loader.datasets import check_supported
from loader.months import format_month, next_month

T = TypeVar("T")
#: A value that changes over time: the first month of each value, ascending.
Dated = dict[dt.date, T]
#: Columns under construction, by lower-case name; amounts are whole cents until the very end.
Trips = dict[str, pa.Array]

ALWAYS = dt.date.min


def _since(year: int, month: int) -> dt.date:
    return dt.date(year, month, 1)


# ---- The quirks and how often they happen -------------------------------------------------------

#: Share of a month's rows, drawn at random.
REVERSALS: dict[str, Dated[float]] = {  # the negative twin of the charge in the row before
    "green": {ALWAYS: 0.003},
    "yellow": {ALWAYS: 0.001, _since(2023, 1): 0.01, _since(2025, 1): 0.04},
}
NULL_BLOCK = {"green": 0.06, "yellow": 0.05}  # the meter's columns are all null
UNKNOWN_PICKUP_ZONE = 0.003  # zones 264 and 265
UNKNOWN_DROPOFF_ZONE = 0.01
TOTAL_IS_OFF = 0.002  # total_amount is not the sum of its parts

#: First row number and step: fixed row numbers, so that small samples have these quirks too. A twin
#: copies the row before it: twins are on odd rows, the other quirks on even ones.
REPEATED_KEY = (999, 20_000)  # the trip of the row before again, with the null block
STRAY_PICKUP = (100, 3_000)  # the pickup is outside the file's month
DROPOFF_FIRST = (200, 5_000)  # the dropoff is before the pickup
LONG_DISTANCE = (300, 1_500)  # more than 1,000 miles
RATECODE_99 = (400, 8_000)  # the code of an unknown rate

#: Columns of the null block (those that the dataset has). payment_type goes with it: see
#: `_null_block`.
NULL_BLOCK_COLUMNS = (
    "passenger_count",
    "ratecodeid",
    "store_and_fwd_flag",
    "congestion_surcharge",
    "trip_type",
    "airport_fee",
)

# ---- Columns and types, as TLC changed them -----------------------------------------------------

_ID: Dated[pa.DataType] = {ALWAYS: pa.int64(), _since(2023, 2): pa.int32()}
_TIME: Dated[pa.DataType] = {ALWAYS: pa.timestamp("us")}
_MONEY: Dated[pa.DataType] = {ALWAYS: pa.float64()}
_FLAG: Dated[pa.DataType] = {ALWAYS: pa.string(), _since(2023, 2): pa.large_string()}
_GREEN_CODE: Dated[pa.DataType] = {ALWAYS: pa.float64(), _since(2023, 2): pa.int64()}
_YELLOW_CODE: Dated[pa.DataType] = {
    ALWAYS: pa.int64(),
    _since(2018, 7): pa.float64(),
    _since(2023, 2): pa.int64(),
}
_CONGESTION: Dated[pa.DataType] = {ALWAYS: pa.null(), _since(2019, 1): pa.float64()}
_NEWER_COLUMNS: list[tuple[str, Dated[pa.DataType | None]]] = [
    ("cbd_congestion_fee", {ALWAYS: None, _since(2025, 1): pa.float64()}),
    ("request_source", {ALWAYS: None, _since(2026, 6): pa.string()}),
]

#: Header and type of each column; None: a file has no such column then. The null type is what
#: pandas wrote for a column without any value.
COLUMNS: dict[str, list[tuple[str, Dated[pa.DataType | None]]]] = {
    "green": [
        ("VendorID", _ID),
        ("lpep_pickup_datetime", _TIME),
        ("lpep_dropoff_datetime", _TIME),
        ("store_and_fwd_flag", _FLAG),
        ("RatecodeID", _GREEN_CODE),
        ("PULocationID", _ID),
        ("DOLocationID", _ID),
        ("passenger_count", _GREEN_CODE),
        ("trip_distance", _MONEY),
        ("fare_amount", _MONEY),
        ("extra", _MONEY),
        ("mta_tax", _MONEY),
        ("tip_amount", _MONEY),
        ("tolls_amount", _MONEY),
        (
            "ehail_fee",
            {ALWAYS: pa.float64(), _since(2019, 9): pa.null(), _since(2023, 2): pa.float64()},
        ),
        ("improvement_surcharge", _MONEY),
        ("total_amount", _MONEY),
        ("payment_type", _GREEN_CODE),
        ("trip_type", _GREEN_CODE),
        ("congestion_surcharge", _CONGESTION),
        *_NEWER_COLUMNS,
    ],
    "yellow": [
        ("VendorID", _ID),
        ("tpep_pickup_datetime", _TIME),
        ("tpep_dropoff_datetime", _TIME),
        ("passenger_count", _YELLOW_CODE),
        ("trip_distance", _MONEY),
        ("RatecodeID", _YELLOW_CODE),
        ("store_and_fwd_flag", _FLAG),
        ("PULocationID", _ID),
        ("DOLocationID", _ID),
        ("payment_type", {ALWAYS: pa.int64()}),
        ("fare_amount", _MONEY),
        ("extra", _MONEY),
        ("mta_tax", _MONEY),
        ("tip_amount", _MONEY),
        ("tolls_amount", _MONEY),
        ("improvement_surcharge", _MONEY),
        ("total_amount", _MONEY),
        ("congestion_surcharge", _CONGESTION),
        (
            "airport_fee",
            {ALWAYS: pa.null(), _since(2021, 1): pa.float64(), _since(2023, 2): None},
        ),
        ("Airport_fee", {ALWAYS: None, _since(2023, 2): pa.float64()}),
        *_NEWER_COLUMNS,
    ],
}

#: Codec and level. Arrow's default level of gzip, 9, takes eight times longer for the same size.
COMPRESSION: Dated[tuple[str, int]] = {ALWAYS: ("gzip", 5), _since(2023, 2): ("zstd", 1)}
ROW_GROUP = 1_000_000  # even, so that a twin is in the row group of the row it copies

# ---- What values look like ----------------------------------------------------------------------

#: Values and their weights.
VENDORS: Dated[dict[int, int]] = {
    ALWAYS: {1: 300, 2: 700},
    _since(2020, 4): {1: 298, 2: 700, 6: 2},
    _since(2025, 2): {1: 190, 2: 700, 6: 80, 7: 30},
}
PASSENGERS = {0: 10, 1: 750, 2: 130, 3: 40, 4: 20, 5: 30, 6: 20}
RATECODES = {1: 960, 2: 20, 3: 5, 4: 4, 5: 10, 6: 1}
PAYMENT_TYPES = {1: 690, 2: 300, 3: 7, 4: 3}
POPULAR_ZONES = {
    "green": {74: 30, 75: 25, 41: 13, 166: 12, 95: 11, 82: 9},
    "yellow": {237: 18, 236: 17, 161: 16, 132: 14, 162: 13, 186: 12, 138: 10},
}
AIRPORT_ZONES = (132, 138)
ZONES = 263  # without the two unknown ones
#: Share of the day's trips in each hour, from midnight.
HOURS = dict(
    enumerate(
        [30, 20, 13, 9, 7, 10, 22, 36, 45, 46, 46, 47, 49, 50, 53, 54, 51, 57, 66, 64] + [56] * 4
    )
)

#: Amounts in cents.
EXTRAS = {0: 560, 50: 160, 100: 180, 250: 100}
TOLLS = {0: 965, 655: 30, 1375: 5}
MTA_TAX = 50
IMPROVEMENT_SURCHARGE: Dated[int] = {ALWAYS: 0, _since(2015, 1): 30, _since(2023, 1): 100}
CONGESTION_SURCHARGE: dict[str, Dated[dict[int, int]]] = {
    "green": {ALWAYS: {0: 1}, _since(2019, 2): {0: 72, 275: 28}},
    "yellow": {ALWAYS: {0: 1}, _since(2019, 2): {0: 10, 250: 90}},
}
CBD_FEE = {"green": {0: 93, 75: 7}, "yellow": {0: 25, 75: 75}}
AIRPORT_FEE: Dated[int] = {ALWAYS: 125, _since(2023, 3): 175}
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


def schema_of(dataset: str, month: dt.date) -> pa.Schema:
    """Return the Arrow schema of TLC's file of a month.

    Args:
        dataset: green or yellow.
        month: the file month.

    Returns:
        The columns in TLC's order, spelling and types.
    """
    types = [(header, _at(month, types)) for header, types in COLUMNS[dataset]]
    return pa.schema([(header, kind) for header, kind in types if kind is not None])


def write_month(path: Path, dataset: str, month: dt.date, rows: int, seed: int = 0) -> None:
    """Write one month file. It appears under its name only when it is complete.

    Args:
        path: the file to write; its folder exists.
        dataset: green or yellow.
        month: the file month.
        rows: number of rows; 0 makes a file with a header only.
        seed: another seed gives other trips.

    Raises:
        UsageError: when the dataset has no such month.
    """
    check_supported(dataset, month)
    schema = schema_of(dataset, month)
    codec, level = _at(month, COMPRESSION)
    unfinished = path.with_name(path.name + ".part")
    try:
        with pq.ParquetWriter(
            unfinished, schema, compression=codec, compression_level=level
        ) as writer:
            for first in range(0, rows, ROW_GROUP):
                group = _RowGroup(dataset, month, seed, rows, first)
                writer.write_table(_table(group, schema), row_group_size=ROW_GROUP)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class _RowGroup:
    """Where a row group is in its month, and its random numbers.

    Every draw has a name, and a seed made of that name: a new column leaves the others' values
    alone, and a row group does not depend on those before it.
    """

    def __init__(
        self, dataset: str, month: dt.date, seed: int, month_rows: int, first: int
    ) -> None:
        self.dataset = dataset
        self.month = month
        self.month_rows = month_rows
        self.rows = min(ROW_GROUP, month_rows - first)
        #: Row numbers, counted from the start of the file.
        self.numbers = pa.array(range(first, first + self.rows), pa.int64())
        self._label = f"{dataset} {format_month(month)} {seed} {first}"

    def uniform(self, name: str) -> pa.Array:
        """Draw a number of [0, 1) for each row."""
        digest = hashlib.sha256(f"{self._label} {name}".encode()).digest()
        return pc.random(self.rows, initializer=int.from_bytes(digest[:7], "big"))

    def below(self, name: str, limit: int) -> pa.Array:
        """Draw an integer of [0, limit) for each row."""
        return pc.cast(pc.floor(pc.multiply(self.uniform(name), float(limit))), pa.int64())

    def pick(self, name: str, weights: dict[int, int]) -> pa.Array:
        """Draw one of the values for each row, as often as its weight says."""
        values = [value for value, weight in weights.items() for _ in range(weight)]
        return pa.array(values, pa.int64()).take(self.below(name, len(values)))

    def chance(self, name: str, share: float) -> pa.Array:
        """Draw a boolean for each row, true for this share of the rows."""
        return pc.less(self.uniform(name), share)

    def every(self, first_and_step: tuple[int, int]) -> pa.Array:
        """Return a boolean for each row, true for the row numbers first, first + step, ..."""
        first, step = first_and_step
        return pc.equal(_remainder(self.numbers, step), first)

    def constant(self, value: int) -> pa.Array:
        """Return the same value for each row."""
        return pa.repeat(pa.scalar(value, pa.int64()), self.rows)


def _table(group: _RowGroup, schema: pa.Schema) -> pa.Table:
    """Make the trips of a row group: trips first, then the quirks that concern whole rows."""
    trips = _trips(group)
    trips |= _amounts(group, trips, schema)
    trips |= _odd_values(group, trips)
    reversal, repeat = _twin_rows(group)
    trips = _copy_row_before(trips, pc.or_(reversal, repeat))
    trips |= _negated(trips, reversal)
    trips |= _null_block(group, trips, reversal, repeat)
    return pa.table([_finished(trips, field, group.rows) for field in schema], schema=schema)


def _trips(group: _RowGroup) -> Trips:
    """Make what is known of a trip besides its amounts; hundredths of miles, whole seconds."""
    pickup = _pickup_times(group)
    # Exponential around 2.5 miles, and 2.5 to 6.5 minutes a mile.
    exponential = pc.negate(pc.ln(pc.subtract(1.0, group.uniform("distance"))))
    distance = pc.cast(pc.floor(pc.add(30.0, pc.multiply(exponential, 250.0))), pa.int64())
    pace = pc.add(150, group.below("pace", 240))
    seconds = pc.add(60, pc.divide(pc.multiply(distance, pace), 100))
    backwards = pc.negate(group.below("backwards", 3_600))
    seconds = pc.if_else(group.every(DROPOFF_FIRST), pc.subtract(backwards, 1), seconds)
    pickup_zone = _zones(group, "pickup zone", UNKNOWN_PICKUP_ZONE)
    ratecode = group.pick("rate code", RATECODES)
    return {
        "vendorid": group.pick("vendor", _at(group.month, VENDORS)),
        "pickup_datetime": pickup,
        "dropoff_datetime": pc.add(pickup, seconds),
        "store_and_fwd_flag": pc.if_else(group.chance("flag", 0.005), "Y", "N"),
        "ratecodeid": ratecode,
        "pulocationid": pickup_zone,
        "dolocationid": _zones(group, "dropoff zone", UNKNOWN_DROPOFF_ZONE),
        "passenger_count": group.pick("passengers", PASSENGERS),
        "trip_distance": distance,
        "payment_type": group.pick("payment", PAYMENT_TYPES),
        # A negotiated fare is a dispatched trip, all others are hailed.
        "trip_type": pc.if_else(pc.equal(ratecode, 5), pa.scalar(2, pa.int64()), 1),
        "request_source": pc.if_else(group.chance("source", 0.1), "APP", "STREET"),
    }


def _pickup_times(group: _RowGroup) -> pa.Array:
    """Spread pickups over the month's days and the day's hours, with strays; epoch seconds."""
    days = (next_month(group.month) - group.month).days
    position = pc.divide(pc.cast(group.numbers, pa.float64()), float(group.month_rows))
    day = pc.cast(pc.floor(pc.multiply(position, float(days))), pa.int64())
    hour = group.pick("hour", HOURS)
    second = group.below("second", 3_600)
    hours = pc.add(pc.multiply(day, 24), hour)
    inside = pc.add(pc.add(pc.multiply(hours, 3_600), second), _epoch(group.month))
    stray = pc.add(_stray_hours(group), second)
    return pc.if_else(group.every(STRAY_PICKUP), stray, inside)


def _stray_hours(group: _RowGroup) -> pa.Array:
    """Return the hours of stray pickups in turn: meters that lost their clock, the month's ends."""
    hours = pa.array(
        [
            _epoch(group.month) - 3_600,
            _epoch(dt.date(2009, 1, 1)) - 3_600,
            _epoch(next_month(group.month)),
            _epoch(dt.date(2009, 1, 1)),
        ],
        pa.int64(),
    )
    _, step = STRAY_PICKUP
    return hours.take(_remainder(pc.divide(group.numbers, step), len(hours)))


def _zones(group: _RowGroup, name: str, unknown_share: float) -> pa.Array:
    """Pick zones: half of the trips at the dataset's popular ones, a few at 264 and 265."""
    anywhere = pc.add(1, group.below(f"any {name}", ZONES))
    popular = group.pick(f"popular {name}", POPULAR_ZONES[group.dataset])
    known = pc.if_else(group.chance(f"{name} is popular", 0.5), popular, anywhere)
    unknown = group.pick(f"unknown {name}", {264: 3, 265: 1})
    return pc.if_else(group.chance(f"{name} is unknown", unknown_share), unknown, known)


def _amounts(group: _RowGroup, trips: Trips, schema: pa.Schema) -> Trips:
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
        "improvement_surcharge": group.constant(_at(group.month, IMPROVEMENT_SURCHARGE)),
        "congestion_surcharge": group.pick(
            "congestion", _at(group.month, CONGESTION_SURCHARGE[group.dataset])
        ),
        "airport_fee": pc.if_else(from_airport, _at(group.month, AIRPORT_FEE), 0),
        "cbd_congestion_fee": group.pick("cbd", CBD_FEE[group.dataset]),
    }
    total = pc.if_else(group.chance("total is off", TOTAL_IS_OFF), group.constant(100), 0)
    for part in _columns_with_values(schema).intersection(PARTS):
        total = pc.add(total, amounts[part])
    return amounts | {"total_amount": total}


def _odd_values(group: _RowGroup, trips: Trips) -> Trips:
    """Replace the distance and the rate code of some rows, whose amounts stay plausible."""
    long = pc.add(100_001, group.below("long distance", 20_000_000))
    return {
        "trip_distance": pc.if_else(group.every(LONG_DISTANCE), long, trips["trip_distance"]),
        "ratecodeid": pc.if_else(group.every(RATECODE_99), 99, trips["ratecodeid"]),
    }


def _twin_rows(group: _RowGroup) -> tuple[pa.Array, pa.Array]:
    """Choose the rows that are a twin of the row before: reversals, and repeats of a trip."""
    repeat = group.every(REPEATED_KEY)
    odd = pc.equal(_remainder(group.numbers, 2), 1)
    share = _at(group.month, REVERSALS[group.dataset])
    reversal = pc.and_(odd, group.chance("reversal", 2 * share))  # only odd rows can be one
    return pc.and_not(reversal, repeat), repeat


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


def _null_block(group: _RowGroup, trips: Trips, reversal: pa.Array, repeat: pa.Array) -> Trips:
    """Take the meter's columns from some rows: from repeats always, from their sources never.

    The two halves of a reversal keep theirs, because the halves share them in TLC's files.
    """
    twin = pc.or_(reversal, repeat)
    has_twin = pa.concat_arrays([twin.slice(1), pa.array([False])])
    drawn = group.chance("null block", NULL_BLOCK[group.dataset])
    block = pc.or_(pc.and_not(drawn, pc.or_(twin, has_twin)), repeat)
    emptied = {name: _blanked(trips[name], block) for name in NULL_BLOCK_COLUMNS}
    if group.dataset == "green":
        return emptied | {"payment_type": _blanked(trips["payment_type"], block)}
    flex_fare = 0  # yellow's payment type of such trips
    return emptied | {"payment_type": pc.if_else(block, flex_fare, trips["payment_type"])}


def _blanked(column: pa.Array, where: pa.Array) -> pa.Array:
    return pc.if_else(where, pa.scalar(None, column.type), column)


def _finished(trips: Trips, field: pa.Field, rows: int) -> pa.Array:
    """Turn a column into what the file holds: dollars, miles, timestamps, the month's type."""
    name = _plain_name(field.name)
    if pa.types.is_null(field.type) or name == "ehail_fee":
        return pa.nulls(rows, field.type)
    column = trips[name]
    if pa.types.is_timestamp(field.type):
        return pc.cast(pc.multiply(column, 1_000_000), field.type)
    if name in (*PARTS, "total_amount", "trip_distance"):
        return pc.divide(pc.cast(column, pa.float64()), 100.0)
    return pc.cast(column, field.type)


def _plain_name(header: str) -> str:
    return header.lower().removeprefix("lpep_").removeprefix("tpep_")


def _columns_with_values(schema: pa.Schema) -> set[str]:
    return {_plain_name(field.name) for field in schema if not pa.types.is_null(field.type)}


def _at(month: dt.date, dated: Dated[T]) -> T:
    """Return the value in force in a month."""
    return [value for since, value in dated.items() if since <= month][-1]


def _epoch(day: dt.date) -> int:
    """Return a day's midnight as seconds since 1970; wall time, as TLC's, so without a zone."""
    return (day - dt.date(1970, 1, 1)).days * 86_400


def _remainder(numbers: pa.Array, divisor: int) -> pa.Array:
    return pc.subtract(numbers, pc.multiply(pc.divide(numbers, divisor), divisor))
