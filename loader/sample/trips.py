"""The trips of a row group: columns by the rules of layouts.yml, then what depends on others.

Until the end, times are seconds since 1970; distances and amounts are hundredths. Arrow divides
integers without a remainder, so `distance / 20 * 70` is 70 for every whole 20.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from loader.calendar import next_month
from loader.sample.layouts import Column
from loader.sample.row_group import RowGroup, blanked, remainder, whole

#: Columns of trips, by name.
Trips = dict[str, pa.Array]

#: Share of the day's trips in each hour, from midnight.
_SHARES = [30, 20, 13, 9, 7, 10, 22, 36, 45, 46, 46, 47, 49, 50, 53, 54, 51, 57, 66, 64] + [56] * 4
HOURS = dict(enumerate(_SHARES))
ZONES = 263  # without the two unknown ones
#: Middle and reach of the city, in millionths of a degree.
CITY = (("longitude", -73_980_000, 70_000), ("latitude", 40_750_000, 60_000))


def make_trips(group: RowGroup) -> Trips:
    """Make the columns of a row group, by name; values have the types that suit them best."""
    columns = group.layout.columns
    make = MAKERS[group.layout.trips]
    trips = make(group, {name: _by_rule(group, name) for name in columns})
    # One after the other, so that what was drawn and what it turns into aren't both in memory.
    return {name: _published(column, trips.pop(name)) for name, column in columns.items()}


def as_in_csv(group: RowGroup, trips: Trips) -> Trips:
    """Change the values of taxis that are others in the frozen CSV copies."""
    if "payment_type" not in trips:
        return trips
    block = trips["passenger_count"].is_null()
    surcharge = trips["congestion_surcharge"]
    if group.layout.csv["null_block_has_surcharge"]:
        drawn = _by_rule(group, "congestion_surcharge")
        surcharge = pc.if_else(block, _dollars(drawn), surcharge)
    return trips | {
        "vendor_id": blanked(trips["vendor_id"], block),
        "payment_type": blanked(trips["payment_type"], block),
        "congestion_surcharge": blanked(surcharge, group.chance("no surcharge in CSV")),
    }


def _by_rule(group: RowGroup, name: str) -> pa.Array:
    """Draw a column's values; NULL for a column without a rule in this month."""
    column = group.layout.columns[name]
    rule, draw = column.rule, column.rule.get("draw", name)
    if pa.types.is_null(column.type):
        return group.nulls
    if rule.get("weights"):
        return group.pick(draw, rule["weights"])
    if rule.get("share") is not None:
        yes, no = (pa.scalar(value) for value in rule.get("values", "YN"))
        return pc.if_else(group.chance(draw, rule["share"]), yes, no)
    if "zones" in rule:
        return _zones(group, draw, rule)
    if rule.get("value") is not None:
        return pa.repeat(pa.scalar(rule["value"], pa.int64()), group.rows)
    return group.nulls


def _zones(group: RowGroup, name: str, rule: dict[str, Any]) -> pa.Array:
    """Draw zones: half of the trips at popular ones, a few at 264 and 265."""
    anywhere = group.below(f"any {name}", ZONES) + 1
    popular = group.pick(f"popular {name}", rule["zones"])
    zones = pc.if_else(group.chance(f"{name} is popular", 0.5), popular, anywhere)
    unknown = group.pick(f"unknown {name}", {264: 3, 265: 1})
    zones = pc.if_else(group.chance(f"{name} is unknown", rule["unknown"]), unknown, zones)
    if "missing" not in rule:
        return zones
    drawn = group.uniform(f"{name} is missing")
    zones = pc.if_else(pc.less(drawn, rule["missing"] + rule["zone 264"]), 264, zones)
    return blanked(zones, pc.less(drawn, rule["missing"]))


def _published(column: Column, values: pa.Array) -> pa.Array:
    """Turn seconds into timestamps and hundredths into dollars, or miles."""
    if pa.types.is_null(column.type):
        return pa.nulls(len(values))
    if column.data_type == "timestamp":
        return values.cast(pa.timestamp("s"))
    if column.data_type == "double" and pa.types.is_integer(values.type):
        return _dollars(values)
    return values


def _dollars(cents: pa.Array) -> pa.Array:
    return cents.cast(pa.float64()) / 100.0


# ---- What all datasets have in common -----------------------------------------------------------


