"""Writes month files, a row group at a time, so that memory stays bounded."""

import datetime as dt
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from loader.sample.datasets import get_dataset
from loader.sample.layouts import COMPRESSION, at
from loader.sample.row_group import RowGroup

ROW_GROUP = 1_000_000  # even, so that a twin is in the row group of the row it copies
GZIP_LEVEL = 5  # of CSV; a fifth of the time of the default, 9, for nearly the same size
CSV_BATCH = 65_536  # rows that are written at a time; faster than the default, 1,024


def write_month(path: Path, dataset: str, month: dt.date, rows: int, seed: int = 0) -> None:
    """Write one month file. It appears under its name only when it is complete.

    Args:
        path: the file to write; its folder exists. A name that ends in .csv or .csv.gz makes a
            file like the frozen CSV copies of 2019-01 to 2021-07, any other name a Parquet file.
        dataset: yellow, green, fhv or fhvhv.
        month: the file month.
        rows: number of rows; 0 makes a file with a header only.
        seed: another seed gives other trips.

    Raises:
        UsageError: when there is no such dataset, the month is before its first, or there is no
            CSV copy of it.
    """
    declared = get_dataset(dataset)
    layout = declared.layout(month)
    groups = _row_groups(dataset, month, rows, seed)
    unfinished = path.with_name(path.name + ".part")
    try:
        if path.name.endswith((".csv", ".csv.gz")):
            copy = declared.csv_copy(month)
            with _opened(unfinished, compressed=path.suffix == ".gz") as file:
                _write_csv(
                    file,
                    copy.schema(layout, month),
                    (copy.table(layout, group) for group in groups),
                    copy.line_end,
                )
        else:
            _write_parquet(
                unfinished,
                layout.schema(month),
                (layout.table(group) for group in groups),
                *at(month, COMPRESSION),
            )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _row_groups(dataset: str, month: dt.date, rows: int, seed: int) -> Iterator[RowGroup]:
    for first in range(0, rows, ROW_GROUP):
        numbers = range(first, min(first + ROW_GROUP, rows))
        yield RowGroup(dataset, month, seed, rows, numbers)


def _write_parquet(
    path: Path, schema: pa.Schema, tables: Iterator[pa.Table], codec: str, level: int
) -> None:
    with pq.ParquetWriter(path, schema, compression=codec, compression_level=level) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROW_GROUP)


@contextmanager
def _opened(path: Path, *, compressed: bool) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        if not compressed:
            yield file
            return
        # Without name and time inside: the same trips make the same bytes.
        with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
            yield cast(IO[bytes], packed)


def _write_csv(
    file: IO[bytes], schema: pa.Schema, tables: Iterator[pa.Table], line_end: str
) -> None:
    options = pacsv.WriteOptions(
        quoting_style="none", quoting_header="none", eol=line_end, batch_size=CSV_BATCH
    )
    with pacsv.CSVWriter(file, schema, write_options=options) as writer:
        for table in tables:
            writer.write_table(table)
