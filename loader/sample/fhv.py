"""Fhv, the for-hire vehicles: limousines, community cars and, until 2019-01, the apps.

A trip is little more than base numbers, times and zones, and each of them may be missing. What the
shares below say of 2015-2016 and of 2020-04 was counted in TLC's files; between them it is a guess.
"""

import pyarrow as pa
import pyarrow.compute as pc

from loader.sample.csv_copies import CsvCopy
from loader.sample.declaration import Dataset
from loader.sample.layouts import (
    ALWAYS,
    TEXT,
    TIME,
    Column,
    Dated,
    Layout,
    Trips,
    at,
    since,
)
from loader.sample.row_group import RowGroup, blanked, remainder
from loader.sample.trips import (
    distances,
    durations,
    epoch,
    pickup_times,
    sources,
    timestamps,
    zones,
)

# ---- The quirks and how often they happen -------------------------------------------------------

#: Share of a month's rows, drawn at random.
REPEATED: Dated[float] = {ALWAYS: 0.3, since(2019, 1): 0.002}  # equal to another row in all columns
OTHER_BASE: Dated[float] = {  # another row's trip, listed for one more affiliated base
    ALWAYS: 0.0,
    since(2019, 1): 0.6,
    since(2020, 1): 0.02,
}
PADDED = 0.013  # blanks up to 15 characters behind both base numbers
LOWER_CASE = 0.001
WITH_NAME = 0.001  # "B02811 - M.L. Trips" as the affiliated base
NO_AFFILIATED_BASE: Dated[float] = {ALWAYS: 0.0, since(2017, 1): 0.006}
AFFILIATED_ELSEWHERE = 0.325  # the affiliated base isn't the dispatching one
NO_DROPOFF_TIME: Dated[float] = {ALWAYS: 0.05, since(2017, 7): 0.0}
WHOLE_MINUTES: Dated[float] = {ALWAYS: 0.9, since(2017, 7): 0.1}
#: Months whose zones are integers have no NULL among them: pandas had no integer column with NULL.
NO_PICKUP_ZONE: Dated[float] = {
    ALWAYS: 0.2922,
    since(2019, 5): 0.0,
    since(2019, 7): 0.321,
}
NO_DROPOFF_ZONE: Dated[float] = {
    ALWAYS: 0.985,
    since(2017, 1): 0.055,
    since(2019, 5): 0.0,
    since(2019, 7): 0.055,
    since(2020, 7): 0.0,
    since(2020, 8): 0.055,
}
PICKUP_ZONE_264: Dated[float] = {  # unknown
    ALWAYS: 0.0,
    since(2019, 2): 0.522,
    since(2019, 5): 0.843,
    since(2019, 7): 0.522,
}
DROPOFF_ZONE_264: Dated[float] = {ALWAYS: 0.0, since(2017, 1): 0.064}
SHARED: Dated[float] = {ALWAYS: 0.25, since(2023, 2): 0.01}  # SR_Flag is 1, else NULL

#: First row number and step: fixed row numbers, so that small samples have these quirks too.
CENTURIES_AHEAD = (700, 100_000)  # the dropoff is in the year 3019, or so
MANY_BASES = (500, 20_000)  # the first of 39 rows for one trip, all with other affiliated bases
MANY = 39

# ---- What values look like ----------------------------------------------------------------------

#: Base numbers and weights.
BASES: Dated[dict[int, int]] = {
    ALWAYS: {2764: 30, 2617: 20, 2682: 20, 2598: 15, 2510: 25, 2800: 5},  # apps
    since(2019, 2): {1145: 41, 3016: 38, 2550: 35, 1239: 32, 1312: 25, 856: 21, 310: 20, 1051: 19},
}
POPULAR_ZONES = {254: 22, 76: 19, 169: 18, 244: 18, 168: 18, 69: 17, 174: 17, 42: 16}
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


def _make(group: RowGroup, filled: set[str]) -> Trips:
    """Make the trips of a row group, columns as published."""
    month = group.month
    pickup = pickup_times(group)
    whole_minute = group.chance("whole minute", at(month, WHOLE_MINUTES))
    pickup = pc.if_else(whole_minute, pc.subtract(pickup, remainder(pickup, 60)), pickup)
    dropoff = pc.add(pickup, durations(group, distances(group)))
    no_dropoff = group.chance("no dropoff time", at(month, NO_DROPOFF_TIME))
    trips = {
        "pickup_datetime": pickup,
        "dropoff_datetime": blanked(dropoff, no_dropoff),
        "pulocationid": _zones(
            group, "pickup zone", at(month, NO_PICKUP_ZONE), at(month, PICKUP_ZONE_264)
        ),
        "dolocationid": _zones(
            group, "dropoff zone", at(month, NO_DROPOFF_ZONE), at(month, DROPOFF_ZONE_264)
        ),
        "sr_flag": blanked(group.constant(1), pc.invert(group.chance("shared", at(month, SHARED)))),
        **_bases(group),
    }
    other_base, source = _copies(group)
    trips = {name: column.take(source) for name, column in trips.items()}
    # As many bases further as the row is behind the trip's first: no base twice.
    distance = pc.subtract(pc.subtract(group.numbers, group.numbers[0]), source)
    affiliated = pc.add(trips["affiliated"], pc.multiply(distance, 3))
    affiliated = pc.if_else(other_base, remainder(affiliated, len(_NUMBERS)), trips["affiliated"])
    later = epoch(month.replace(year=month.year + 1_000)) - epoch(month)
    ahead = pc.add(trips["pickup_datetime"], later)
    dropoff = pc.if_else(group.every(CENTURIES_AHEAD), ahead, trips["dropoff_datetime"])
    return trips | {
        "pickup_datetime": timestamps(trips["pickup_datetime"]),
        "dropoff_datetime": timestamps(dropoff),
        "dispatching_base_num": _WRITTEN.take(
            pc.add(trips["dispatching"], trips["dispatching as"])
        ),
        "affiliated_base_number": _WRITTEN.take(pc.add(affiliated, trips["affiliated as"])),
    }


