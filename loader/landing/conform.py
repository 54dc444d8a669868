"""Conforms a month file to the contract: names, types, cleaned texts. Refuses lossy casts."""

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loader.calendar import SUFFIXES, Month, file_name, format_of, next_month
from loader.datasets import Column, Dataset, get_dataset
from loader.errors import FileRefusedError
from loader.landing.values import CLEANERS, OddValueError, mapped, parsed
from loader.landing.zones import ZoneGrid
from loader.source.csv_file import CsvError, CsvFile
from loader.terminal.words import count

BATCH_ROWS = 131_072
#: A table on Postgres has at most 1,600 columns, and a raw table keeps those of earlier files.
MAX_UNKNOWN_COLUMNS = 50

#: Of fewer, most may be outside the month by chance; TLC's files have thousands.
_MANY_PICKUPS = 1_000

#: Years that Python, Postgres and BigQuery all have, in microseconds since 1970.
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
#: Postgres' system columns: names that a column of a file can't have.
_SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}


@dataclass(frozen=True)
class Conformer:
    """The mapping of one month file to its raw table.

    Attributes:
        path: the file; by its name it is Parquet or CSV.
        zones: finds the zones of coordinates; without it, they are NULL.
        cleaned: values that the contract's `clean` changed, by column, as far as they were read.
        pickups: pickups as far as they were read, by whether they are in the file month.
    """

    dataset: str
    month: dt.date
    path: Path
    zones: ZoneGrid | None = field(default=None, compare=False)
    cleaned: Counter[str] = field(default_factory=Counter, compare=False)
    pickups: Counter[bool] = field(default_factory=Counter, compare=False)

    @cached_property
    def contract(self) -> Dataset:
        """The declaration of the dataset."""
        return get_dataset(self.dataset)

    @cached_property
    def file_schema(self) -> pa.Schema:
        """The file's own columns and types."""
        with self._reading():
            if self._csv:
                return self._csv.schema
            with self._open() as file:
                _ = file.schema_arrow.names  # which need not be UTF-8
                return file.schema_arrow

    @cached_property
    def _csv(self) -> CsvFile | None:
        return CsvFile(self.path) if format_of(self.path.name) == "csv" else None

    @cached_property
    def mapping(self) -> dict[str, int]:
        """Index in the file of each contract column that it has.

        Raises:
            FileRefusedError: when two columns of the file are one of the contract, or when a key
                column is missing.
        """
        by_spelling = {
            spelling.name.lower(): column.name
            for column in self.contract.file_columns
            for spelling in column.spellings
        }
        names = self.file_schema.names
        found: dict[str, int] = {}
        for index, name in enumerate(names):
            known = by_spelling.get(name.lower())
            if known is None:
                continue
            if known in found:
                raise self._refused(
                    known, f"the file has it twice, as {names[found[known]]!r} and {name!r}"
                )
            found[known] = index
        for column in self.contract.file_columns:
            if column.key and column.name not in found and column.expected(self.month):
                advice = f"if TLC renamed it, add the spelling to {self.contract.declaration}"
                if self._csv:
                    advice = "load the month's Parquet file"
                raise self._refused(
                    column.name, f"missing, and rows can't be told apart without it; {advice}"
                )
        return found

    @cached_property
    def unknown(self) -> dict[str, int]:
        """Columns that the contract doesn't know: name in the raw table, and place in the file.

        They are landed as text, so that a type may change from month to month.

        Raises:
            FileRefusedError: when there are too many to be TLC's.
        """
        known = self.mapping.values()
        columns = {
            index: name.lower()
            for index, name in enumerate(self.file_schema.names)
            if index not in known and name.lower() not in self.contract.ignored
        }
        if len(columns) > MAX_UNKNOWN_COLUMNS:
            raise FileRefusedError(
                f"{self._label}: {len(columns)} columns that the contract doesn't know, more than"
                f" {MAX_UNKNOWN_COLUMNS}; look at the file"
            )
        found: dict[str, int] = {}
        taken = {column.name for column in self.contract.columns} | _SYSTEM_COLUMNS
        for index, name in columns.items():
            # The name comes from a file: only letters, digits and _ get near SQL.
            base = re.sub(r"[^a-z0-9_]+", "_", name).strip("_")[:50] or "unnamed"
            base = f"x_{base}" if base[0].isdigit() or base in taken else base
            unique, number = base, 2
            while unique in taken:
                unique, number = f"{base}_{number}", number + 1
            taken.add(unique)
            found[unique] = index
        return found

    @property
    def unknown_names(self) -> list[str]:
        """The same columns as the file names them."""
        return [self.file_schema.names[index] for index in self.unknown.values()]

    @property
    def missing(self) -> list[str]:
        """Contract columns that a file of this month should have, and this one lacks."""
        return [
            column.name
            for column in self.contract.file_columns
            if column.expected(self.month) and column.name not in self.mapping
        ]

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns and types of the conformed batches."""
        fields = [pa.field(column.name, column.arrow_type) for column in self.contract.file_columns]
        fields += [pa.field(name, pa.string()) for name in self.unknown]
        fields += [pa.field("_file_month", pa.date32()), pa.field("_file_row", pa.int32())]
        return pa.schema(fields)

    @property
    def filled(self) -> list[str]:
        """Columns of the conformed batches that may have values; the others are NULL throughout."""
        columns = {one.name for one in self.contract.file_columns}
        lacking = columns - self.mapping.keys() - {one.name for one in self._computed}
        return [name for name in self.schema.names if name not in lacking]

    @cached_property
    def _computed(self) -> list[Column]:
        """The columns of zones for which the file has coordinates."""
        return [
            column
            for column in self.contract.file_columns
            if self.zones and column.coordinates and self.mapping.keys() >= {*column.coordinates}
        ]

    @property
    def suspicion(self) -> str | None:
        """Why the file is probably another month's, once it is read; None if it isn't."""
        outside = self.pickups[False]
        if outside <= self.pickups[True] or self.pickups.total() < _MANY_PICKUPS:
            return None
        return f"{outside:,} of {self.pickups.total():,} pickups are not in {self.month:%Y-%m}"

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the file batch by batch.

        Yields:
            Conformed batches of at most `BATCH_ROWS` rows, in the file's order.

        Raises:
            FileRefusedError: when a value doesn't fit the contract, or the file can't be read.
        """
        rows = 0
        self.cleaned.clear()
        self.pickups.clear()
        with self._reading():
            for batch in self._read():
                yield self._conform(batch, rows + 1)
                rows += batch.num_rows

    def _read(self, position: int | None = None) -> Iterator[pa.RecordBatch]:
        """Read the columns of the file, or the one at a position.

        A row group may be the whole file, so it is never read by row group.
        """
        if self._csv:
            yield from self._csv.batches(None if position is None else [position])
            return
        columns = None if position is None else [self.file_schema.names[position]]
        rows = 0
        with self._open() as file:
            in_footer = file.metadata.num_rows
            groups = range(file.metadata.num_row_groups)
            if sum(file.metadata.row_group(group).num_rows for group in groups) != in_footer:
                raise FileRefusedError(
                    f"{self._label}: the footer says {in_footer} rows, and its row groups another"
                    " number; get the file again"
                )
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield batch
                rows += batch.num_rows
        if rows != in_footer:
            raise FileRefusedError(
                f"{self._label}: {rows} rows where the footer says {in_footer}; get the file again"
            )

    @property
    def _label(self) -> str:
        suffix = next((one for one in SUFFIXES if self.path.name.endswith(one)), SUFFIXES[0])
        name = file_name(self.dataset, self.month, suffix)
        return f"{Month(self.dataset, self.month).label}: {name}"

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(
            self.path,
            pre_buffer=False,
            # TLC's pages have no checksums; a copy's may.
            page_checksum_verification=True,
            # As nanoseconds, years far in the past or future would overflow.
            coerce_int96_timestamp_unit="us",
        )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, CsvError, OSError, UnicodeDecodeError) as error:
            raise FileRefusedError(
                f"{self._label} can't be read: {_first_line(error)}; get the file again"
            ) from error

    def _conform(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        cast = {column.name: self._cast(column, batch) for column in self.contract.file_columns}
        for column in self._computed:
            cast[column.name] = self._zones_of(column, cast)
        arrays = list(cast.values())
        arrays += [self._as_text(name, batch.column(i)) for name, i in self.unknown.items()]
        arrays.append(pa.repeat(pa.scalar(self.month, pa.date32()), batch.num_rows))
        arrays.append(pa.array(np.arange(first_row, first_row + batch.num_rows, dtype=np.int32)))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _cast(self, column: Column, batch: pa.RecordBatch) -> pa.Array:
        if column.name not in self.mapping:
            return pa.nulls(batch.num_rows, column.arrow_type)
        values = self._decoded(column, batch.column(self.mapping[column.name]))
        if not _castable(values.type, column.arrow_type):
            raise self._refused(
                column.name, f"{values.type} in the file can't become {column.data_type}"
            )
        try:
            values = values.cast(column.arrow_type)
        except pa.ArrowInvalid as error:
            # Arrow names the value: "Float value 1.5 was truncated converting to int32".
            raise self._refused(column.name, _first_line(error)) from error
        if pa.types.is_string(column.arrow_type):
            self._check_text(column, values)
            values = self._clean(column, values)
        elif pa.types.is_timestamp(column.arrow_type):
            self._check_time(column, values)
            if column.name == "pickup_datetime":
                self._count_pickups(values)
        return values

    def _zones_of(self, column: Column, values: dict[str, pa.Array]) -> pa.Array:
        assert self.zones  # noqa: S101 - else nothing is computed
        longitudes, latitudes = (
            values[name].to_numpy(zero_copy_only=False) for name in column.coordinates
        )
        found = self.zones.find(longitudes, latitudes)
        return pa.array(found, column.arrow_type, mask=found == 0)

    def _decoded(self, column: Column, values: pa.Array) -> pa.Array:
        """Map or parse values of CSV, or of a month in which TLC wrote them in another form."""
        spelling = column.spelling(self.file_schema.names[self.mapping[column.name]], self.month)
        if pa.types.is_null(values.type):
            return values
        try:
            if spelling and spelling.values:
                return mapped(values, spelling.values, column.arrow_type)
            if _is_text(values.type) and (self._csv or (spelling and spelling.is_text)):
                return parsed(values.cast(pa.string()), column.arrow_type)
        except OddValueError as error:
            rows = self._count(column, error.value)
            found = f"{error} ({count(rows, 'row')})"
            is_listed = spelling and spelling.values
            advice = f"add it to {self.contract.declaration}" if is_listed else "look at the file"
            raise self._refused(column.name, f"{found}; {advice}") from error
        return values

    def _count(self, column: Column, value: str) -> int:
        """Count the rows of the file that have a value, given as text."""
        texts = (
            batch.column(0).cast(pa.string()) for batch in self._read(self.mapping[column.name])
        )
        return sum(
            pc.sum(pc.equal(pc.utf8_trim_whitespace(some), value.strip())).as_py() or 0
            for some in texts
        )

    def _clean(self, column: Column, values: pa.Array) -> pa.Array:
        cleaned = values
        for name in column.clean:
            cleaned = CLEANERS[name](cleaned)
        if column.clean:
            changed = pc.invert(pc.fill_null(pc.equal(cleaned, values), False))
            self.cleaned[column.name] += pc.sum(pc.and_(changed, values.is_valid())).as_py() or 0
        return cleaned

    def _as_text(self, column: str, values: pa.Array) -> pa.Array:
        try:
            return _as_text(values)
        except (ValueError, OverflowError) as error:
            # Times inside lists, out of Python's reach.
            raise self._refused(
                column, f"a value of {values.type} has no text form: {_first_line(error)}"
            ) from error

    def _check_text(self, column: Column, values: pa.Array) -> None:
        try:
            values.validate(full=True)
        except pa.ArrowInvalid as error:
            raise self._refused(column.name, "text that is not UTF-8") from error
        if pc.any(pc.match_substring(values, "\0")).as_py():
            raise self._refused(column.name, "text with a NUL byte, which Postgres can't hold")

    def _check_time(self, column: Column, values: pa.Array) -> None:
        bounds = pc.min_max(values.cast(pa.int64())).as_py()
        for bound in bounds.values():
            if bound is not None and not _FIRST_TIME <= bound <= _LAST_TIME:
                raise self._refused(
                    column.name, f"a time {bound} µs from 1970, outside the years 1 to 9999"
                )

    def _count_pickups(self, times: pa.Array) -> None:
        first, next_ = (
            pa.scalar(dt.datetime(month.year, month.month, 1), times.type)
            for month in (self.month, next_month(self.month))
        )
        is_inside = pc.and_(pc.greater_equal(times, first), pc.less(times, next_))
        self.pickups[True] += is_inside.true_count
        self.pickups[False] += is_inside.false_count

    def _refused(self, column: str, reason: str) -> FileRefusedError:
        return FileRefusedError(f"{self._label}, column {column}: {reason}")


def _castable(source: pa.DataType, target: pa.DataType) -> bool:
    """Return whether the types may be cast; the cast itself checks the values."""
    if pa.types.is_dictionary(source):
        source = source.value_type
    if pa.types.is_null(source):
        return True
    if pa.types.is_timestamp(target):
        # A time with a zone would have to be converted, and these are wall clock times.
        return pa.types.is_timestamp(source) and source.tz is None
    if pa.types.is_string(target):
        return _is_text(source)
    return pa.types.is_integer(source) or pa.types.is_floating(source)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _as_text(values: pa.Array) -> pa.Array:
    """Cast values of any type to text; those without a cast are written as JSON."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    try:
        texts = values.cast(pa.string())
        texts.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if _is_text(values.type):
            values = values.cast(pa.large_binary())  # not UTF-8: that is why the cast failed
        written = [
            None if value is None else json.dumps(value, default=str)
            for value in values.to_pylist()
        ]
        texts = pa.array(written, pa.string())
    return pc.replace_substring(texts, "\0", "")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
