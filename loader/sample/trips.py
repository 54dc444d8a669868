"""What trips of all datasets have in common: times and zones."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from loader.calendar import next_month
from loader.sample.row_group import RowGroup

#: Share of the day's trips in each hour, from midnight.
HOURS = dict(
    enumerate(
        [30, 20, 13, 9, 7, 10, 22, 36, 45, 46, 46, 47, 49, 50, 53, 54, 51, 57, 66, 64] + [56] * 4
    )
)

ZONES = 263  # without the two unknown ones
AIRPORT_ZONES = (132, 138)


def pickup_times(group: RowGroup) -> pa.Array:
    """Spread pickups over the month's days and the day's hours; seconds since 1970."""
    days = (next_month(group.month) - group.month).days
    position = pc.divide(pc.cast(group.numbers, pa.float64()), float(group.month_rows))
    day = pc.cast(pc.floor(pc.multiply(position, float(days))), pa.int64())
    hours = pc.add(pc.multiply(day, 24), group.pick("hour", HOURS))
    seconds = pc.add(pc.multiply(hours, 3_600), group.below("second", 3_600))
    return pc.add(seconds, epoch(group.month))


def distances(group: RowGroup) -> pa.Array:
    """Draw distances: exponential around 2.5 miles; hundredths of miles."""
    return pc.cast(pc.floor(pc.add(30.0, group.exponential("distance", 250.0))), pa.int64())


def durations(group: RowGroup, distance: pa.Array) -> pa.Array:
    """Draw durations of distances: 2.5 to 6.5 minutes a mile; seconds."""
    pace = pc.add(150, group.below("pace", 240))
    return pc.add(60, pc.divide(pc.multiply(distance, pace), 100))


def zones(
    group: RowGroup, name: str, popular_zones: dict[int, int], unknown_share: float
) -> pa.Array:
    """Draw zones: half of the trips at popular ones, a few at 264 and 265.

    Args:
        group: the row group.
        name: of the draw.
        popular_zones: zones and their weights.
        unknown_share: share of the trips at 264 and 265.
    """
    anywhere = pc.add(1, group.below(f"any {name}", ZONES))
    popular = group.pick(f"popular {name}", popular_zones)
    known = pc.if_else(group.chance(f"{name} is popular", 0.5), popular, anywhere)
    unknown = group.pick(f"unknown {name}", {264: 3, 265: 1})
    return pc.if_else(group.chance(f"{name} is unknown", unknown_share), unknown, known)


def sources(group: RowGroup, copied: pa.Array) -> pa.Array:
    """Return the row that each row takes its values from: itself, or the last one not copied."""
    here = pc.subtract(group.numbers, group.numbers[0])
    return pc.cumulative_max(pc.if_else(copied, 0, here))


def timestamps(seconds: pa.Array) -> pa.Array:
    """Return seconds since 1970 as timestamps."""
    return pc.cast(pc.multiply(seconds, 1_000_000), pa.timestamp("us"))


def dollars(cents: pa.Array) -> pa.Array:
    """Return hundredths as published: dollars, or miles."""
    return pc.divide(pc.cast(cents, pa.float64()), 100.0)


def epoch(day: dt.date) -> int:
    """Return a day's midnight as seconds since 1970; wall time, as TLC's, so without a zone."""
    return (day - dt.date(1970, 1, 1)).days * 86_400
