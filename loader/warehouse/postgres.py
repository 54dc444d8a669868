"""The warehouse in Postgres."""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg2
import psycopg2.errors
from psycopg2 import sql
from psycopg2.extras import RealDictCursor

from loader.datasets import get_dataset
from loader.errors import TABLE_IN_USE, LockedError, ReconciliationError, WarehouseError
from loader.months import format_month
from loader.progress import Reporter
from loader.settings import Settings
from loader.warehouse.base import LandedFile
from loader.warehouse.postgres_parts import Part

if TYPE_CHECKING:
    import dlt
    from dlt.common.destination import Destination
    from dlt.sources import DltResource

    from loader.landing.conform import Conformer

_MIN_VERSION = 150000


class PostgresWarehouse:
    """A Postgres database, reached by libpq's own variables."""

    stages: ClassVar[Mapping[str, str]] = {"Load": "copy"}

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Args:
            settings: the settings; the connection comes from the PG* variables.

        Raises:
            WarehouseError: when the server can't be reached.
        """
        self._raw = settings.raw_schema
        self._final = settings.schema
        self._built = settings.built_schemas
        try:
            # libpq fills in what the variables leave open, ~/.pgpass and services included.
            self.connection = psycopg2.connect("", application_name="nyc_tlc")
        except psycopg2.OperationalError as error:
            raise WarehouseError(
                f"Postgres can't be reached: {' '.join(str(error).split())}; check the PG*"
                " variables"
            ) from error
        self.connection.autocommit = True
        # A command that is stopped while it waits for a table gives its locks back.
        self._scalar("select set_config('client_connection_check_interval', '2s', false)")
        self._lock_timeout = f"{settings.lock_seconds}s"
        self._scalar("select set_config('lock_timeout', %s, false)", self._lock_timeout)

    def close(self) -> None:
        """Close the connection; locks held by it are released."""
        self.connection.close()

    def resource(self, conformer: "Conformer", rows: int) -> "DltResource":
        """Return the dlt resource of a month file: a reference, as our load job reads it itself."""
        from loader.landing.resource import file_reference

        return file_reference(conformer, rows)

    def destination(
        self,
        on_rows: Callable[[int], None],
        on_shared_rows: Callable[[list[int] | None], None],
    ) -> "Destination[Any, Any]":
        """Return the dlt destination for this database.

        Args:
            on_rows: told of rows that were copied, from several threads.
            on_shared_rows: told of the rows that may share their key.
        """
        from loader.landing.postgres_copy import postgres_copy

        info = self.connection.info
        return postgres_copy(
            on_rows,
            on_shared_rows,
            credentials={
                "host": "localhost",
                "port": info.port,
                "username": info.user,
                "password": info.password or "none",  # dlt insists on one
                "database": info.dbname,
                # A socket's folder can't stand in a URL's host; libpq lets the query overrule it.
                "query": {"host": info.host, "options": f"-clock_timeout={self._lock_timeout}"},
            },
        )

    def staging(self) -> None:
        """Return nothing: files are copied straight from here."""

    def check(self, work: str) -> str:
        """Describe the connection.

        Args:
            work: what the user must be allowed to do: load, build, or run, which is both.

        Raises:
            WarehouseError: when the server is too old, or a right is missing.
        """
        number, info = self.connection.server_version, self.connection.info
        if number < _MIN_VERSION:
            raise WarehouseError(f"Postgres {number // 10000} is too old: 15 or newer is needed")
        missing = self._missing_right(work)
        if missing:
            raise WarehouseError(f"{missing}; ask the database's owner, or see docs/roles.md")
        return f"Postgres {number // 10000}.{number % 10000}, {info.user}@{info.dbname}, may {work}"

    @contextmanager
    def lock(self, dataset: str, month: dt.date) -> Iterator[None]:
        """Hold the lock of a dataset and month, or fail at once.

        Raises:
            LockedError: when another run holds it, or somebody holds a table for too long.
            WarehouseError: when Postgres fails meanwhile.
        """
        label = f"{dataset} {format_month(month)}"
        key = f"nyc_tlc {self._raw} {label}"
        if not self._scalar("select pg_try_advisory_lock(hashtextextended(%s, 0))", key):
            raise LockedError(
                f"{label}: another run is working on it; wait for it to end, or choose another"
                " month"
            )
        try:
            yield
        except psycopg2.errors.LockNotAvailable as error:
            raise LockedError(f"{label}: {TABLE_IN_USE}") from error
        except psycopg2.Error as error:
            raise WarehouseError(f"{label}: Postgres: {' '.join(str(error).split())}") from error
        finally:
            if not self.connection.closed:
                self._scalar("select pg_advisory_unlock(hashtextextended(%s, 0))", key)

    @contextmanager
    def build_lock(self, reporter: Reporter) -> Iterator[None]:
        """Let one run at a time build in this warehouse: dbt is not made for two. The next waits.

        Args:
            reporter: where to say that it waits.
        """
        key = f"nyc_tlc {self._final} build"
        is_told = False
        while not self._scalar("select pg_try_advisory_lock(hashtextextended(%s, 0))", key):
            if not is_told:
                reporter.say("waiting for another run's dbt build in this warehouse to end")
                is_told = True
            time.sleep(0.2)
        try:
            yield
        finally:
            if not self.connection.closed:
                self._scalar("select pg_advisory_unlock(hashtextextended(%s, 0))", key)

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
        with self._schema_lock(), pipeline.destination_client() as client:
            client.schema = schema
            client.initialize_storage()
            # force: dlt trusts its record of the schema, even when somebody dropped a table.
            client.update_stored_schema(force=True)
        self.discard(dataset, month)

    def discard(self, dataset: str, month: dt.date) -> None:
        """Drop the parts that a landing brought and never published."""
        for part in self._parts(dataset, month, attached=False):
            self._execute(sql.SQL("drop table {}").format(self._raw_table(part.name)))

    @contextmanager
    def _schema_lock(self) -> Iterator[None]:
        # Two loads at once would both find a table missing, and both create it.
        key = f"nyc_tlc {self._raw} schema"
        self._scalar("select pg_advisory_lock(hashtextextended(%s, 0))", key)
        try:
            yield
        finally:
            self._scalar("select pg_advisory_unlock(hashtextextended(%s, 0))", key)

    def publish(self, landed: LandedFile) -> None:
        """Make a landed file's rows visible in place of the version before, in one transaction.

        Args:
            landed: the record to write; its counts are checked against the rows that are there.

        Raises:
            ReconciliationError: when rows are missing; nothing is changed then.
        """
        dataset, month = landed.dataset, landed.file_month
        parent = self._raw_table(get_dataset(dataset).table)
        with self.connection, self.connection.cursor() as cursor:
            for part in self._parts(dataset, month, attached=True):
                cursor.execute(sql.SQL("drop table {}").format(self._raw_table(part.name)))
            count = 0
            for part in self._parts(dataset, month, attached=False):
                cursor.execute(
                    sql.SQL(
                        "alter table {} attach partition {} for values from (%s, %s) to (%s, %s)"
                    ).format(parent, self._raw_table(part.name)),
                    (month, part.first_row, month, part.last_row + 1),
                )
                count += part.rows
            if count != landed.file_rows:
                raise ReconciliationError(
                    f"{dataset} {format_month(month)}: {landed.file_name} has"
                    f" {landed.file_rows:,} rows, {count:,} landed; run the command again"
                )
            self._record(cursor, landed)

    def touch(self, landed: LandedFile) -> None:
        """Write a version's record anew: another ETag or time, or accepted; its rows stay."""
        with self.connection, self.connection.cursor() as cursor:
            self._record(cursor, landed)

    def _record(self, cursor: psycopg2.extensions.cursor, landed: LandedFile) -> None:
        """Write the record of a version, in place of one of the same bytes."""
        # A table that an earlier version of the loader made may lack columns: those of no value.
        values = {name: value for name, value in asdict(landed).items() if value is not None}
        table = self._raw_table("month_files")
        cursor.execute(
            sql.SQL("delete from {} where dataset = %s and file_month = %s and sha256 = %s").format(
                table
            ),
            (landed.dataset, landed.file_month, landed.sha256),
        )
        cursor.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                table,
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            list(values.values()),
        )

    def drop_raw(self, dataset: str, month: dt.date) -> None:
        """Drop a month's raw rows; the record of them stays."""
        with self.connection, self.connection.cursor() as cursor:
            for part in self._parts(dataset, month, attached=True):
                cursor.execute(sql.SQL("drop table {}").format(self._raw_table(part.name)))
            cursor.execute(
                sql.SQL(
                    "update {} set raw_dropped_at = timezone('UTC', now())"
                    " where dataset = %s and file_month = %s and raw_dropped_at is null"
                ).format(self._raw_table("month_files")),
                (dataset, month),
            )

    def landed_files(self) -> list[LandedFile]:
        """Read the record of every landed version, the newest of a month last."""
        if not self._exists(self._raw, "month_files"):
            return []
        rows = self._rows(
            sql.SQL("select * from {} order by dataset, file_month, landed_at").format(
                self._raw_table("month_files")
            )
        )
        return [LandedFile.of_row(row) for row in rows]

    def ledger(self) -> list[dict[str, Any]]:
        """Read the ledger: one row a merged version, the newest of a month last."""
        if not self._exists(self._final, "file_ledger"):
            return []
        return self._rows(
            sql.SQL("select * from {} order by dataset, file_month, merged_at").format(
                sql.Identifier(self._final, "file_ledger")
            )
        )

    def has_raw_rows(self, dataset: str, month: dt.date) -> bool:
        """Tell whether a month's landed rows are still there."""
        return bool(self._parts(dataset, month, attached=True))

    def table_rows(self, dataset: str, month: dt.date) -> int:
        """Count a month's rows in the trips table."""
        return self._scalar(
            sql.SQL("select count(*) from {} where file_month = %s").format(
                sql.Identifier(self._final, get_dataset(dataset).table)
            ),
            month,
        )

    def _missing_right(self, work: str) -> str | None:
        """Name the right that the work needs and the user lacks; None when all is granted."""
        created: tuple[str, ...] = (self._raw,) if work != "build" else ()
        created += self._built if work != "load" else ()
        for schema in created:
            if missing := self._missing_on_own(schema):
                return missing
        if work == "load":
            return self._missing_on_read(self._final, "file_ledger")
        return self._missing_on_read(self._raw, "%") if work == "build" else None

    def _missing_on_own(self, schema: str) -> str | None:
        """Name what keeps the user from creating, changing and dropping tables in a schema."""
        if not self._scalar("select to_regnamespace(%s) is not null", schema):
            database = self.connection.info.dbname
            if not self._scalar("select has_database_privilege(%s, 'CREATE')", database):
                return f"schema {schema} is missing, and no right to create schemas in {database}"
            return None
        for right in ("USAGE", "CREATE"):
            if not self._scalar("select has_schema_privilege(%s, %s)", schema, right):
                return f"no right {right} on schema {schema}"
        others = self._rows(
            "select relname, relowner::regrole::text as owner from pg_class"
            " where relnamespace = %s::regnamespace and relkind in ('r', 'p', 'v')"
            " and not pg_has_role(relowner, 'USAGE') limit 1",
            schema,
        )
        return (
            f"{schema}.{others[0]['relname']} belongs to {others[0]['owner']}" if others else None
        )

    def _missing_on_read(self, schema: str, tables: str) -> str | None:
        """Name what keeps the user from reading tables (a LIKE pattern) that are there."""
        if not self._scalar("select to_regnamespace(%s) is not null", schema):
            return None
        if not self._scalar("select has_schema_privilege(%s, 'USAGE')", schema):
            return f"no right USAGE on schema {schema}"
        unreadable = self._rows(
            "select relname from pg_class"
            " where relnamespace = %s::regnamespace and relkind in ('r', 'p')"
            " and not relispartition and relname like %s"
            " and not has_table_privilege(oid, 'SELECT') limit 1",
            schema,
            tables,
        )
        return f"no right SELECT on {schema}.{unreadable[0]['relname']}" if unreadable else None

    def _parts(self, dataset: str, month: dt.date, *, attached: bool) -> list[Part]:
        """List a month's parts: those of the raw table, or those that no landing finished."""
        if not self._exists(self._raw, get_dataset(dataset).table):
            return []
        prefix = f"{get_dataset(dataset).table}_{month:%Y_%m}__"
        rows = self._rows(
            sql.SQL(
                "select relname from pg_class where relnamespace = %s::regnamespace"
                " and relkind = 'r' and starts_with(relname, %s) and relispartition = %s"
            ),
            self._raw,
            prefix,
            attached,
        )
        return sorted((Part.of_name(row["relname"]) for row in rows), key=lambda p: p.first_row)

    def _raw_table(self, name: str) -> sql.Identifier:
        return sql.Identifier(self._raw, name)

    def _exists(self, schema: str, table: str) -> bool:
        return self._scalar("select to_regclass(%s) is not null", f"{schema}.{table}")

    def _execute(self, query: str | sql.Composable, *args: Any) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(query, args)

    def _rows(self, query: str | sql.Composable, *args: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(query, args)
            return [dict(row) for row in cursor.fetchall()]

    def _scalar(self, query: str | sql.Composable, *args: Any) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(query, args)
            row = cursor.fetchone()
            return row[0] if row else None
