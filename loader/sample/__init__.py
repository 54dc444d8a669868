"""Makes month files that look like TLC's: for tests, demonstrations and measurements offline.

A file has TLC's header, column order, Arrow types and compression of its month, plausible values,
and the quirks that break naive loads: each dataset's module says how often each one happens. The
same arguments always give the same values. Only `pyarrow` is needed: its random numbers are as fast
as numpy's, and a row group is made at a time, so memory stays bounded.

Two simplifications: the null block is in all months (in TLC's files it starts in 2019, and stands
at the file's end), and rows are ordered by day, not by second.
"""

from loader.sample.datasets import schema_of
from loader.sample.write import write_month

__all__ = ["schema_of", "write_month"]
