"""What the loader asks of a warehouse: locks, records, and the rows of a landed version."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import Any, Protocol

import pyarrow as pa

from loader.calendar import Month
from loader.terminal.progress import Reporter
from loader.warehouse.versions import FileVersion, versions_of

#: The table that records which project dbt has built.
PROJECT = "_project"


class Warehouse(Protocol):
    """A connection to a warehouse; its failures are WarehouseErrors. For one thread at a time."""

    _raw: str  #: schema of the landed files
    _final: str  #: schema of the trips tables and the ledgers

    def close(self) -> None:
        """Close the connection; locks held by it are released."""

    def lock(self, month: Month, reporter: Reporter) -> AbstractContextManager[None]:
        """Hold a month's lock, or raise a LockedError at once.

        The first thing of a month: it also refuses a warehouse in which the month can't be written.
        """

    def build_lock(
        self, reporter: Reporter, months: Collection[Month] = ()
    ) -> AbstractContextManager[None]:
        """Let one run at a time build here: dbt is not made for two. The next waits, saying so.

        Args:
            months: all that is built, where builds of other file months don't disturb it; none
                for anything else.
        """

    def held_locks(self) -> list[dict[str, Any]] | None:
        """List the locks that runs hold: name, holder, expires_at (UTC).

        None where they end with the session that holds them.
        """

    def free_lock(self, name: str) -> None:
        """End a lock of `held_locks`, whoever holds it."""

    def schema_lock(self) -> AbstractContextManager[None]:
        """Let one landing at a time create the raw tables: two would both find them missing."""

    def has_raw_columns(self, columns: Mapping[str, Collection[str]]) -> bool:
        """Return whether the raw schema has tables and some of their columns, for free.

        False also where it costs as much to find out as to create what is missing.

        Args:
            columns: by table; none for a table whose columns don't matter.
        """

    def discard_unfinished(self, month: Month) -> None:
        """Drop the rows of landings that were never committed."""

    def commit_landing(self, landed: FileVersion) -> None:
        """Replace the month's landed version, in one transaction: its rows and its record.

        Raises:
            ReconciliationError: when another number of rows landed than the file has; nothing is
                changed.
        """

    def update_record(self, landed: FileVersion) -> None:
        """Replace a version's record (new ETag or time, or accepted); its rows stay."""

    def drop_raw(self, month: Month) -> None:
        """Drop a month's raw rows; the record of them stays."""

    def rows_if_there(self, schema: str, name: str) -> list[dict[str, Any]] | None:
        """Read a whole table of records; None when it isn't there yet."""

    def landed_versions(self) -> list[FileVersion]:
        """Read `month_files`: every landed version, the newest of a month last."""
        return versions_of(self.rows_if_there(self._raw, "month_files") or (), "landed_at")

    def merged_versions(self) -> list[FileVersion]:
        """Read the ledger: every merged version, the newest of a month last."""
        rows = self.rows_if_there(self._final, "file_ledger") or []
        built = self.rows_if_there(self._final, "marts_ledger")
        if built is not None:  # else a warehouse of an earlier version
            key = itemgetter("dataset", "file_month", "merged_at")
            latest: dict[Any, int] = {}
            for row in built:
                latest[key(row)] = max(latest.get(key(row), 0), row["marts_version"] or 0)
            rows = [row | {"marts_version": latest.get(key(row), 0)} for row in rows]
        # The current one is the newest, whatever a clock said.
        return versions_of(rows, "is_current", "merged_at")

    def has_raw_rows(self, month: Month) -> bool:
        """Return whether a month's landed rows are still there."""

    def stored_months(self) -> set[Month] | None:
        """Return the months of which the trips tables have rows.

        None where that costs more than a query of the catalogue.
        """

    def table_rows(self, month: Month) -> int:
        """Count a month's rows in the trips table."""

    def read(self, query: str) -> list[dict[str, Any]]:
        """Run a SELECT on what dbt has built; no rows when a table isn't there yet.

        Args:
            query: {tlc} and {marts} in it stand for the schemas.

        Raises:
            NoRightError: when the user may not read it.
        """

    def record_batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Run a query on what dbt has built, of any size.

        Args:
            query: as of `read`; {geojson} stands for the column `geometry`, as GeoJSON.
            schema: the columns that it returns, in the types that are wanted.
        """

    def ask(self, query: str, most: int) -> list[dict[str, Any]]:
        """Return the first rows of a user's SELECT; on Postgres, nothing else runs."""

    def built_project(self, relations: Sequence[str]) -> str | None:
        """Return the fingerprint that `record_project` recorded.

        Args:
            relations: what the project consists of, as schema.table; when one is missing, the
                project counts as not built: None.
        """

    def record_project(self, fingerprint: str) -> None:
        """Record that dbt has built all of a project here."""

    def bytes_billed(self, invocation_id: str | None) -> int | None:
        """Return the bytes that this connection and a dbt invocation, if any, were billed for.

        None for a warehouse that bills none, or that doesn't say.
        """

    def check(self, work: str) -> str:
        """Describe the connection for `doctor`.

        Args:
            work: what the user must be allowed to do: load, build, or run, which is both.

        Raises:
            WarehouseError: when a right or a version is missing.
        """
