"""Yellow of 2009 and 2010: texts and coordinates where later files have codes and zones.

What the shares below say was counted in the first thousand rows of each month's former CSV, the
repeats in whole years; which months of 2010 repeat most is not known.
"""

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from loader.sample.layouts import ALWAYS, AMOUNT, Column, Dated, Layout, Trips, at, since
from loader.sample.row_group import RowGroup, blanked, remainder
from loader.sample.trips import distances, dollars, durations, pickup_times, sources

# ---- The quirks and how often they happen -------------------------------------------------------

#: Share of a month's rows, drawn at random.
REPEATED: Dated[float] = {ALWAYS: 0.0, since(2010, 1): 0.0116}  # equal in all columns
REPEATED_KEY: Dated[float] = {ALWAYS: 0.0002, since(2010, 1): 0.0}  # equal but for the passengers
DROPOFF_FIRST: Dated[float] = {ALWAYS: 0.0027, since(2010, 1): 0.0}
NO_POSITION: Dated[float] = {ALWAYS: 0.0113, since(2010, 1): 0.0242}  # coordinates are 0
NEGATIVE: Dated[float] = {ALWAYS: 0.0, since(2010, 1): 0.0003}
#: Of the rows of the vendor DDS.
MTA_TAX_OF_MINUS_ONE: Dated[float] = {ALWAYS: 0.0, since(2010, 1): 0.25, since(2010, 2): 0.0}
NO_MTA_TAX = 0.003

#: First row number and step: fixed row numbers, so that small samples have these quirks too.
MANY_PASSENGERS = (600, 20_000)  # 208
NO_DROPOFF_POSITION = (700, 200_000)  # NULL coordinates, in the two months with an index column

MONTHS_WITH_INDEX = (since(2010, 2), since(2010, 3))
FLAGS_ARE_KNOWN = since(2009, 6)  # about then; NULL before
FLAGS_ARE_LETTERS = since(2010, 8)
MTA_TAX_IS_KNOWN = since(2009, 11)  # NULL before

# ---- What values look like ----------------------------------------------------------------------

_VTS, _CMT, _DDS = "VTS", "CMT", "DDS"
#: Vendors and payment types with weights. Each vendor had spellings of its own.
PAYMENTS: Dated[dict[tuple[str, str], int]] = {
    ALWAYS: {
        **{(_VTS, "CASH"): 470, (_VTS, "Credit"): 182},
        **{(_CMT, "Cash"): 235, (_CMT, "Credit"): 66, (_CMT, "No Charge"): 2, (_CMT, "Dispute"): 1},
        **{(_DDS, "CASH"): 35, (_DDS, "CREDIT"): 9},
    },
    since(2010, 1): {
        **{(_VTS, "CAS"): 440, (_VTS, "Cre"): 212},
        **{(_CMT, "Cas"): 200, (_CMT, "Cre"): 100, (_CMT, "No "): 3, (_CMT, "Dis"): 1},
        **{(_DDS, "CAS"): 34, (_DDS, "CRE"): 10},
    },
    since(2010, 2): {
        **{(_VTS, "CSH"): 430, (_VTS, "CRD"): 222},
        **{(_CMT, "CAS"): 215, (_CMT, "CRE"): 85, (_CMT, "NA "): 3, (_CMT, "Dis"): 1},
        **{(_DDS, "CAS"): 34, (_DDS, "CRE"): 10},
    },
    since(2010, 8): {
        **{(_VTS, "CSH"): 400, (_VTS, "CRD"): 252},
        **{(_CMT, "CSH"): 195, (_CMT, "CRD"): 105, (_CMT, "No "): 3, (_CMT, "Dis"): 1},
        **{(_DDS, "CSH"): 34, (_DDS, "CRD"): 10},
    },
}
CARDS = pa.array(["CREDIT", "Credit", "CRE", "Cre", "CRD"])
PASSENGERS = {0: 3, 1: 640, 2: 160, 3: 50, 4: 25, 5: 115, 6: 7}
RATE_CODES = {1: 9_700, 2: 180, 3: 50, 4: 30, 5: 28, 0: 11, 33: 1}
SURCHARGES = {0: 480, 50: 340, 100: 175, 150: 5}
TOLLS: Dated[dict[int, int]] = {
    ALWAYS: {0: 960, 415: 35, 500: 5},
    since(2009, 7): {0: 962, 457: 33, 550: 5},
}
#: Middle and reach of the city, in millionths of a degree.
LONGITUDES = (-73_980_000, 70_000)
LATITUDES = (40_750_000, 60_000)


