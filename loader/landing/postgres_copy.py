"""dlt's Postgres destination with one more kind of load job: TLC's own file, by binary COPY."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, cast

import dlt
import pgpq
import pyarrow as pa
from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.destination.client import HasFollowupJobs, LoadJob, RunnableLoadJob
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema import Schema
from dlt.common.schema.typing import TColumnSchema
from dlt.destinations import postgres
from dlt.destinations.exceptions import DatabaseTerminalException
from dlt.destinations.impl.postgres.postgres import PostgresClient

from loader.errors import FileRefusedError
from loader.landing.conform import Conformer
from loader.landing.repeated_keys import RepeatedKeys
from loader.landing.tlc_trips import file_reference
from loader.settings import cores
from loader.terminal.progress import Stage, StageMaker
from loader.warehouse.postgres import PostgresWarehouse
from loader.warehouse.postgres_parts import PARTITION_KEY, Part

#: Most COPYs at once: the process that reads and casts the file can't feed more.
_MOST_COPIES = 6
#: Rows of a part. The parts that are being copied and the next one are in memory, 40 MB each.
PART_ROWS = 262_144
#: Copies a month file: gets the id of the load package, and a client with a connection.
CopyMonth = Callable[[str, PostgresClient], None]

#: Rows that are encoded at once: what stays in the processor's cache is encoded faster.
_ENCODED_ROWS = 16_384


def open_postgres(
    warehouse: PostgresWarehouse, copy: CopyMonth | None = None
) -> Destination[Any, Any]:
    """Make dlt's destination, with the connection that the warehouse has.

    Args:
        copy: copies a month file; None for rows that dlt itself inserts.
    """
    info = warehouse.connection.info
    return postgres_copy(
        copy,
        credentials={
            "host": "localhost",
            "port": info.port,
            "username": info.user,
            "password": info.password or "none",  # dlt insists on one
            "database": info.dbname,
            # A socket's folder can't stand in a URL's host; libpq lets the query overrule it.
            "query": {"host": info.host, "options": f"-clock_timeout={warehouse.lock_timeout}"},
        },
    )


class PostgresTarget:
    """One month file on its way into a database."""

    staging: Destination[Any, Any] | None = None  # COPY needs no files in between

    def __init__(
        self, warehouse: PostgresWarehouse, conformer: Conformer, rows: int, is_logged: bool
    ) -> None:
        """Make dlt's destination; rows that are logged outlive a crash of the server."""
        self._conformer = conformer
        self._is_logged = is_logged
        self._rows = rows
        self._lock = threading.Lock()
        self._stage: Stage | None = None
        self._shared_rows: list[int] | None = None
        self.destination = open_postgres(warehouse, self._copy)

    def load(
        self, pipeline: dlt.Pipeline, schema: dlt.Schema, stage: StageMaker
    ) -> tuple[str, int, list[int] | None]:
        """Copy the file with binary COPY: see `_Target`."""
        pipeline.extract(file_reference(self._conformer, self._rows), schema=schema)
        pipeline.normalize()
        with stage("copy") as self._stage:
            (load_id,) = pipeline.load().loads_ids
        return load_id, self._rows, self._shared_rows  # `commit_landing` counts those that landed

    def _copy(self, load_id: str, client: PostgresClient) -> None:
        """Copy the file: while some parts are copied, one a core, the next one is read and cast.

        A part's table exists exactly when its COPY was committed. So a part that was committed
        before dlt marked the job as done is never copied twice, and a part of an interrupted load
        is never seen: it becomes a partition of the raw table only when the whole file is there
        (`Warehouse.commit_landing`).

        Raises:
            DatabaseTerminalException: when the file is refused, or when Postgres took another
                number of rows than a part has.
        """
        keys = RepeatedKeys(self._conformer.contract)
        copying: set[Future[None]] = set()
        at_once = min(max(cores(), 2), _MOST_COPIES)
        try:
            with ThreadPoolExecutor(at_once) as copies:
                for batches in _parts(self._conformer.batches()):
                    if len(copying) == at_once:
                        done, copying = wait(copying, return_when=FIRST_COMPLETED)
                        _raise_errors(done)
                    for batch in batches:
                        keys.add(batch)
                    copying.add(copies.submit(self._copy_part, load_id, client, batches))
                self._shared_rows = keys.rows()
            _raise_errors(copying)
        except FileRefusedError as error:
            raise DatabaseTerminalException(error) from error  # dlt would try others again

    def _copy_part(
        self, load_id: str, client: PostgresClient, batches: list[pa.RecordBatch]
    ) -> None:
        rows = sum(batch.num_rows for batch in batches)
        first_row = batches[0]["_file_row"][0].as_py()
        contract, month = self._conformer.contract, self._conformer.month
        part = Part(contract.table, month, load_id, first_row, last_row=first_row + rows - 1)
        with (
            PostgresClient(client.schema, client.config, client.capabilities) as own,
            own.sql_client.begin_transaction(),
            own.sql_client.native_connection.cursor() as cursor,
        ):
            parent = own.sql_client.make_qualified_table_name(part.table)
            table = own.sql_client.make_qualified_table_name(part.name)
            cursor.execute("select to_regclass(%s)", (table,))
            if cursor.fetchone()[0] is not None:
                return
            unlogged = "" if self._is_logged else "unlogged"
            cursor.execute(
                # Each row is checked on its way in, so attaching the table needs no scan.
                f"create {unlogged} table {table} (like {parent}, check (_file_month = %s"
                " and _file_row >= %s and _file_row <= %s)) with (autovacuum_enabled = false)",
                (part.month, part.first_row, part.last_row),
            )
            cursor.execute(
                f"alter table {table} alter _file_month set not null,"
                " alter _file_row set not null, alter _dlt_load_id set default %s",
                (load_id,),
            )
            # Raw tables of earlier versions have codes as integers.
            cursor.execute(
                "select attname from pg_attribute"
                " where attrelid = to_regclass(%s) and atttypid = 'integer'::regtype",
                (table,),
            )
            integers = {name for (name,) in cursor}
            schema = pa.schema(
                field.with_type(pa.int32()) if field.name in integers else field
                for field in batches[0].select(self._conformer.filled).schema
            )
            if self._is_logged:
                # Else the commit would wait for the disk, which was idle until then. What isn't
                # logged is dropped before most of it gets there.
                cursor.execute("set local backend_flush_after = '2MB'")
            # A column that the file lacks is NULL by default: nothing of it is sent.
            columns = ", ".join(f'"{name}"' for name in self._conformer.filled)
            cursor.copy_expert(
                f"copy {table} ({columns}) from stdin (format binary, freeze)",
                _Stream(_encoded(schema, batches, self._add_rows)),
            )
            if cursor.rowcount != rows:
                counts = f"the part has {rows} rows, Postgres took {cursor.rowcount}"
                raise DatabaseTerminalException(ValueError(f"{table}: {counts}"))

    def _add_rows(self, rows: int) -> None:
        """Count copied rows; call it from any thread."""
        with self._lock:
            if self._stage:
                # A job that dlt tries again counts again.
                self._stage.set(min(self._rows, self._stage.done + rows))


