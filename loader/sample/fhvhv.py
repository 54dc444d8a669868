"""Fhvhv, the high-volume for-hire vehicles: Uber, Lyft, and until 2021 Via and Juno.

What the shares below say of 2020-04 and 2026-07 was counted in TLC's files; the months in between
when something changed are guesses.
"""

import pyarrow as pa
import pyarrow.compute as pc

from loader.sample.declaration import Dataset
from loader.sample.layouts import (
    ALWAYS,
    AMOUNT,
    CBD_FEE,
    ID,
    TEXT,
    TIME,
    Column,
    Dated,
    Layout,
    Trips,
    at,
    since,
)
from loader.sample.row_group import RowGroup, blanked
from loader.sample.trips import (
    AIRPORT_ZONES,
    distances,
    dollars,
    durations,
    pickup_times,
    timestamps,
    zones,
)

# ---- The quirks and how often they happen -------------------------------------------------------

#: Share of a month's rows, drawn at random.
PICKUP_FIRST = 0.012  # the pickup is before the request
TRIP_TIME_IS_OFF = 0.03  # trip_time isn't the time from pickup to dropoff
NEGATIVE = 0.0002  # fare, fees and, in a quarter of these rows, the pay
FREE = 0.01  # no fare, no pay
MINUS_ZERO = 0.02  # what is zero is -0.0
UNKNOWN_PICKUP_ZONE = 0.0005  # zones 264 and 265
UNKNOWN_DROPOFF_ZONE = 0.02

#: First row number and step: fixed row numbers, so that small samples have these quirks too.
NO_TIME_PASSED = (200, 1_000_000)  # the dropoff is at the time of the pickup
LONG_DISTANCE = (300, 100_000)  # up to 1,431 miles

#: Until then, Uber alone says when the car arrived.
EVERYBODY_ON_SCENE = since(2023, 2)
#: Until then, Uber's access_a_ride_flag is a blank.
NO_BLANK_FLAG = since(2024, 1)

# ---- What values look like ----------------------------------------------------------------------

_UBER, _LYFT, _VIA, _JUNO = "HV0003", "HV0005", "HV0004", "HV0002"
_BASES_OF_2020 = {
    **{(_UBER, "B02764"): 94, (_UBER, "B02875"): 74, (_UBER, "B02872"): 50, (_UBER, "B02765"): 43},
    **{(_UBER, "B02878"): 38, (_UBER, "B02887"): 37, (_UBER, "B02869"): 35, (_UBER, "B02864"): 31},
    **{(_UBER, "B02617"): 28, (_UBER, "B02879"): 27, (_UBER, "B02871"): 26, (_UBER, "B02866"): 22},
    **{(_UBER, "B02682"): 21, (_UBER, "B02835"): 21, (_UBER, "B02882"): 21, (_UBER, "B02877"): 16},
    **{(_UBER, "B02883"): 14, (_UBER, "B02870"): 13, (_UBER, "B02888"): 12, (_UBER, "B02836"): 12},
    **{(_UBER, "B02395"): 11, (_UBER, "B02884"): 10, (_UBER, "B02867"): 8, (_UBER, "B02889"): 7},
    **{(_UBER, "B02865"): 7, (_UBER, "B02880"): 6, (_UBER, "B02512"): 6, (_UBER, "B02876"): 5},
    **{(_LYFT, "B02510"): 293, (_VIA, "B02800"): 12},
}
#: Licences and dispatching bases, with weights.
BASES: Dated[dict[tuple[str, str], int]] = {
    ALWAYS: _BASES_OF_2020 | {(_JUNO, "B02914"): 40, (_VIA, "B02800"): 50},
    since(2019, 12): _BASES_OF_2020,
    since(2022, 1): {pair: weight for pair, weight in _BASES_OF_2020.items() if pair[0] != _VIA},
    since(2023, 1): {(_UBER, "B03404"): 728, (_LYFT, "B03406"): 272},
}
POPULAR_ZONES = {42: 21, 76: 20, 39: 18, 35: 17, 168: 17, 89: 16, 61: 16, 132: 15, 138: 10}
SHARED: Dated[float] = {ALWAYS: 0.2, since(2020, 4): 0.0, since(2021, 7): 0.02}
WAV_REQUESTED = 0.002  # a wheelchair-accessible vehicle
WAV_MATCHED = 0.031