def _make(group: RowGroup, filled: set[str]) -> Trips:
    """Make the trips of a row group, columns as published."""
    month = group.month
    vendor, payment = group.pick_pairs("payment", at(month, PAYMENTS))
    distance = distances(group)
    trips = {
        "vendor_id": vendor,
        "payment_type": payment,
        **_times(group, vendor, distance),
        **_positions(group),
        "passenger_count": group.pick("passengers", PASSENGERS),
        # The meters of VTS alone count hundredths of a mile.
        "trip_distance": pc.if_else(
            pc.equal(vendor, _VTS), distance, pc.subtract(distance, remainder(distance, 10))
        ),
        "rate_code": _rate_codes(group),
        "store_and_fwd_flag": _flags(group, vendor),
    }
    trips |= _amounts(group, trips)
    repeated = group.chance("repeated", at(month, REPEATED))
    same_key = group.chance("repeated key", at(month, REPEATED_KEY))
    source = sources(group, pc.or_(repeated, same_key))
    trips = {name: column.take(source) for name, column in trips.items()}
    passengers = trips["passenger_count"]
    passengers = pc.if_else(same_key, pc.add(passengers, 1), passengers)
    trips["passenger_count"] = pc.if_else(group.every(MANY_PASSENGERS), 208, passengers)
    if month in MONTHS_WITH_INDEX:
        trips["__index_level_0__"] = group.numbers
        cut_off = group.every(NO_DROPOFF_POSITION)
        for name in ("dropoff_longitude", "dropoff_latitude"):
            trips[name] = blanked(trips[name], cut_off)
    return trips


def _times(group: RowGroup, vendor: pa.Array, distance: pa.Array) -> Trips:
    """Make the times of the trips, as text; those of VTS are whole minutes."""
    pickup = pickup_times(group)
    seconds = durations(group, distance)
    backwards = pc.subtract(-60, group.below("backwards", 3_600))
    first = group.chance("dropoff first", at(group.month, DROPOFF_FIRST))
    dropoff = pc.add(pickup, pc.if_else(first, backwards, seconds))
    by_minute = pc.equal(vendor, _VTS)
    times = {"pickup_datetime": pickup, "dropoff_datetime": dropoff}
    return {
        name: pc.if_else(by_minute, pc.subtract(time, remainder(time, 60)), time)
        .cast(pa.timestamp("s"))
        .cast(pa.string())
        for name, time in times.items()
    }


def _positions(group: RowGroup) -> Trips:
    """Draw the coordinates of both ends, in degrees of six decimals."""
    nowhere = group.chance("no position", at(group.month, NO_POSITION))
    positions = {}
    for end in ("pickup", "dropoff"):
        for axis, (middle, reach) in (("longitude", LONGITUDES), ("latitude", LATITUDES)):
            one, two = (group.below(f"{end} {axis} {half}", reach) for half in (1, 2))
            millionths = pc.if_else(nowhere, 0, pc.add(middle, pc.subtract(one, two)))
            positions[f"{end}_{axis}"] = pc.divide(pc.cast(millionths, pa.float64()), 1e6)
    return positions


def _rate_codes(group: RowGroup) -> pa.Array:
    if group.month < since(2010, 1):
        return pa.nulls(group.rows, pa.int64())
    return group.pick("rate code", RATE_CODES)


def _flags(group: RowGroup, vendor: pa.Array) -> pa.Array:
    """Draw whether the trip was stored first, which CMT alone says."""
    if group.month < FLAGS_ARE_KNOWN:
        return pa.nulls(group.rows, pa.int64())
    yes, no = ("Y", "N") if group.month >= FLAGS_ARE_LETTERS else (pa.scalar(1, pa.int64()), 0)
    flags = pc.if_else(group.chance("flag", 0.02), yes, no)
    return blanked(flags, pc.not_equal(vendor, _CMT))


