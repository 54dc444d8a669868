"""Writes month files, a row group at a time, so that memory stays bounded."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from loader.datasets import check_supported
from loader.sample.green import GREEN
from loader.sample.layouts import COMPRESSION, at
from loader.sample.row_group import RowGroup
from loader.sample.yellow import YELLOW

DATASETS = {dataset.name: dataset for dataset in (GREEN, YELLOW)}

ROW_GROUP = 1_000_000  # even, so that a twin is in the row group of the row it copies


def schema_of(dataset: str, month: dt.date) -> pa.Schema:
    """Return the Arrow schema of TLC's file of a month.

    Args:
        dataset: green or yellow.
        month: the file month.

    Returns:
        The columns in TLC's order, spelling and types.
    """
    return at(month, DATASETS[dataset].layouts).schema(month)


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
    layout = at(month, DATASETS[dataset].layouts)
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