def _pickups(group: RowGroup) -> pa.Array:
    """Spread pickups over the month's days and the day's hours."""
    days = (next_month(group.month) - group.month).days
    position = group.numbers.cast(pa.float64()) / float(group.month_rows)
    hours = whole(position * float(days)) * 24 + group.pick("hour", HOURS)
    return hours * 3_600 + group.below("second", 3_600) + _epoch(group.month)


def _distances(group: RowGroup) -> pa.Array:
    """Draw distances: exponential around 2.5 miles."""
    return whole(group.exponential("distance", 250.0) + 30.0)


def _durations(group: RowGroup, distance: pa.Array) -> pa.Array:
    """Draw durations of distances: 2.5 to 6.5 minutes a mile."""
    return distance * (group.below("pace", 240) + 150) / 100 + 60


def _at_airport(zones: pa.Array) -> pa.Array:
    return pc.is_in(zones, pa.array([132, 138], pa.int64()))


def _sources(group: RowGroup, copied: pa.Array) -> pa.Array:
    """Return the row that each row takes its values from: itself, or the last one not copied."""
    return pc.cumulative_max(pc.if_else(copied, 0, group.numbers - group.numbers[0]))


def _taken(trips: Trips, source: pa.Array) -> Trips:
    return {name: column.take(source) for name, column in trips.items()}


def _negated(amount: pa.Array, where: pa.Array) -> pa.Array:
    return pc.if_else(where, -amount, amount)


def _to_minutes(times: pa.Array, where: pa.Array) -> pa.Array:
    return pc.if_else(where, times / 60 * 60, times)


def _epoch(day: dt.date) -> int:
    """Return a day's midnight as seconds since 1970; wall time, as TLC's, so without a zone."""
    return (day - dt.date(1970, 1, 1)).days * 86_400


# ---- Green, and yellow since 2011 ---------------------------------------------------------------


def _taxi(group: RowGroup, trips: Trips) -> Trips:
    """Make the meter's columns, then the quirks that concern whole rows."""
    facts, amounts = group.facts, group.layout.amounts
    pickup, distance = _with_strays(group, _pickups(group)), _distances(group)
    backwards = -group.below("backwards", 3_600) - 1
    seconds = pc.if_else(group.every("dropoff first"), backwards, _durations(group, distance))
    # 3 dollars, then 70 cents for every fifth of a mile.
    fare = distance / 20 * 70 + 300
    tip = fare * group.below("tip", 31) / 100
    rate_code = trips["rate_code_id"]
    long = group.below("long distance", 20_000_000) + 100_001
    trips |= {
        "pickup_datetime": pickup,
        "dropoff_datetime": pickup + seconds,
        "trip_distance": pc.if_else(group.every("long distance"), long, distance),
        "rate_code_id": pc.if_else(group.every("rate code 99"), 99, rate_code),
        # A negotiated fare is a dispatched trip, all others are hailed.
        "trip_type": pc.if_else(pc.equal(rate_code, 5), pa.scalar(2, pa.int64()), 1),
        "fare_amount": fare,
        # Tips are recorded for cards (payment type 1) only.
        "tip_amount": pc.if_else(pc.equal(trips["payment_type"], 1), tip, 0),
    }
    if "airport_fee" in amounts:
        from_airport = _at_airport(trips["pickup_location_id"])
        trips["airport_fee"] = pc.if_else(from_airport, trips["airport_fee"], 0)
    off = pc.if_else(group.chance("total is off"), pa.scalar(100, pa.int64()), 0)
    trips["total_amount"] = sum((trips[name] for name in amounts), off)

    # Twins of the row before: repeats of a trip, and reversals; odd rows alone can be one.
    repeat = group.every("repeated key")
    odd = pc.equal(remainder(group.numbers, 2), 1)
    reversal = pc.and_(odd, group.chance("reversal", 2 * facts["reversal"]))
    reversal = pc.and_not(reversal, repeat)
    twin = pc.or_(reversal, repeat)
    trips = _taken(trips, _sources(group, twin))
    trips |= {name: _negated(trips[name], reversal) for name in (*amounts, "total_amount")}
    no_charge = 3  # the payment type of most of TLC's reversals
    payment = pc.if_else(reversal, no_charge, trips["payment_type"])

    # Repeats are always in the null block, their sources never. The two halves of a reversal
    # aren't, because the halves share the meter's columns in TLC's files.
    has_twin = pa.concat_arrays([twin.slice(1), pa.array([False])])
    block = pc.and_not(group.chance("null block"), pc.or_(twin, has_twin))
    block = pc.or_(block, repeat)
    names = trips.keys() & facts["null block columns"]
    trips |= {name: blanked(trips[name], block) for name in names}
    payment_there = pa.scalar(facts["null block payment"], pa.int64())
    return trips | {"payment_type": pc.if_else(block, payment_there, payment)}