class postgres_copy(postgres):
    """Postgres, loaded from month files by `COPY … (format binary)`."""

    def __init__(self, copy: CopyMonth | None = None, **parameters: Any) -> None:
        """Make a destination.

        Args:
            copy: copies the month file; None when nothing is going to be loaded, as in
                `dlt pipeline … info`.
        """
        super().__init__(**parameters)
        self._copy = copy

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        capabilities = super()._raw_capabilities()
        # References to month files. dlt itself writes nothing in this format for Postgres.
        formats = capabilities.supported_loader_file_formats
        capabilities.supported_loader_file_formats = [*formats, "jsonl"]
        return capabilities

    @property
    def client_class(self) -> type[PostgresClient]:
        """The client that makes the tables and the load jobs."""
        return _PostgresCopyClient

    def client(self, schema: Schema, initial_config: Any = None) -> PostgresClient:
        """Make a client that knows how to copy."""
        client = cast(_PostgresCopyClient, super().client(schema, initial_config))
        client.copy = self._copy
        return client


class _PostgresCopyClient(PostgresClient):
    """dlt's client, with partitioned raw tables and our load job for month files."""

    copy: CopyMonth | None

    def _get_table_update_sql(
        self, table_name: str, new_columns: Sequence[TColumnSchema], generate_alter: bool
    ) -> list[str]:
        statements = super()._get_table_update_sql(table_name, new_columns, generate_alter)
        names = {column["name"] for column in new_columns}
        if not generate_alter and names.issuperset(PARTITION_KEY):
            # A part of a month is a partition: attached and dropped as a whole, without dead rows.
            statements[0] += f" partition by range ({', '.join(PARTITION_KEY)})"
        return statements

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        if self.copy and file_path.endswith(".jsonl"):
            return _CopyMonthJob(file_path, self.copy)
        return super().create_load_job(table, file_path, load_id, restore)


class _CopyMonthJob(RunnableLoadJob, HasFollowupJobs):
    """Copies the month file that a load file refers to."""

    def __init__(self, file_path: str, copy: CopyMonth) -> None:
        super().__init__(file_path)
        self._copy = copy

    def run(self) -> None:
        self._copy(self._load_id, cast(PostgresClient, self._job_client))


def _parts(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Put batches together to parts."""
    part: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        part.append(batch)
        rows += batch.num_rows
        if rows >= PART_ROWS:
            yield part
            part, rows = [], 0
    if part:
        yield part


def _raise_errors(copies: set[Future[None]]) -> None:
    for copy in copies:
        copy.result()


class _Stream:
    """Chunks as the file that psycopg2 reads.

    It reads in the thread that runs the COPY, so an error of the encoder makes the COPY fail: it
    can't end early in silence.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        # The encoder may keep a small batch back and give nothing: nothing would end the COPY.
        self._chunks = filter(None, chunks)

    def read(self, size: int) -> bytes:
        # A chunk as it is: psycopg2 sends what it gets, and cutting it to size would copy it.
        return next(self._chunks, b"")


def _encoded(
    schema: pa.Schema, batches: list[pa.RecordBatch], on_rows: Callable[[int], None]
) -> Iterator[bytes]:
    """Encode batches in COPY's binary format."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
    yield encoder.write_header()
    while batches:
        # Its memory is freed when it is copied.
        batch = batches.pop(0).select(schema.names).cast(schema)
        for first in range(0, batch.num_rows, _ENCODED_ROWS):
            yield encoder.write_batch(batch.slice(first, _ENCODED_ROWS))
        on_rows(batch.num_rows)
    yield encoder.finish()