#: Amounts in cents.
TOLLS = {0: 910, 612: 38, 13: 10, 53: 10, 575: 12, 1900: 10, 2000: 10}
CONGESTION_SURCHARGE = {0: 789, 275: 211}
CBD_CHARGE = {0: 70, 150: 30}
TIPS = {0: 865, 100: 25, 200: 24, 300: 31, 500: 25, 528: 10, 600: 10, 1000: 10}
AIRPORT_FEE: Dated[int] = {ALWAYS: 0, since(2020, 11): 250}
MINIMUM_FARE = 709
MINIMUM_PAY = 539


def _make(group: RowGroup, filled: set[str]) -> Trips:
    """Make the trips of a row group, columns as published."""
    month = group.month
    licence, base = group.pick_pairs("base", at(month, BASES))
    uber = pc.equal(licence, _UBER)
    wav_matched = group.chance("wav matched", WAV_MATCHED)
    distance = distances(group)
    seconds = durations(group, distance)
    shared = group.chance("shared", at(month, SHARED))
    blank = " " if month < NO_BLANK_FLAG else "N"
    # Lyft has an originating base for accessible cars alone, and for none in the old days.
    has_origin = uber if month < EVERYBODY_ON_SCENE else pc.or_(uber, wav_matched)
    trips = {
        "hvfhs_license_num": licence,
        "dispatching_base_num": base,
        "originating_base_num": blanked(base, pc.invert(has_origin)),
        "pulocationid": zones(group, "pickup zone", POPULAR_ZONES, UNKNOWN_PICKUP_ZONE),
        "dolocationid": zones(group, "dropoff zone", POPULAR_ZONES, UNKNOWN_DROPOFF_ZONE),
        "trip_miles": _miles(group, distance, uber),
        "shared_request_flag": _flag(shared),
        "shared_match_flag": _flag(pc.and_(shared, group.chance("shared match", 0.5))),
        "access_a_ride_flag": pc.if_else(uber, blank, "N"),
        "wav_request_flag": _flag(group.chance("wav requested", WAV_REQUESTED)),
        "wav_match_flag": _flag(wav_matched),
    }
    return trips | _times(group, seconds, uber) | _amounts(group, trips, distance, seconds)


def _miles(group: RowGroup, distance: pa.Array, uber: pa.Array) -> pa.Array:
    """Return miles: Uber's have two decimals, the others' three."""
    third = pc.if_else(uber, 0, group.below("third decimal", 10))
    thousandths = pc.add(pc.multiply(distance, 10), third)
    long = pc.add(50_000, group.below("long distance", 1_381_000))
    thousandths = pc.if_else(group.every(LONG_DISTANCE), long, thousandths)
    return pc.divide(pc.cast(thousandths, pa.float64()), 1_000.0)


def _flag(is_set: pa.Array) -> pa.Array:
    return pc.if_else(is_set, "Y", "N")


def _times(group: RowGroup, seconds: pa.Array, uber: pa.Array) -> Trips:
    """Make the four times of the trips, and the duration that the company says."""
    pickup = pickup_times(group)
    seconds = pc.if_else(group.every(NO_TIME_PASSED), 0, seconds)
    # Half of the cars come within four minutes.
    wait = pc.add(40, pc.cast(pc.floor(group.exponential("wait", 290.0)), pa.int64()))
    before = pc.subtract(-1, group.below("requested after", 900))
    wait = pc.if_else(group.chance("pickup first", PICKUP_FIRST), before, wait)
    at_kerb = pc.min_element_wise(group.below("at the kerb", 180), pc.abs(wait))
    on_scene = pc.subtract(pickup, at_kerb)
    if group.month < EVERYBODY_ON_SCENE:
        on_scene = blanked(on_scene, pc.invert(uber))
    off = pc.add(61, group.below("trip time off by", 600))
    return {
        "request_datetime": timestamps(pc.subtract(pickup, wait)),
        "on_scene_datetime": timestamps(on_scene),
        "pickup_datetime": timestamps(pickup),
        "dropoff_datetime": timestamps(pc.add(pickup, seconds)),
        "trip_time": pc.if_else(
            group.chance("trip time is off", TRIP_TIME_IS_OFF), pc.add(seconds, off), seconds
        ),
    }