def _zones(group: RowGroup, name: str, none: float, unknown: float) -> pa.Array:
    """Draw zones.

    Args:
        group: the row group.
        name: of the draw.
        none: share of the trips without a zone.
        unknown: share of the trips in zone 264.
    """
    known = zones(group, name, POPULAR_ZONES, 0.005)
    drawn = group.uniform(f"{name} is missing")
    return blanked(pc.if_else(pc.less(drawn, none + unknown), 264, known), pc.less(drawn, none))


def _bases(group: RowGroup) -> Trips:
    """Draw the two bases of each trip: their numbers, and the way each is written."""
    padded = group.chance("padded", PADDED)
    dispatching = _base(group, "dispatching")
    elsewhere = pc.and_not(group.chance("affiliated elsewhere", AFFILIATED_ELSEWHERE), padded)
    affiliated = pc.if_else(elsewhere, _base(group, "affiliated"), dispatching)
    missing = group.chance("no affiliated base", at(group.month, NO_AFFILIATED_BASE))
    missing = pc.and_not(missing, pc.or_(padded, group.every(MANY_BASES)))
    return {
        "dispatching": dispatching,
        "dispatching as": _way_to_write(group, "dispatching", padded, 0.0),
        "affiliated": blanked(affiliated, missing),
        "affiliated as": _way_to_write(group, "affiliated", padded, WITH_NAME),
    }


def _base(group: RowGroup, name: str) -> pa.Array:
    """Draw base numbers: half of them popular ones."""
    popular = group.pick(f"popular {name}", at(group.month, BASES))
    anyone = pc.add(1, pc.multiply(group.below(f"any {name}", ALL_BASES), 3))
    return pc.if_else(group.chance(f"{name} is popular", 0.5), popular, anyone)


def _way_to_write(group: RowGroup, name: str, padded: pa.Array, with_name: float) -> pa.Array:
    drawn = group.uniform(f"{name} written")
    odd = pc.if_else(pc.less(drawn, with_name), _WITH_NAME, _PLAIN)
    lower = pc.greater_equal(drawn, 1.0 - LOWER_CASE)
    return pc.if_else(padded, _PADDED, pc.if_else(lower, _LOWER_CASE, odd))


def _copies(group: RowGroup) -> tuple[pa.Array, pa.Array]:
    """Choose the rows that are another row's trip.

    Returns:
        Whether a row has another affiliated base than its source, and the source of each row.
    """
    first, step = MANY_BASES
    place = pc.subtract(remainder(group.numbers, step), first)
    one_of_many = pc.and_(pc.greater_equal(place, 0), pc.less(place, MANY))
    drawn = group.uniform("copied")
    repeated_share = at(group.month, REPEATED)
    copied_share = repeated_share + at(group.month, OTHER_BASE)
    copied = pc.if_else(one_of_many, pc.greater(place, 0), pc.less(drawn, copied_share))
    repeated = pc.and_not(pc.less(drawn, repeated_share), one_of_many)
    return pc.and_not(copied, repeated), sources(group, copied)


_ZONE: Dated[pa.DataType | None] = {
    ALWAYS: pa.float64(),
    since(2019, 5): pa.int64(),
    since(2019, 7): pa.float64(),
    since(2023, 2): pa.int64(),
}
_DROPOFF_ZONE: Dated[pa.DataType | None] = {
    ALWAYS: pa.float64(),
    since(2019, 5): pa.int64(),
    since(2019, 7): pa.float64(),
    since(2020, 7): pa.int64(),
    since(2020, 8): pa.float64(),
    since(2023, 2): pa.int64(),
}

FHV = Dataset(
    name="fhv",
    layouts={
        since(2015, 1): Layout(
            columns=(
                Column("dispatching_base_num", TEXT),
                Column("pickup_datetime", TIME),
                Column("dropOff_datetime", TIME),
                Column("PUlocationID", _ZONE),
                Column("DOlocationID", _DROPOFF_ZONE),
                Column(
                    "SR_Flag",
                    {
                        ALWAYS: pa.null(),
                        since(2017, 5): pa.float64(),  # not later than this month
                        since(2019, 3): pa.null(),
                        since(2023, 2): pa.int64(),
                    },
                ),
                Column("Affiliated_base_number", TEXT),
            ),
            make=_make,
        )
    },
    csv=CsvCopy(
        line_end="\n",
        headers={
            ALWAYS: {},
            since(2020, 1): {
                "dropoff_datetime": "dropoff_datetime",
                "pulocationid": "PULocationID",
                "dolocationid": "DOLocationID",
            },
        },
    ),
)
