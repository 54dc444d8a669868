"""What the loader asks of a warehouse besides dlt's loads: locks, publishing, the ledger."""

import datetime as dt
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from loader.progress import Reporter

if TYPE_CHECKING:
    import dlt
    from dlt.common.destination import Destination
    from dlt.sources import DltResource

    from loader.landing.conform import Conformer


@dataclass(frozen=True)
class LandedFile:
    """A row of `month_files`: one landed version of a month file.

    Attributes:
        dataset: dataset of the file.
        file_month: month in the file's name.
        file_name: name as published.
        source_url: where it came from, without credentials.
        etag: the server's name of the version, if it gives one.
        last_modified: the server's or the file's modification time (UTC).
        file_bytes: size in bytes.
        sha256: of the bytes.
        file_rows: rows by the Parquet footer.
        landed_rows: rows that landed, as the warehouse counted them.
        unknown_columns: columns that the contract doesn't know, comma-separated; None if none.
        shared_rows: rows that may share their key, comma-separated; None if nobody looked.
        suspect: why it is not merged until it is accepted; None for any other.
        landed_at: when it landed (UTC).
        raw_dropped_at: when its raw rows were dropped (UTC); None while they are there.
        load_id: dlt load package.
        loader_version: version of this package.
    """

    dataset: str
    file_month: dt.date
    file_name: str
    source_url: str
    etag: str | None
    last_modified: dt.datetime | None
    file_bytes: int
    sha256: str
    file_rows: int
    landed_rows: int
    unknown_columns: str | None
    shared_rows: str | None
    suspect: str | None
    landed_at: dt.datetime
    raw_dropped_at: dt.datetime | None
    load_id: str
    loader_version: str

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "LandedFile":
        """Read a row; a column that the table is too old to have is None."""
        known: dict[str, Any] = {field.name: row.get(field.name) for field in fields(cls)}
        return cls(**known)


class Warehouse(Protocol):
    """A warehouse, connected. Failures are told as WarehouseErrors.

    Attributes:
        stages: dlt's steps that take time here, and what users are told is done in each.
    """

    stages: ClassVar[Mapping[str, str]]

    def close(self) -> None:
        """Close the connection."""

    def resource(self, conformer: "Conformer", rows: int) -> "DltResource":
        """Return the dlt resource of a month file, in the form that loads fastest here.

        Args:
            conformer: the month file and how it maps to its raw table.
            rows: rows of the file.
        """

    def destination(
        self,
        on_rows: Callable[[int], None],
        on_shared_rows: Callable[[list[int] | None], None],
    ) -> "Destination[Any, Any]":
        """Return the dlt destination.

        Args:
            on_rows: told of rows that were loaded, from any thread, if the warehouse can tell.
            on_shared_rows: told which rows of the file may share their key, if that helps the
                merge here; None when they are too many.
        """

    def staging(self) -> "Destination[Any, Any] | None":
        """Return dlt's staging destination, if loads go through one."""

    def lock(self, dataset: str, month: dt.date) -> AbstractContextManager[None]:
        """Hold the lock of a dataset and month, or raise a LockedError at once."""

    def build_lock(self, reporter: Reporter) -> AbstractContextManager[None]:
        """Let one run at a time build in this warehouse: dbt is not made for two. The next waits.

        Args:
            reporter: where to say that it waits.
        """

    def prepare(
        self, pipeline: "dlt.Pipeline", schema: "dlt.Schema", dataset: str, month: dt.date
    ) -> None:
        """Make the raw tables where they are missing, and discard what a cut-off landing left.

        Args:
            pipeline: the dlt pipeline, for its client.
            schema: the raw tables as they should be.
            dataset: dataset that is going to land.
            month: file month that is going to land.
        """

    def discard(self, dataset: str, month: dt.date) -> None:
        """Drop what a landing brought and never published."""

    def publish(self, landed: LandedFile) -> None:
        """Make a landed file's rows visible in place of the version before, in one step.

        Args:
            landed: the record to write; its counts are checked against the rows that are there.

        Raises:
            ReconciliationError: when rows are missing; nothing is changed then.
        """

    def touch(self, landed: LandedFile) -> None:
        """Write a version's record anew: another ETag or time, or accepted; its rows stay."""

    def drop_raw(self, dataset: str, month: dt.date) -> None:
        """Drop a month's raw rows; the record of them stays."""

    def landed_files(self) -> list[LandedFile]:
        """Read the record of every landed version, the newest of a month last."""

    def ledger(self) -> list[dict[str, Any]]:
        """Read the ledger: one row a merged version, the newest of a month last."""

    def has_raw_rows(self, dataset: str, month: dt.date) -> bool:
        """Tell whether a month's landed rows are still there."""

    def table_rows(self, dataset: str, month: dt.date) -> int:
        """Count a month's rows in the trips table."""

    def check(self, work: str) -> str:
        """Describe the connection for `doctor`.

        Args:
            work: what the user must be allowed to do: load, build, or run, which is both.

        Raises:
            WarehouseError: when a right or a version is missing.
        """


def merged_versions(warehouse: Warehouse) -> dict[tuple[str, dt.date], dict[str, Any]]:
    """Read the ledger's row of the version that each month of the trips tables holds.

    Args:
        warehouse: the warehouse.

    Returns:
        The rows, by dataset and file month.
    """
    return {
        (row["dataset"], row["file_month"]): row for row in warehouse.ledger() if row["is_current"]
    }
