"""The warehouse in BigQuery."""

import datetime as dt
import os
import re
import socket
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from typing import Any, ClassVar, cast

import dlt
import google.auth
from dlt.common.destination import Destination
from dlt.sources import DltResource
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.oauth2.credentials import Credentials
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random,
    wait_random_exponential,
)

from loader import interrupts
from loader.datasets import get_dataset, month_files_columns
from loader.errors import LockedError, ReconciliationError, UsageError, WarehouseError
from loader.landing.conform import Conformer
from loader.landing.resource import conformed_batches
from loader.months import format_month
from loader.progress import Reporter
from loader.settings import Settings
from loader.source.object_store import open_filesystem
from loader.warehouse.base import LandedFile

# We read counts, not tables: the faster way to read those is not missed.
warnings.filterwarnings("ignore", message="Cannot create BigQuery Storage client")

#: A lock outlives its run by this at most, should the run be killed. What others wait for is short.
_LEASE_HOURS = 6
_TURN_LEASE_HOURS = 1
#: How long to sleep between two looks at whether another machine's turn has ended.
_TURN_SECONDS = (5, 15)
#: Of two transactions that change one table, BigQuery aborts one, which has then done nothing.
_ABORTED = "due to concurrent update"
_ABORTED_ATTEMPTS = 8
_ABORTED_MAX_SECONDS = 30
_PARAMETER_TYPES = {
    "integer": "INT64",
    "bigint": "INT64",
    "text": "STRING",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}