def _with_strays(group: RowGroup, pickup: pa.Array) -> pa.Array:
    """Move some pickups out of the month in turn: meters that lost their clock, its ends."""
    lost = _epoch(dt.date(2009, 1, 1))
    hours = [_epoch(group.month) - 3_600, lost - 3_600, _epoch(next_month(group.month)), lost]
    turn = remainder(group.numbers / group.facts["stray pickup"][1], len(hours))
    stray = pa.array(hours, pa.int64()).take(turn) + remainder(pickup, 3_600)
    return pc.if_else(group.every("stray pickup"), stray, pickup)


# ---- Yellow of 2009 and 2010: texts and coordinates ---------------------------------------------


def _early_taxi(group: RowGroup, trips: Trips) -> Trips:
    """Make all but what is drawn by rule; the vendors' meters differ."""
    vendor, payment = group.pick_pairs("payment")
    pickup, distance = _pickups(group), _distances(group)
    seconds = _durations(group, distance)
    backwards = -group.below("backwards", 3_600) - 60
    seconds = pc.if_else(group.chance("dropoff first"), backwards, seconds)
    # The meters of VTS alone count whole minutes, and hundredths of a mile.
    of_vts = pc.equal(vendor, "VTS")
    trips |= {
        "vendor_id": vendor,
        "payment_type": payment,
        "pickup_datetime": _to_minutes(pickup, of_vts),
        "dropoff_datetime": _to_minutes(pickup + seconds, of_vts),
        "trip_distance": pc.if_else(of_vts, distance, distance / 10 * 10),
        # CMT alone says whether the trip was stored first.
        "store_and_fwd_flag": blanked(trips["store_and_fwd_flag"], pc.not_equal(vendor, "CMT")),
        **_positions(group),
    }
    trips |= _early_amounts(group, trips)
    same_key = group.chance("repeated key")
    trips = _taken(trips, _sources(group, pc.or_(group.chance("repeated"), same_key)))
    passengers = trips["passenger_count"] + same_key.cast(pa.int64())
    trips["passenger_count"] = pc.if_else(group.every("many passengers"), 208, passengers)
    if "__index_level_0__" in trips:
        trips["__index_level_0__"] = group.numbers
        for name in ("dropoff_longitude", "dropoff_latitude"):
            trips[name] = blanked(trips[name], group.every("no dropoff position"))
    return trips


def _positions(group: RowGroup) -> Trips:
    """Draw the coordinates of both ends, in degrees of six decimals."""
    nowhere = group.chance("no position")
    positions = {}
    for end in ("pickup", "dropoff"):
        for axis, middle, reach in CITY:
            one, two = (group.below(f"{end} {axis} {half}", reach) for half in (1, 2))
            millionths = pc.if_else(nowhere, 0, one - two + middle)
            positions[f"{end}_{axis}"] = millionths.cast(pa.float64()) / 1e6
    return positions


def _early_amounts(group: RowGroup, trips: Trips) -> Trips:
    # 2.50 dollars, then 40 cents for every fifth of a mile; 45 dollars to and from the airport.
    fare = trips["trip_distance"] / 20 * 40 + 250
    fare = pc.if_else(pc.equal(trips["rate_code_id"], 2).fill_null(False), 4_500, fare)
    tip = fare * group.below("tip", 31) / 100
    card = pc.starts_with(trips["payment_type"], "cr", ignore_case=True)
    taxed = pc.invert(group.chance("no tax")).cast(pa.int64())
    amounts = {
        "fare_amount": fare,
        "extra": trips["extra"],
        "mta_tax": trips["mta_tax"] * taxed,
        "tip_amount": pc.if_else(card, tip, 0),
        "tolls_amount": trips["tolls_amount"],
    }
    amounts["total_amount"] = sum((each.fill_null(0) for each in amounts.values()), pa.scalar(0))
    negative = group.chance("negative")
    amounts = {name: _negated(amount, negative) for name, amount in amounts.items()}
    minus_one = pc.and_(group.chance("tax of minus one"), pc.equal(trips["vendor_id"], "DDS"))
    return amounts | {"mta_tax": pc.if_else(minus_one, -100, amounts["mta_tax"])}


