"""dlt's Postgres destination with one more way to load Parquet: binary COPY, exactly once."""

from collections.abc import Iterator, Sequence

import pgpq
import pyarrow.parquet as pq
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import (
    HasFollowupJobs,
    LoadJob,
    PreparedTableSchema,
    RunnableLoadJob,
)
from dlt.common.schema.typing import TColumnSchema
from dlt.destinations import postgres
from dlt.destinations.exceptions import DatabaseTerminalException
from dlt.destinations.impl.postgres.postgres import PostgresClient

from loader.parts import PARTITION_KEY, Part

#: Rows that are encoded at once: what stays in the processor's cache is encoded faster.
_ENCODED_ROWS = 16_384


class postgres_copy(postgres):
    """Postgres, loaded from Parquet parts by `COPY … (format binary)`."""

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        capabilities = super()._raw_capabilities()
        # dlt offers Parquet on Postgres only with an ADBC driver, which takes twice the time.
        capabilities.loader_file_format_selector = None
        return capabilities

    @property
    def client_class(self) -> type[PostgresClient]:
        """The client that makes the load jobs."""
        return PostgresCopyClient


class PostgresCopyClient(PostgresClient):
    """dlt's client, with partitioned raw tables and our COPY job for Parquet."""

    def _get_table_update_sql(
        self, table_name: str, new_columns: Sequence[TColumnSchema], generate_alter: bool
    ) -> list[str]:
        statements = super()._get_table_update_sql(table_name, new_columns, generate_alter)
        names = {column["name"] for column in new_columns}
        if not generate_alter and names.issuperset(PARTITION_KEY):
            # A part of a month is a partition: it appears and goes as a whole, without dead rows.
            statements[0] += f" partition by range ({', '.join(PARTITION_KEY)})"
        return statements

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        """Return our job for Parquet parts, dlt's own for its bookkeeping."""
        if file_path.endswith(".parquet"):
            return CopyPartJob(file_path)
        return super().create_load_job(table, file_path, load_id, restore)


class CopyPartJob(RunnableLoadJob, HasFollowupJobs):
    """Copies one Parquet part into a table of its own, in one transaction.

    The table exists exactly when the part was committed. So a part whose COPY was committed
    before dlt marked the job as done is never copied twice, and a part of a load that was
    cut off is never seen: it becomes a partition of the raw table only when the whole file is
    there (`Warehouse.publish`).
    """

    def run(self) -> None:
        """Copy the part.

        Raises:
            DatabaseTerminalException: when Postgres took another number of rows than the part has.
        """
        client: PostgresCopyClient = self._job_client
        parent = client.sql_client.make_qualified_table_name(self.load_table_name)
        with pq.ParquetFile(self._file_path) as file:
            part = Part.of_file(self.load_table_name, self._load_id, file)
            table = client.sql_client.make_qualified_table_name(part.name)
            columns = ", ".join(f'"{name}"' for name in file.schema_arrow.names)
            with (
                client.sql_client.begin_transaction() as transaction,
                transaction.native_connection.cursor() as cursor,
            ):
                cursor.execute("select to_regclass(%s)", (table,))
                if cursor.fetchone()[0] is not None:
                    return
                cursor.execute(
                    # What each row is checked for on its way in, the attachment needn't scan for.
                    f"create table {table} (like {parent}, check (_file_month = %s"
                    " and _file_row >= %s and _file_row <= %s))",
                    (part.month, part.first_row, part.last_row),
                )
                cursor.execute(
                    f"alter table {table} alter _file_month set not null,"
                    " alter _file_row set not null, alter _dlt_load_id set default %s",
                    (self._load_id,),
                )
                cursor.copy_expert(
                    f"copy {table} ({columns}) from stdin (format binary, freeze)",
                    _CopyStream(file),
                    size=1 << 18,
                )
                if cursor.rowcount != file.metadata.num_rows:
                    raise DatabaseTerminalException(
                        ValueError(
                            f"{table}: the part has {file.metadata.num_rows} rows,"
                            f" Postgres took {cursor.rowcount}"
                        )
                    )


class _CopyStream:
    """A Parquet file as the bytes of COPY's binary format.

    psycopg2 reads it in the thread that runs the COPY, so an error of the reader makes the COPY
    fail: it can't end early in silence.
    """

    def __init__(self, file: pq.ParquetFile) -> None:
        self._chunks = self._encode(file)
        self._chunk, self._read = b"", 0

    def read(self, size: int) -> bytes:
        if self._read == len(self._chunk):
            # The encoder may keep a small batch back and give nothing: nothing would end the COPY.
            self._chunk, self._read = next(filter(None, self._chunks), b""), 0
        # A slice of each chunk, never what is left of it: that would copy the chunk each time.
        data = self._chunk[self._read : self._read + size]
        self._read += len(data)
        return data

    @staticmethod
    def _encode(file: pq.ParquetFile) -> Iterator[bytes]:
        encoder = pgpq.ArrowToPostgresBinaryEncoder(file.schema_arrow)
        yield encoder.write_header()
        for batch in file.iter_batches(batch_size=_ENCODED_ROWS):
            yield encoder.write_batch(batch)
        yield encoder.finish()
