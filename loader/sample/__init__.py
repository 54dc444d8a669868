"""Makes month files that look like TLC's: for tests, demonstrations and measurements offline.

A file has TLC's header, column order, Arrow types and compression of its month, plausible values,
and the quirks that break naive loads: layouts.yml says what they are and how often each one
happens. It can also be CSV, like the frozen copies of 2019-01 to 2021-07. The same arguments always
give the same values. Random numbers are `pyarrow`'s, as fast as numpy's; a row group is made at a
time, so memory stays bounded.

Three simplifications: the null block of yellow and green is in all months, of the CSV copies too
(in TLC's files it starts in 2019, and is at the file's end; the copies up to 2019-06 lack it); rows
are ordered by day, not by second; identical rows follow each other.
"""

import datetime as dt

import pyarrow as pa

from loader.sample.layouts import layout_of
from loader.sample.write import write_month

__all__ = ["schema_of", "write_month"]


def schema_of(dataset: str, month: dt.date) -> pa.Schema:
    """Return the Arrow schema of TLC's file of a month: its order, spelling and types.

    Raises:
        UsageError: when there is no such dataset, or the month is before its first.
    """
    return layout_of(dataset, month).schema