class BigQueryWarehouse:
    """A Google Cloud project, reached by Application Default Credentials or an access token."""

    stages: ClassVar[Mapping[str, str]] = {"Extract": "conform", "Load": "load"}

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Args:
            settings: the settings; the project, location and credentials come from Google's
                variables.

        Raises:
            UsageError: when the project isn't named.
            WarehouseError: when there are no credentials.
        """
        self._project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        if not re.fullmatch(r"[a-z0-9.:-]+", self._project):
            raise UsageError("target bigquery needs GOOGLE_CLOUD_PROJECT: set it to your project")
        self._location = os.environ.get("BIGQUERY_LOCATION") or "US"
        self._bucket = os.environ.get("TLC_BUCKET", "").rstrip("/")
        # No * or ?: names below it are looked up by patterns.
        if self._bucket and not re.fullmatch(
            r"gs://[a-z0-9][a-z0-9._-]*(/[\w./=-]*)?", self._bucket
        ):
            raise UsageError(f"TLC_BUCKET={self._bucket!r}: write gs://bucket or gs://bucket/path")
        self._raw = settings.raw_schema
        self._final = settings.schema
        token = os.environ.get("BIGQUERY_ACCESS_TOKEN")
        self._token = Credentials(token=token, quota_project_id=self._project) if token else None
        try:
            self.client = bigquery.Client(
                project=self._project,
                location=self._location,
                credentials=self._token or google.auth.default()[0],
            )
        except GoogleAuthError as error:
            raise WarehouseError(
                "no Google credentials: run gcloud auth application-default login, or set"
                " GOOGLE_APPLICATION_CREDENTIALS or BIGQUERY_ACCESS_TOKEN"
            ) from error
        # The rows of a load are told apart by this column; on Postgres our own job fills it.
        os.environ["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = "true"

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def resource(self, conformer: Conformer, rows: int) -> DltResource:
        """Return the dlt resource of a month file: batches, which dlt writes to Parquet parts."""
        return conformed_batches(conformer)

    def destination(
        self,
        on_rows: Callable[[int], None],
        on_shared_rows: Callable[[list[int] | None], None],
    ) -> Destination[Any, Any]:
        """Return the dlt destination for this project; its load jobs tell nothing of rows."""
        return dlt.destinations.bigquery(
            credentials=cast(Any, self._token),  # whose type dlt takes too narrowly
            project_id=self._project,
            location=self._location,
        )

    def staging(self) -> Destination[Any, Any] | None:
        """Return the bucket that loads go through, if TLC_BUCKET names one."""
        if not self._bucket:
            return None
        return dlt.destinations.filesystem(
            bucket_url=f"{self._bucket}/staging",
            credentials=self._token,
            warn_unsafe_layout_separators=False,
        )

    def check(self, work: str) -> str:
        """Describe the connection.

        Args:
            work: what the user must be allowed to do; Google tells rights only by refusing.

        Raises:
            WarehouseError: when the project doesn't answer, or a right is missing.
        """
        self._query("select 1")
        through = f", through {self._bucket}" if self._bucket else ", loads go straight"
        return f"BigQuery project {self._project} in {self._location}{through}"

    def lock(self, dataset: str, month: dt.date) -> AbstractContextManager[None]:
        """Hold the lock of a dataset and month, or fail at once.

        Raises:
            LockedError: when another run holds it.
        """
        return self._lock(f"{dataset} {format_month(month)}", _LEASE_HOURS)

    def build_lock(self, reporter: Reporter) -> AbstractContextManager[None]:
        """Let one run at a time build in this warehouse: dbt is not made for two. The next waits.

        BigQuery aborts one of two merges, for both write the ledger; and dbt drops a seed before it
        loads it anew.

        Args:
            reporter: where to say that it waits.
        """
        return self._turn(
            "build",
            lambda: reporter.say("waiting for another run's dbt build in this warehouse to end"),
        )

    @contextmanager
    def _turn(self, name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold a lock by its name, waiting for others to give it back."""
        retrying = Retrying(
            retry=retry_if_exception_type(LockedError),
            wait=wait_random(*_TURN_SECONDS),
            after=lambda state: on_wait() if state.attempt_number == 1 else None,
        )
        with ExitStack() as held:
            retrying(lambda: held.enter_context(self._lock(name, _TURN_LEASE_HOURS)))
            yield

    @contextmanager
    def _lock(self, name: str, hours: int) -> Iterator[None]:
        """Hold a lock by its name, or fail at once.

        BigQuery has no locks: a row of `_locks` is taken by a conditional UPDATE, of which the
        service lets one at a time through.
        """
        with _google_errors_told():
            self.client.create_dataset(
                bigquery.Dataset(f"{self._project}.{self._raw}"), exists_ok=True
            )
        locks = self._table(self._raw, "_locks")
        token = uuid.uuid4().hex
        holder = f"{socket.gethostname()}, pid {os.getpid()}"
        rows = self._query(
            f"""
            create table if not exists {locks}
                (name string, token string, holder string, expires_at timestamp);
            insert into {locks} (name)
            select @name from (select 1)
            where not exists (select 1 from {locks} where name = @name);
            update {locks}
            set token = @token, holder = @holder,
                expires_at = timestamp_add(current_timestamp(), interval {hours} hour)
            where name = @name and not exists (
                select 1 from {locks} as live
                where live.name = @name and live.expires_at > current_timestamp()
            );
            select distinct token, holder, expires_at from {locks}
            where name = @name and expires_at > current_timestamp();
            """,
            name=name,
            token=token,
            holder=holder,
        )
        if [row["token"] for row in rows] != [token]:
            other = f"{rows[0]['holder']}, until {rows[0]['expires_at']:%H:%M} UTC" if rows else "?"
            raise LockedError(
                f"{name}: another run is working on it ({other});"
                " wait for it to end, or choose another month"
            )

        def give_back() -> None:
            self._query(
                f"update {locks} set token = null, holder = null, expires_at = null"
                " where name = @name and token = @token",
                name=name,
                token=token,
            )

        try:
            with interrupts.at_stop(give_back):
                yield
        finally:
            give_back()

    def prepare(
        self, pipeline: dlt.Pipeline, schema: dlt.Schema, dataset: str, month: dt.date
    ) -> None:
        """Make the raw tables where they are missing, and discard what a cut-off landing left.

        Args:
            pipeline: the dlt pipeline, for its client.
            schema: the raw tables as they should be.
            dataset: dataset that is going to land.
            month: file month that is going to land.
        """
        # Two loads at once would both find a table missing, and both create it.
        with self._turn("schema"), pipeline.destination_client() as client:
            client.schema = schema
            client.initialize_storage()
            # force: dlt trusts its record of the schema, even when somebody dropped a table.
            client.update_stored_schema(force=True)
        self.discard(dataset, month)

    def discard(self, dataset: str, month: dt.date) -> None:
        """Delete the rows that a landing brought and never published."""
        self._query(
            f"""
            delete from {self._raw_table(dataset)}
            where _file_month = @month and _dlt_load_id not in (
                select load_id from {self._table(self._raw, "month_files")}
                where dataset = @dataset and file_month = @month and raw_dropped_at is null
            )
            """,
            dataset=dataset,
            month=month,
        )

    def publish(self, landed: LandedFile) -> None:
        """Make a landed file's rows visible in place of the version before, in one transaction.

        Args:
            landed: the record to write; its counts are checked against the rows that are there.

        Raises:
            ReconciliationError: when rows are missing; nothing is changed then.
        """
        raw, month_files = self._raw_table(landed.dataset), self._table(self._raw, "month_files")
        (counted,) = self._query(
            f"select count(*) as n from {raw}"
            " where _file_month = @file_month and _dlt_load_id = @load_id",
            file_month=landed.file_month,
            load_id=landed.load_id,
        )
        if counted["n"] != landed.file_rows:
            raise ReconciliationError(
                f"{landed.dataset} {format_month(landed.file_month)}: {landed.file_name} has"
                f" {landed.file_rows:,} rows, {counted['n']:,} landed; run the command again"
            )
        # Rows are seen through month_files only, so this is the step that publishes them.
        self._record(
            landed,
            f"""
            delete from {raw} where _file_month = @file_month and _dlt_load_id != @load_id;
            update {month_files} set raw_dropped_at = current_timestamp()
            where dataset = @dataset and file_month = @file_month and raw_dropped_at is null;
            """,
        )
        if self._bucket:
            store = open_filesystem(self._bucket)
            for part in store.glob(f"{self._bucket}/staging/{self._raw}/*/{landed.load_id}.*"):
                store.rm_file(part)

    def touch(self, landed: LandedFile) -> None:
        """Write a version's record anew: another ETag or time, or accepted; its rows stay."""
        self._record(landed, "")

    def _record(self, landed: LandedFile, before: str) -> None:
        """Write the record of a version, in place of one of the same bytes."""
        month_files = self._table(self._raw, "month_files")
        # A table that an earlier version of the loader made may lack columns: those of no value.
        values = {name: value for name, value in asdict(landed).items() if value is not None}
        self._query(
            f"""
            begin transaction;
            {before}
            delete from {month_files}
            where dataset = @dataset and file_month = @file_month and sha256 = @sha256;
            insert into {month_files} ({", ".join(values)})
            values ({", ".join(f"@{name}" for name in values)});
            commit transaction;
            """,
            **values,
        )

    def drop_raw(self, dataset: str, month: dt.date) -> None:
        """Drop a month's raw rows; the record of them stays."""
        self._query(
            f"""
            begin transaction;
            delete from {self._raw_table(dataset)} where _file_month = @month;
            update {self._table(self._raw, "month_files")}
            set raw_dropped_at = current_timestamp()
            where dataset = @dataset and file_month = @month and raw_dropped_at is null;
            commit transaction;
            """,
            dataset=dataset,
            month=month,
        )

    def landed_files(self) -> list[LandedFile]:
        """Read the record of every landed version, the newest of a month last."""
        rows = self._query_if_there(
            f"select * from {self._table(self._raw, 'month_files')}"
            " order by dataset, file_month, landed_at"
        )
        return [LandedFile.of_row(row) for row in rows]

    def ledger(self) -> list[dict[str, Any]]:
        """Read the ledger: one row a merged version, the newest of a month last."""
        return self._query_if_there(
            f"select * from {self._table(self._final, 'file_ledger')}"
            " order by dataset, file_month, merged_at"
        )

    def has_raw_rows(self, dataset: str, month: dt.date) -> bool:
        """Tell whether a month's landed rows are still there."""
        rows = self._query_if_there(
            f"select 1 from {self._raw_table(dataset)} where _file_month = @month limit 1",
            month=month,
        )
        return bool(rows)

    def table_rows(self, dataset: str, month: dt.date) -> int:
        """Count a month's rows in the trips table."""
        table = self._table(self._final, get_dataset(dataset).table)
        (row,) = self._query(
            f"select count(*) as n from {table} where file_month = @month", month=month
        )
        return row["n"]

    def _raw_table(self, dataset: str) -> str:
        return self._table(self._raw, get_dataset(dataset).table)

    def _table(self, schema: str, name: str) -> str:
        return f"`{self._project}.{schema}.{name}`"

    def _query_if_there(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        try:
            return self._query(query, **parameters)
        except WarehouseError as error:
            if isinstance(error.__cause__, NotFound):
                return []
            raise

    def _query(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a statement or script with named parameters; return its last rows."""
        config = bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ScalarQueryParameter(name, _parameter_type(name, value), value)
                for name, value in parameters.items()
            ]
        )
        retrying = Retrying(
            retry=retry_if_exception(lambda error: _ABORTED in str(error)),
            stop=stop_after_attempt(_ABORTED_ATTEMPTS),
            wait=wait_random_exponential(max=_ABORTED_MAX_SECONDS),
            reraise=True,
        )
        with _google_errors_told():
            rows = retrying(lambda: self.client.query(query, job_config=config).result())
            return [{name: _naive(value) for name, value in row.items()} for row in rows]


@contextmanager
def _google_errors_told() -> Iterator[None]:
    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        raise WarehouseError(f"BigQuery: {' '.join(str(error).split())}") from error


def _parameter_type(name: str, value: Any) -> str:
    """Return a parameter's type: that of the column of `month_files`, else of the value."""
    for column in month_files_columns():
        if column.name == name:
            return _PARAMETER_TYPES[column.data_type]
    return "DATE" if isinstance(value, dt.date) else "STRING"


def _naive(value: Any) -> Any:
    """Take the zone off a time: all times of ours are UTC, and naive elsewhere."""
    return value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value
