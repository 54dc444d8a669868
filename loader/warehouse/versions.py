"""A version of a month file, as the warehouse records it."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import itemgetter
from typing import Any

from loader.calendar import Month, format_of
from loader.datasets import record_columns
from loader.errors import ReconciliationError


@dataclass(frozen=True)
class FileVersion:
    """A version of a month file: a row of `month_files` (what landed) or of the ledger (merged).

    An attribute that only the other table records is None.
    """

    dataset: str
    file_month: dt.date
    file_name: str  #: name as published
    source_url: str  #: where it came from, without credentials
    etag: str | None  #: the server's name of the version, if it gives one
    last_modified: dt.datetime | None  #: the server's or the file's modification time (UTC)
    file_bytes: int
    sha256: str  #: of the bytes
    file_rows: int  #: rows by the Parquet footer
    landed_rows: int  #: rows that landed, as the warehouse counted them
    landed_at: dt.datetime  #: when it landed (UTC)
    load_id: str  #: dlt load package
    loader_version: str
    #: columns that the contract doesn't know, comma-separated; None if none
    unknown_columns: str | None = None
    #: values that the contract's `clean` changed, by column; None if none
    cleaned_values: str | None = None
    #: rows that may share their key, comma-separated; None if not computed
    shared_rows: str | None = None
    #: why it is not merged until it is accepted; None if it isn't suspect
    suspect: str | None = None
    #: when its raw rows were dropped (UTC); None while they are there
    raw_dropped_at: dt.datetime | None = None
    table_rows: int | None = None  #: rows of the month in the trips table
    rows_added: int | None = None  #: rows that the version before didn't have
    rows_removed: int | None = None  #: rows that only the version before had
    rows_unchanged: int | None = None  #: rows that both have
    merged_at: dt.datetime | None = None  #: when it was merged (UTC)
    is_current: bool | None = None  #: whether the trips table holds it
    invocation_id: str | None = None  #: dbt's invocation that merged it
    #: when `nyc-tlc remove` removed it from the trips table (UTC)
    removed_at: dt.datetime | None = None
    #: version of the marts that count it; 0 if they don't, None if not recorded
    marts_version: int | None = None

    @property
    def month(self) -> Month:
        """The month that it is a version of."""
        return Month(self.dataset, self.file_month)

    @property
    def format(self) -> str:
        """The format of the file: parquet, which TLC publishes, or csv, of a copy."""
        return format_of(self.file_name)

    def is_still(self, size: int, etag: str | None, last_modified: dt.datetime | None) -> bool:
        """Compare with what the source says now: size and ETag, or time; no bytes are read."""
        if self.file_bytes != size or self.etag != etag:
            return False
        return etag is not None or self.last_modified == last_modified

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "FileVersion":
        """Read a row; a column that the table is too old to have is None."""
        known: dict[str, Any] = {field.name: row.get(field.name) for field in fields(cls)}
        return cls(**known)

    def month_files_row(self) -> dict[str, Any]:
        """Return the row of `month_files`, without columns that have no value.

        A table that an earlier version of the loader made may lack those.
        """
        names = (column.name for column in record_columns("month_files"))
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def versions_of(rows: Iterable[dict[str, Any]], *newest: str) -> list[FileVersion]:
    """Read rows of a table; of a month, that with the highest `newest` is the last."""
    in_order = sorted(rows, key=itemgetter("dataset", "file_month", *newest))
    return [FileVersion.of_row(row) for row in in_order]


def require_all_rows(landed: FileVersion, count: int) -> None:
    """Refuse to commit a landing that brought another number of rows than the file has."""
    if count != landed.file_rows:
        raise ReconciliationError(
            f"{landed.month.label}: {landed.file_name} has"
            f" {landed.file_rows:,} rows, {count:,} landed; run the command again"
        )