# ---- Fhv, the trips of bases --------------------------------------------------------------------

ALL_BASES = 1_100
_NUMBERS = [f"B{number:05}" for number in range(3 * ALL_BASES + 1)]
#: Ways to write each number, one after the other.
_WRITTEN = pa.array(
    _NUMBERS
    + [f"{number:15}" for number in _NUMBERS]
    + [number.lower() for number in _NUMBERS]
    + [f"{number} - M.L. Trips" for number in _NUMBERS]
)
_PLAIN, _PADDED, _LOWER_CASE, _WITH_NAME = range(0, len(_WRITTEN), len(_NUMBERS))
MANY = 39  # rows of one trip


def _base(group: RowGroup, trips: Trips) -> Trips:
    """Make times and bases, then the rows that are another row's trip."""
    pickup = _to_minutes(_pickups(group), group.chance("whole minute"))
    dropoff = pickup + _durations(group, _distances(group))
    dropoff = blanked(dropoff, group.chance("no dropoff time"))
    trips |= {"pickup_datetime": pickup, "dropoff_datetime": dropoff, **_bases(group)}
    other_base, source = _copies(group)
    trips = _taken(trips, source)
    # As many bases further as the row is behind the trip's first: no base twice.
    behind = group.numbers - group.numbers[0] - source
    other = remainder(trips["affiliated"] + behind * 3, len(_NUMBERS))
    affiliated = pc.if_else(other_base, other, trips["affiliated"])
    later = _epoch(group.month.replace(year=group.month.year + 1_000)) - _epoch(group.month)
    ahead = trips["pickup_datetime"] + later
    dropoff = pc.if_else(group.every("centuries ahead"), ahead, trips["dropoff_datetime"])
    return trips | {
        "dropoff_datetime": dropoff,
        "dispatching_base_num": _WRITTEN.take(trips["dispatching"] + trips["dispatching as"]),
        "affiliated_base_num": _WRITTEN.take(affiliated + trips["affiliated as"]),
    }


def _bases(group: RowGroup) -> Trips:
    """Draw the two bases of each trip: their numbers, and the way each is written."""
    padded = group.chance("padded")
    dispatching, affiliated = (_numbers(group, name) for name in ("dispatching", "affiliated"))
    elsewhere = pc.and_not(group.chance("affiliated elsewhere"), padded)
    missing = group.chance("no affiliated base")
    missing = pc.and_not(missing, pc.or_(padded, group.every("many bases")))
    return {
        "dispatching": dispatching,
        "dispatching as": _way_to_write(group, "dispatching", padded, 0.0),
        "affiliated": blanked(pc.if_else(elsewhere, affiliated, dispatching), missing),
        "affiliated as": _way_to_write(group, "affiliated", padded, group.facts["with name"]),
    }


def _numbers(group: RowGroup, name: str) -> pa.Array:
    """Draw base numbers: half of them popular ones."""
    popular = group.pick(f"popular {name}", group.facts["base"])
    anyone = group.below(f"any {name}", ALL_BASES) * 3 + 1
    return pc.if_else(group.chance(f"{name} is popular", 0.5), popular, anyone)


def _way_to_write(group: RowGroup, name: str, padded: pa.Array, with_name: float) -> pa.Array:
    drawn = group.uniform(f"{name} written")
    odd = pc.if_else(pc.less(drawn, with_name), _WITH_NAME, _PLAIN)
    lower = pc.greater_equal(drawn, 1.0 - group.facts["lower case"])
    return pc.if_else(padded, _PADDED, pc.if_else(lower, _LOWER_CASE, odd))


def _copies(group: RowGroup) -> tuple[pa.Array, pa.Array]:
    """Return whether a row has another affiliated base than its source, and each row's source."""
    first, step = group.facts["many bases"]
    place = remainder(group.numbers, step) - first
    one_of_many = pc.and_(pc.greater_equal(place, 0), pc.less(place, MANY))
    drawn = group.uniform("copied")
    repeated_share = group.facts["repeated"]
    copied = pc.less(drawn, repeated_share + group.facts["other base"])
    copied = pc.if_else(one_of_many, pc.greater(place, 0), copied)
    repeated = pc.and_not(pc.less(drawn, repeated_share), one_of_many)
    return pc.and_not(copied, repeated), _sources(group, copied)


