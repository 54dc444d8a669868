"""Reads a month file in CSV, plain or gzipped: every value as text."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

#: Bytes read at once: they hold no more rows than a batch of a Parquet file.
_BLOCK_BYTES = 2 << 20
#: Errors of reading a damaged gzip file.
_DAMAGES = (EOFError, OSError, zlib.error)


class CsvError(ValueError):
    """A file that is cut off, or whose rows differ in their number of fields."""


class CsvFile:
    """A CSV file with a header; empty fields are NULL, empty lines are skipped."""

    def __init__(self, path: Path, is_gzipped: bool | None = None) -> None:
        """Open nothing yet.

        Args:
            is_gzipped: whether it is gzipped; by its name if not given.
        """
        self._path = path
        self._is_gzipped = path.suffix == ".gz" if is_gzipped is None else is_gzipped

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, all text: names by the header, without blanks around them.

        Raises:
            CsvError: when there is no header.
        """
        try:
            with self._open() as file:
                header = file.readline(_BLOCK_BYTES).decode("utf-8-sig")
        except (*_DAMAGES, UnicodeDecodeError) as error:
            raise CsvError(f"line 1 can't be read: {error}") from error
        names = [name.strip() for name in next(csv.reader([header]), [])]
        if not any(names):
            raise CsvError("there is no header in line 1")
        return pa.schema([(name, pa.string()) for name in names])

    def batches(self, columns: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
        """Read the rows.

        Args:
            columns: positions of the columns to read; None for all.

        Yields:
            Batches of text columns, in the file's order.

        Raises:
            CsvError: when a row has another number of fields than the header.
        """
        # By position: two columns may have one name.
        names = [str(position) for position in range(len(self.schema))]
        wanted = names if columns is None else [names[position] for position in columns]
        with self._open() as file:
            file.readline(_BLOCK_BYTES)
            try:
                yield from pa_csv.open_csv(
                    file,
                    pa_csv.ReadOptions(
                        use_threads=False, block_size=_BLOCK_BYTES, column_names=names
                    ),
                    pa_csv.ParseOptions(newlines_in_values=True),
                    pa_csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        include_columns=wanted,
                        null_values=[""],
                        strings_can_be_null=True,
                    ),
                )
            except pa.ArrowInvalid as error:
                if "Empty CSV file" not in str(error):
                    raise CsvError(_in_words(error)) from error

    def check(self) -> int:
        """Read the whole file, and count its rows.

        Raises:
            CsvError: when it is cut off, damaged, or a row has another number of fields.
        """
        last = b""
        try:
            with self._open() as file:
                while chunk := file.read(_BLOCK_BYTES):
                    last = chunk[-1:]
        except _DAMAGES as error:  # gzip checks length and CRC
            raise CsvError(f"the gzip file is cut off or damaged: {error}") from error
        if last not in (b"\n", b"\r"):
            raise CsvError("its last line doesn't end, so rows may be missing")
        return sum(batch.num_rows for batch in self.batches())

    def _open(self) -> BinaryIO:
        return cast(BinaryIO, gzip.open(self._path) if self._is_gzipped else self._path.open("rb"))


def _in_words(error: pa.ArrowInvalid) -> str:
    """Return Arrow's message, such as "Row #7: Expected 20 columns, got 21: …"."""
    text = str(error).removeprefix("CSV parse error: ").splitlines()[0][:200]
    return re.sub(r"^Row #(\d+): E", r"row \1 after the header: e", text)
