"""Writes month files, a row group at a time, so that memory stays bounded."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq

from loader.sample.datasets import get_dataset
from loader.sample.layouts import COMPRESSION, at
from loader.sample.row_group import RowGroup

ROW_GROUP = 1_000_000  # even, so that a twin is in the row group of the row it copies


def write_month(path: Path, dataset: str, month: dt.date, rows: int, seed: int = 0) -> None:
    """Write one month file. It appears under its name only when it is complete.

    Args:
        path: the file to write; its folder exists.
        dataset: yellow, green, fhv or fhvhv.
        month: the file month.
        rows: number of rows; 0 makes a file with a header only.
        seed: another seed gives other trips.

    Raises:
        UsageError: when there is no such dataset, or the month is before its first.
    """
    layout = get_dataset(dataset).layout(month)
    codec, level = at(month, COMPRESSION)
    unfinished = path.with_name(path.name + ".part")
    try:
        with pq.ParquetWriter(
            unfinished, layout.schema(month), compression=codec, compression_level=level
        ) as writer:
            for first in range(0, rows, ROW_GROUP):
                numbers = range(first, min(first + ROW_GROUP, rows))
                group = RowGroup(dataset, month, seed, rows, numbers)
                writer.write_table(layout.table(group), row_group_size=ROW_GROUP)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