# ---- Fhvhv, the trips of apps -------------------------------------------------------------------


def _app(group: RowGroup, trips: Trips) -> Trips:
    """Make all but what is drawn by rule."""
    licence, base = group.pick_pairs("base")
    uber = pc.equal(licence, "HV0003")
    distance = _distances(group)
    seconds = _durations(group, distance)
    # Uber's miles have two decimals, the others' three.
    third = pc.if_else(uber, 0, group.below("third decimal", 10))
    long = group.below("long distance", 1_381_000) + 50_000
    thousandths = pc.if_else(group.every("long distance"), long, distance * 10 + third)
    shared = pc.equal(trips["shared_request_flag"], "Y")
    matched = pc.and_(shared, group.chance("shared match", 0.5))
    # Lyft has an originating base for accessible cars alone, and for none in the old days.
    has_origin = uber
    if not group.facts["Uber alone says when the car arrived"]:
        has_origin = pc.or_(uber, pc.equal(trips["wav_match_flag"], "Y"))
    blank = group.facts["Uber's access_a_ride_flag"]
    return trips | {
        "hvfhs_license_num": licence,
        "dispatching_base_num": base,
        "originating_base_num": blanked(base, pc.invert(has_origin)),
        "trip_miles": thousandths.cast(pa.float64()) / 1_000.0,
        "shared_match_flag": pc.if_else(matched, "Y", "N"),
        "access_a_ride_flag": pc.if_else(uber, blank, "N"),
        **_app_times(group, seconds, uber),
        **_app_amounts(group, trips, distance, seconds),
    }


def _app_times(group: RowGroup, seconds: pa.Array, uber: pa.Array) -> Trips:
    """Make the four times of the trips, and the duration that the company says."""
    pickup = _pickups(group)
    seconds = pc.if_else(group.every("no time passed"), 0, seconds)
    # Half of the cars come within four minutes.
    wait = whole(group.exponential("wait", 290.0)) + 40
    before = -group.below("requested after", 900) - 1
    wait = pc.if_else(group.chance("pickup first"), before, wait)
    on_scene = pickup - pc.min_element_wise(group.below("at the kerb", 180), abs(wait))
    if group.facts["Uber alone says when the car arrived"]:
        on_scene = blanked(on_scene, pc.invert(uber))
    off = seconds + group.below("trip time off by", 600) + 61
    return {
        "request_datetime": pickup - wait,
        "on_scene_datetime": on_scene,
        "pickup_datetime": pickup,
        "dropoff_datetime": pickup + seconds,
        "trip_time": pc.if_else(group.chance("trip time is off"), off, seconds),
    }


def _app_amounts(group: RowGroup, trips: Trips, distance: pa.Array, seconds: pa.Array) -> Trips:
    """Make the amounts of the trips, in dollars."""
    # 2.55 dollars, 1.75 a mile and 35 cents a minute; at least 7.09, of which the driver has 5.39.
    fare = pc.max_element_wise(distance * 175 / 100 + seconds * 35 / 60 + 255, 709)
    free = group.chance("free")
    pay = pc.max_element_wise(fare * 78 / 100, 539)
    fare, pay = (pc.if_else(free, 0, cents) for cents in (fare, pay))
    ends = ("pickup_location_id", "dropoff_location_id")
    at_airport = pc.or_(*(_at_airport(trips[end]) for end in ends))
    negative = group.chance("negative")
    trips = trips | {
        "base_passenger_fare": _negated(fare, negative),
        # The Black Car Fund's 2.5 percent, and 8.875 of sales tax.
        "bcf": _negated(fare * 25 / 1_000, negative),
        "sales_tax": _negated(fare * 8_875 / 100_000, negative),
        "airport_fee": pc.if_else(at_airport, trips["airport_fee"], 0),
        "driver_pay": _negated(pay, pc.and_(negative, group.chance("negative pay", 0.25))),
    }
    minus_zero = group.chance("minus zero")
    return {
        name: pc.if_else(pc.and_(minus_zero, pc.equal(trips[name], 0)), -0.0, _dollars(trips[name]))
        for name in group.layout.amounts
    }


MAKERS: dict[str, Callable[[RowGroup, Trips], Trips]] = {
    "taxi": _taxi,
    "early_taxi": _early_taxi,
    "base": _base,
    "app": _app,
}