def _amounts(group: RowGroup, trips: Trips) -> Trips:
    """Make distance and amounts of the trips, in miles and dollars."""
    month = group.month
    # 2.50 dollars, then 40 cents for every fifth of a mile; 45 dollars to and from the airport.
    fare = pc.add(250, pc.multiply(pc.divide(trips["trip_distance"], 20), 40))
    fare = pc.if_else(pc.equal(trips["rate_code"], 2).fill_null(False), 4_500, fare)
    tip = pc.divide(pc.multiply(fare, group.below("tip", 31)), 100)
    taxed = pc.invert(group.chance("no tax", NO_MTA_TAX))
    cents = {
        "fare_amount": fare,
        "surcharge": group.pick("surcharge", SURCHARGES),
        "mta_tax": pc.if_else(taxed, 50 if month >= MTA_TAX_IS_KNOWN else 0, group.constant(0)),
        "tip_amount": pc.if_else(pc.is_in(trips["payment_type"], CARDS), tip, 0),
        "tolls_amount": group.pick("tolls", at(month, TOLLS)),
    }
    cents["total_amount"] = reduce(pc.add, cents.values())
    negative = group.chance("negative", at(month, NEGATIVE))
    amounts = {
        name: dollars(pc.if_else(negative, pc.negate(amount), amount))
        for name, amount in cents.items()
    }
    if month < MTA_TAX_IS_KNOWN:
        amounts["mta_tax"] = pa.nulls(group.rows, pa.float64())
    minus_one = group.chance("tax of minus one", at(month, MTA_TAX_OF_MINUS_ONE))
    minus_one = pc.and_(minus_one, pc.equal(trips["vendor_id"], _DDS))
    return amounts | {
        "mta_tax": pc.if_else(minus_one, -1.0, amounts["mta_tax"]),
        "trip_distance": dollars(trips["trip_distance"]),
    }


_TEXT: Dated[pa.DataType | None] = {ALWAYS: pa.string()}
_INTEGER: Dated[pa.DataType | None] = {ALWAYS: pa.int64()}

LAYOUT_OF_2009 = Layout(
    columns=(
        Column("vendor_name", _TEXT, "vendor_id"),
        Column("Trip_Pickup_DateTime", _TEXT, "pickup_datetime"),
        Column("Trip_Dropoff_DateTime", _TEXT, "dropoff_datetime"),
        Column("Passenger_Count", _INTEGER),
        Column("Trip_Distance", AMOUNT),
        Column("Start_Lon", AMOUNT, "pickup_longitude"),
        Column("Start_Lat", AMOUNT, "pickup_latitude"),
        Column("Rate_Code", AMOUNT),
        Column("store_and_forward", AMOUNT, "store_and_fwd_flag"),
        Column("End_Lon", AMOUNT, "dropoff_longitude"),
        Column("End_Lat", AMOUNT, "dropoff_latitude"),
        Column("Payment_Type", _TEXT),
        Column("Fare_Amt", AMOUNT, "fare_amount"),
        Column("surcharge", AMOUNT),
        Column("mta_tax", AMOUNT),
        Column("Tip_Amt", AMOUNT, "tip_amount"),
        Column("Tolls_Amt", AMOUNT, "tolls_amount"),
        Column("Total_Amt", AMOUNT, "total_amount"),
    ),
    make=_make,
)
LAYOUT_OF_2010 = Layout(
    columns=(
        Column("vendor_id", _TEXT),
        Column("pickup_datetime", _TEXT),
        Column("dropoff_datetime", _TEXT),
        Column("passenger_count", _INTEGER),
        Column("trip_distance", AMOUNT),
        Column("pickup_longitude", AMOUNT),
        Column("pickup_latitude", AMOUNT),
        Column(
            "rate_code",
            {ALWAYS: pa.string(), since(2010, 2): pa.int64(), since(2010, 4): pa.string()},
        ),
        Column("store_and_fwd_flag", _TEXT),
        Column("dropoff_longitude", AMOUNT),
        Column("dropoff_latitude", AMOUNT),
        Column("payment_type", _TEXT),
        Column("fare_amount", AMOUNT),
        Column("surcharge", AMOUNT),
        Column("mta_tax", AMOUNT),
        Column("tip_amount", AMOUNT),
        Column("tolls_amount", AMOUNT),
        Column("total_amount", AMOUNT),
        # The index of a pandas table, where the CSV had rows with a comma too many.
        Column(
            "__index_level_0__",
            {ALWAYS: None, since(2010, 2): pa.int64(), since(2010, 4): None},
        ),
    ),
    make=_make,
)