def _amounts(group: RowGroup, trips: Trips, distance: pa.Array, seconds: pa.Array) -> Trips:
    """Make the amounts of the trips, in dollars."""
    # 2.55 dollars, 1.75 a mile and 35 cents a minute.
    by_time = pc.divide(pc.multiply(seconds, 35), 60)
    by_distance = pc.divide(pc.multiply(distance, 175), 100)
    fare = pc.max_element_wise(pc.add(pc.add(255, by_distance), by_time), MINIMUM_FARE)
    free = group.chance("free", FREE)
    pay = pc.max_element_wise(pc.divide(pc.multiply(fare, 78), 100), MINIMUM_PAY)
    fare, pay = (pc.if_else(free, 0, cents) for cents in (fare, pay))
    airports = pa.array(AIRPORT_ZONES, pa.int64())
    at_airport = pc.or_(
        *(pc.is_in(trips[name], airports) for name in ("pulocationid", "dolocationid"))
    )
    negative = group.chance("negative", NEGATIVE)
    negative_pay = pc.and_(negative, group.chance("negative pay", 0.25))
    cents = {
        "base_passenger_fare": _negated(fare, negative),
        "tolls": group.pick("tolls", TOLLS),
        # The Black Car Fund's 2.5 percent, and 8.875 of sales tax.
        "bcf": _negated(pc.divide(pc.multiply(fare, 25), 1_000), negative),
        "sales_tax": _negated(pc.divide(pc.multiply(fare, 8_875), 100_000), negative),
        "congestion_surcharge": group.pick("congestion", CONGESTION_SURCHARGE),
        "airport_fee": pc.if_else(at_airport, at(group.month, AIRPORT_FEE), 0),
        "cbd_congestion_fee": group.pick("cbd", CBD_CHARGE),
        "tips": group.pick("tips", TIPS),
        "driver_pay": _negated(pay, negative_pay),
    }
    minus_zero = group.chance("minus zero", MINUS_ZERO)
    return {
        name: pc.if_else(pc.and_(minus_zero, pc.equal(amount, 0)), -0.0, dollars(amount))
        for name, amount in cents.items()
    }


def _negated(cents: pa.Array, where: pa.Array) -> pa.Array:
    return pc.if_else(where, pc.negate(cents), cents)


FHVHV = Dataset(
    name="fhvhv",
    layouts={
        since(2019, 2): Layout(
            columns=(
                Column("hvfhs_license_num", TEXT),
                Column("dispatching_base_num", TEXT),
                Column("originating_base_num", TEXT),
                Column("request_datetime", TIME),
                Column("on_scene_datetime", TIME),
                Column("pickup_datetime", TIME),
                Column("dropoff_datetime", TIME),
                Column("PULocationID", ID),
                Column("DOLocationID", ID),
                Column("trip_miles", AMOUNT),
                Column("trip_time", {ALWAYS: pa.int64()}),
                Column("base_passenger_fare", AMOUNT),
                Column("tolls", AMOUNT),
                Column("bcf", AMOUNT),
                Column("sales_tax", AMOUNT),
                Column("congestion_surcharge", AMOUNT),
                Column(
                    "airport_fee",
                    {
                        ALWAYS: pa.null(),
                        since(2019, 7): pa.float64(),
                        since(2020, 4): pa.null(),
                        since(2020, 5): pa.float64(),
                        since(2020, 10): pa.null(),
                        since(2020, 11): pa.float64(),
                    },
                ),
                Column("tips", AMOUNT),
                Column("driver_pay", AMOUNT),
                Column("shared_request_flag", TEXT),
                Column("shared_match_flag", TEXT),
                Column("access_a_ride_flag", TEXT),
                Column("wav_request_flag", TEXT),
                Column(
                    "wav_match_flag",
                    {
                        ALWAYS: pa.null(),
                        since(2019, 4): pa.string(),
                        since(2023, 2): pa.large_string(),
                    },
                ),
                CBD_FEE,
            ),
            make=_make,
        )
    },
)
