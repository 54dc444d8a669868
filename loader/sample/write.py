"""Writes month files, a row group at a time, so that memory stays bounded."""

import datetime as dt
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from loader.calendar import Month, format_month
from loader.errors import UsageError
from loader.sample.layouts import Layout, layout_of
from loader.sample.row_group import RowGroup, remainder
from loader.sample.trips import as_in_csv, make_trips

ROW_GROUP = 1_000_000  # even, so that a twin is in the row group of the row it copies
GZIP_LEVEL = 5  # of gzip's default, 9, an eighth of the time in Parquet, a fifth in CSV; same size
CSV_BATCH = 65_536  # rows that are written at a time; faster than the default, 1,024
FIRST_ZSTD = dt.date(2023, 2, 1)  # gzip before
FIRST_CSV, LAST_CSV = dt.date(2019, 1, 1), dt.date(2021, 7, 1)


def write_month(path: Path, dataset: str, month: dt.date, rows: int, seed: int = 0) -> None:
    """Write one month file. It appears under its name only when it is complete.

    Args:
        path: the file to write; its folder exists. A name that ends in .csv or .csv.gz makes a
            file like the frozen CSV copies of 2019-01 to 2021-07, any other name a Parquet file.
        rows: number of rows; 0 makes a file with a header only.

    Raises:
        UsageError: when there is no such dataset, the month is before its first, or there is no
            CSV copy of it.
    """
    layout = layout_of(dataset, month)
    is_csv = path.name.endswith((".csv", ".csv.gz"))
    if is_csv and not layout.csv:
        raise UsageError(f"{dataset}: there are no CSV copies of its files")
    if is_csv and not FIRST_CSV <= month <= LAST_CSV:
        raise UsageError(
            f"{Month(dataset, month).label}: there are CSV copies of"
            f" {format_month(FIRST_CSV)} to {format_month(LAST_CSV)} only"
        )
    groups = (
        RowGroup(layout, seed, rows, range(first, min(first + ROW_GROUP, rows)))
        for first in range(0, rows, ROW_GROUP)
    )
    unfinished = path.with_name(path.name + ".part")
    try:
        if not is_csv:
            _write_parquet(unfinished, layout, groups)
        elif path.suffix == ".csv":
            with unfinished.open("wb") as file:
                _write_csv(file, layout, groups)
        else:
            # Without name and time inside: the same trips make the same bytes.
            with (
                unfinished.open("wb") as file,
                gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed,
            ):
                _write_csv(cast(IO[bytes], packed), layout, groups)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_parquet(path: Path, layout: Layout, groups: Iterator[RowGroup]) -> None:
    codec, level = ("gzip", GZIP_LEVEL) if layout.month < FIRST_ZSTD else ("zstd", 1)
    schema = layout.schema
    with pq.ParquetWriter(path, schema, compression=codec, compression_level=level) as writer:
        for group in groups:
            trips = make_trips(group)
            values = [trips.pop(name).cast(each.type) for name, each in layout.columns.items()]
            writer.write_table(pa.table(values, schema=schema), row_group_size=ROW_GROUP)


def _write_csv(file: IO[bytes], layout: Layout, groups: Iterator[RowGroup]) -> None:
    """Write the columns that the copies have, under their headers, all of them as text."""
    renamed = layout.csv.get("headers") or {}
    headers = {
        name: renamed.get(name, column.header)
        for name, column in layout.columns.items()
        if name not in layout.csv.get("without", ())
    }
    schema = pa.schema([(header, pa.string()) for header in headers.values()])
    options = pacsv.WriteOptions(
        quoting_style="none",
        quoting_header="none",
        eol=layout.csv["line_end"],
        batch_size=CSV_BATCH,
    )
    with pacsv.CSVWriter(file, schema, write_options=options) as writer:
        for group in groups:
            trips = as_in_csv(group, make_trips(group))
            # Values are as short as can be, 8 or 9.3, but for those with two decimals.
            texts = [
                _with_two_decimals(trips[name])
                if name == "trip_distance"
                else trips[name].cast(pa.string())
                for name in headers
            ]
            writer.write_table(pa.table(texts, schema=schema))


def _with_two_decimals(values: pa.Array) -> pa.Array:
    """Write values from 0 on with two decimals, and without a zero before the point."""
    hundredths = pc.round(values * 100.0).cast(pa.int64())
    whole = hundredths / 100
    before = pc.if_else(pc.equal(whole, 0), "", whole.cast(pa.string()))
    after = pc.utf8_lpad(remainder(hundredths, 100).cast(pa.string()), 2, "0")
    return pc.binary_join_element_wise(before, after, ".")
