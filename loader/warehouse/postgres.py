"""The warehouse in Postgres."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2
import psycopg2.errors
import pyarrow as pa
from psycopg2 import sql
from psycopg2.extras import RealDictCursor

from loader.calendar import Month
from loader.datasets import datasets, get_dataset
from loader.errors import TABLE_IN_USE, LockedError, NoRightError, WarehouseError
from loader.settings import Settings
from loader.terminal.progress import Reporter
from loader.warehouse import postgres_session
from loader.warehouse.base import PROJECT, Warehouse
from loader.warehouse.postgres_export import record_batches
from loader.warehouse.postgres_parts import Part
from loader.warehouse.versions import FileVersion, require_all_rows

#: Locks of ten concurrent queries that each read 600 partitions and their indexes.
_LOCKS = 12_500
_MIN_VERSION = 150000


@contextmanager
def _translate_errors(label: str = "") -> Iterator[None]:
    try:
        yield
    except psycopg2.errors.LockNotAvailable as error:
        raise LockedError(f"{label}{TABLE_IN_USE}") from error
    except psycopg2.Error as error:
        raise WarehouseError(f"{label}Postgres: {' '.join(str(error).split())}") from error


@contextmanager
def _no_right() -> Iterator[None]:
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege as error:
        raise NoRightError(f"Postgres: {' '.join(str(error).split())}") from error


class PostgresWarehouse(Warehouse):
    """A Postgres database, reached by libpq's own variables."""

    def __init__(self, settings: Settings, variables: Mapping[str, str] | None = None) -> None:
        """Connect.

        Args:
            variables: PG* variables that win over those of the environment.
        """
        self._raw = settings.raw_schema
        self._final, self._marts = settings.schema, settings.marts_schema
        self._built = settings.built_schemas
        # libpq fills in what is left open, from its variables, ~/.pgpass and services.
        self._given: Any = {name[2:].lower(): value for name, value in (variables or {}).items()}
        self.connection = self._connect()
        self.lock_timeout = f"{settings.lock_seconds}s"
        postgres_session.prepare(self.connection, self.lock_timeout)
        self._is_fit = False

    def _connect(self, **more: Any) -> psycopg2.extensions.connection:
        try:
            made = psycopg2.connect("", application_name="nyc_tlc", **(self._given | more))
        except psycopg2.OperationalError as error:
            raise WarehouseError(
                f"Postgres can't be reached: {' '.join(str(error).split())}; check the PG*"
                " variables"
            ) from error
        made.autocommit = True
        return made

    def close(self) -> None:
        self.connection.close()

    def check(self, work: str) -> str:
        number, info = self.connection.server_version, self.connection.info
        if number < _MIN_VERSION:
            raise WarehouseError(f"Postgres {number // 10000} is too old: 15 or newer is needed")
        self._require_fit()
        if missing := self._missing_right(work):
            raise WarehouseError(f"{missing}; ask the database's owner, or see docs/postgres.md")
        version = f"Postgres {number // 10000}.{number % 10000}"
        advice = [self._advice_on_locks(), postgres_session.advice(self.connection)]
        return "; ".join(
            [f"{version}, {info.user}@{info.dbname}, may {work}", *filter(None, advice)]
        )

    def _require_fit(self) -> None:
        """Refuse a session that can't hold locks or write; asked once for each connection."""
        if self._is_fit:
            return
        postgres_session.require_writable(self.connection)
        # As dlt connects: a pooler may refuse options.
        with closing(self._connect(options=f"-clock_timeout={self.lock_timeout}")) as other:
            postgres_session.require_own_session(self.connection, other)
        self._is_fit = True

    def _advice_on_locks(self) -> str | None:
        """Return advice for a server that can't hold the locks of queries over all months."""
        locks = "current_setting('max_locks_per_transaction')::int"
        connections = "current_setting('max_connections')::int"
        if self._scalar(f"select {locks} * {connections}") >= _LOCKS:
            return None
        return "for queries over all months, set max_locks_per_transaction to 256"

    @contextmanager
    def lock(self, month: Month, reporter: Reporter) -> Iterator[None]:
        self._require_fit()
        if advice := postgres_session.advice(self.connection):
            reporter.say(f"{month.label}  warning: {advice}")
        key = f"nyc_tlc {self._raw} {month.label}"
        if not self._try_lock(key):
            raise LockedError(
                f"{month.label}: another run is working on it; wait for it to end, or choose"
                " another month"
            )
        with self._unlocked_after(key), _translate_errors(f"{month.label}: "):
            yield

    @contextmanager
    def build_lock(self, reporter: Reporter, months: Collection[Month] = ()) -> Iterator[None]:
        self._require_fit()
        key = f"nyc_tlc {self._final} build"
        if not self._try_lock(key):
            reporter.say("waiting for another run's dbt build in this warehouse to end")
            while not self._try_lock(key):
                time.sleep(0.2)
        with self._unlocked_after(key), _translate_errors():
            yield

    @contextmanager
    def schema_lock(self) -> Iterator[None]:
        key = f"nyc_tlc {self._raw} schema"
        self._rows("select pg_advisory_lock(hashtextextended(%s, 0))", key)
        with self._unlocked_after(key):
            yield

    def held_locks(self) -> None:
        """Return None: a lock ends with the session that holds it."""

    def free_lock(self, name: str) -> None:
        """Do nothing: see `held_locks`."""

    def _try_lock(self, key: str) -> bool:
        return self._scalar("select pg_try_advisory_lock(hashtextextended(%s, 0))", key)

    @contextmanager
    def _unlocked_after(self, key: str) -> Iterator[None]:
        """Give a lock back after the block."""
        try:
            yield
        finally:
            if not self.connection.closed:
                self._rows("select pg_advisory_unlock(hashtextextended(%s, 0))", key)

    @_no_right()
    def read(self, query: str) -> list[dict[str, Any]]:
        with suppress(psycopg2.errors.UndefinedTable):
            return self._rows(query.format(tlc=self._final, marts=self._marts))
        return []

    def record_batches(self, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        query = query.format(tlc=self._final, marts=self._marts, geojson="geometry")
        with _translate_errors(), _no_right():
            try:
                yield from record_batches(self.connection, query, schema)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn) as error:
                raise WarehouseError(
                    f"Postgres: {str(error).splitlines()[0]}: the next run of a month builds what"
                    " this version has more"
                ) from error

    def ask(self, query: str, most: int) -> list[dict[str, Any]]:
        self._rows("begin transaction read only")
        try:
            # A cursor takes one query: a second statement would end the transaction, and write.
            self._rows("select set_config('nyc_tlc.asked', %s, true)", query)
            self._rows(
                "do $$ declare asked refcursor := 'asked'; begin"
                " open asked for execute current_setting('nyc_tlc.asked'); end $$"
            )
            return self._rows("fetch %s from asked", most)
        finally:
            self._rows("rollback")

    def built_project(self, relations: Sequence[str]) -> str | None:
        if not self._exists(self._raw, PROJECT):
            return None
        return self._scalar(
            "select fingerprint from {table} where not exists ("
            "select from unnest(%s) as name where to_regclass(name) is null)",
            list(relations),
            table=self._raw_table(PROJECT),
        )

    def record_project(self, fingerprint: str) -> None:
        table = self._raw_table(PROJECT)
        with self.connection:
            self._rows(
                "create table if not exists {table} (fingerprint text, built_at timestamp)",
                table=table,
            )
            self._rows("delete from {table}", table=table)
            self._rows(
                "insert into {table} values (%s, timezone('UTC', now()))", fingerprint, table=table
            )

    def bytes_billed(self, invocation_id: str | None) -> None:
        """Return None: a server bills no bytes."""

    def has_raw_columns(self, columns: Mapping[str, Collection[str]]) -> bool:
        return False

    def discard_unfinished(self, month: Month) -> None:
        self._drop_parts(month, attached=False)

    def commit_landing(self, landed: FileVersion) -> None:
        parent = self._raw_table(get_dataset(landed.dataset).table)
        with self.connection:
            self._drop_parts(landed.month, attached=True)
            parts = self._parts(landed.month, attached=False)
            for part in parts:
                self._rows(
                    "alter table {parent} attach partition {part}"
                    " for values from (%s, %s) to (%s, %s)",
                    *(part.month, part.first_row, part.month, part.last_row + 1),
                    parent=parent,
                    part=self._raw_table(part.name),
                )
            require_all_rows(landed, sum(part.rows for part in parts))
            self._record(landed)

    def update_record(self, landed: FileVersion) -> None:
        with self.connection:
            self._record(landed)

    def _record(self, landed: FileVersion) -> None:
        """Write the record of a version; it replaces a record of the same bytes."""
        values = landed.month_files_row()
        table = self._raw_table("month_files")
        self._rows(
            "delete from {table} where dataset = %s and file_month = %s and sha256 = %s",
            *(landed.dataset, landed.file_month, landed.sha256),
            table=table,
        )
        self._rows(
            "insert into {table} ({columns}) values ({values})",
            *values.values(),
            table=table,
            columns=sql.SQL(", ").join(map(sql.Identifier, values)),
            values=sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )

    def drop_raw(self, month: Month) -> None:
        with self.connection:
            self._drop_parts(month, attached=True)
            self._rows(
                "update {table} set raw_dropped_at = timezone('UTC', now())"
                " where dataset = %s and file_month = %s and raw_dropped_at is null",
                *month,
                table=self._raw_table("month_files"),
            )

    @_no_right()
    def rows_if_there(self, schema: str, name: str) -> list[dict[str, Any]] | None:
        if not self._exists(schema, name):
            return None
        return self._rows("select * from {table}", table=sql.Identifier(schema, name))

    def has_raw_rows(self, month: Month) -> bool:
        # A crash of the server empties parts that aren't logged; a part never landed without rows.
        names = [f'{self._raw}."{part.name}"' for part in self._parts(month, attached=True)]
        # NULL without a part
        return bool(
            self._scalar(
                "select bool_and(pg_relation_size(part) > 0) from unnest(%s::regclass[]) as part",
                names,
            )
        )

    def stored_months(self) -> set[Month]:
        tables = {one.table: one.name for one in datasets().values()}
        rows = self._rows(
            "select parent.relname as table_name,"
            " substring(pg_get_expr(part.relpartbound, part.oid) from '[0-9-]{10}')::date as month"
            " from pg_inherits"
            " inner join pg_class as parent on inhparent = parent.oid"
            " inner join pg_class as part on inhrelid = part.oid"
            " where parent.relnamespace = to_regnamespace(%s) and parent.relname = any(%s)"
            " and pg_relation_size(part.oid) > 0",
            self._final,
            list(tables),
        )
        return {Month(tables[row["table_name"]], row["month"]) for row in rows}

    def table_rows(self, month: Month) -> int:
        return self._scalar(
            "select count(*) from {table} where file_month = %s",
            month.month,
            table=sql.Identifier(self._final, get_dataset(month.dataset).table),
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
        """Name what keeps the user from reading existing tables (a LIKE pattern)."""
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

    def _parts(self, month: Month, *, attached: bool) -> list[Part]:
        """List a month's parts: those of the raw table, or those that no landing finished."""
        table = get_dataset(month.dataset).table
        if not self._exists(self._raw, table):
            return []
        rows = self._rows(
            "select relname from pg_class where relnamespace = %s::regnamespace"
            " and relkind = 'r' and starts_with(relname, %s) and relispartition = %s",
            self._raw,
            f"{table}_{month.month:%Y_%m}__",
            attached,
        )
        return sorted((Part.of_name(row["relname"]) for row in rows), key=lambda p: p.first_row)

    def _drop_parts(self, month: Month, *, attached: bool) -> None:
        for part in self._parts(month, attached=attached):
            self._rows("drop table {part}", part=self._raw_table(part.name))

    def _raw_table(self, name: str) -> sql.Identifier:
        return sql.Identifier(self._raw, name)

    def _exists(self, schema: str, table: str) -> bool:
        return self._scalar("select to_regclass(%s) is not null", f"{schema}.{table}")

    def _rows(self, query: str, *args: Any, **names: sql.Composable) -> list[dict[str, Any]]:
        """Run a statement, in which {name} stands for a piece of SQL; return its rows, if any."""
        with self.connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(sql.SQL(query).format(**names) if names else query, args)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def _scalar(self, query: str, *args: Any, **names: sql.Composable) -> Any:
        rows = self._rows(query, *args, **names)
        return next(iter(rows[0].values())) if rows else None
