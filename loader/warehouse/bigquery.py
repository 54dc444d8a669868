"""The warehouse in BigQuery."""

import datetime as dt
import os
import re
import socket
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import google.auth
from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.storage import Client as StorageClient  # type: ignore[import-untyped]
from google.oauth2.credentials import Credentials
from tenacity import (
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random,
    wait_random_exponential,
)

from loader.calendar import Month, next_month
from loader.datasets import get_dataset, month_files_columns
from loader.errors import (
    ABORTED,
    LockedError,
    NoRightError,
    ReconciliationError,
    UsageError,
    WarehouseError,
)
from loader.settings import Settings
from loader.terminal import interrupts
from loader.terminal.progress import Reporter
from loader.warehouse.versions import LATEST_MARTS, FileVersion

# We read only counts, for which the Storage API wouldn't be faster.
warnings.filterwarnings("ignore", message="Cannot create BigQuery Storage client")

#: The table that records which project dbt has built.
_PROJECT = "_project"
#: How long a lock outlives a killed run, and how often a live one renews it.
_LEASE_MINUTES = 60
_RENEWAL_SECONDS = 600.0
#: How long to sleep between two looks at whether another machine's turn has ended.
_TURN_SECONDS = (5, 15)
#: BigQuery aborts one of two transactions that change a table.
_ABORTED_ATTEMPTS = 8
_ABORTED_MAX_SECONDS = 30
_PARAMETER_TYPES = {
    "smallint": "INT64",
    "integer": "INT64",
    "bigint": "INT64",
    "text": "STRING",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}


class BigQueryWarehouse:
    """A Google Cloud project, reached by Application Default Credentials or an access token."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Args:
            settings: the settings; the project, location and credentials come from Google's
                variables.

        Raises:
            UsageError: when the project isn't named.
            WarehouseError: when there are no credentials.
        """
        self.project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        if not re.fullmatch(r"[a-z0-9.:-]+", self.project):
            raise UsageError("target bigquery needs GOOGLE_CLOUD_PROJECT: set it to your project")
        self.location = os.environ.get("BIGQUERY_LOCATION") or "US"
        self.bucket = os.environ.get("TLC_BUCKET", "").rstrip("/")
        # No * or ?: names below it are looked up by patterns.
        if self.bucket and not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]*(/[\w./=-]*)?", self.bucket):
            raise UsageError(f"TLC_BUCKET={self.bucket!r}: write gs://bucket or gs://bucket/path")
        self._opened_at = dt.datetime.now(dt.UTC)
        self._bytes_billed = 0
        self._max_bytes = settings.max_bytes_billed
        self._raw = settings.raw_schema
        self._final, self._marts = settings.schema, settings.marts_schema
        token = os.environ.get("BIGQUERY_ACCESS_TOKEN")
        self.token = Credentials(token=token, quota_project_id=self.project) if token else None
        try:
            self._credentials = self.token or google.auth.default()[0]
            self.client = bigquery.Client(
                project=self.project, location=self.location, credentials=self._credentials
            )
        except GoogleAuthError as error:
            raise WarehouseError(
                "no Google credentials: run gcloud auth application-default login, or set"
                " GOOGLE_APPLICATION_CREDENTIALS or BIGQUERY_ACCESS_TOKEN"
            ) from error

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def check(self, work: str) -> str:
        """Describe the connection.

        Args:
            work: what the user must be allowed to do; Google reports rights only by refusing.

        Raises:
            WarehouseError: when the project doesn't answer, or a right is missing.
        """
        self._query("select 1")
        self._check_locations()
        through = f", through {self.bucket}" if self.bucket else ", loads go straight"
        return f"BigQuery project {self.project} in {self.location}{through}"

    def _check_locations(self) -> None:
        """Refuse a bucket and datasets between which BigQuery can't load.

        Raises:
            WarehouseError: when a dataset is elsewhere than BIGQUERY_LOCATION says, or the bucket
                is outside that location.
        """
        with _translate_google_errors():
            with suppress(NotFound):  # the first run makes it
                found = self.client.get_dataset(f"{self.project}.{self._raw}").location
                if found.lower() != self.location.lower():
                    raise WarehouseError(
                        f"BigQuery: dataset {self._raw} is in {found}, and BIGQUERY_LOCATION is"
                        f" {self.location}: set it to {found}"
                    )
            if not self.bucket:
                return
            name = self.bucket.removeprefix("gs://").partition("/")[0]
            client = StorageClient(project=self.project, credentials=self._credentials)
            try:
                found = client.get_bucket(name).location
            except Forbidden:  # who may write objects need not have the right to see the bucket
                return
            except NotFound as error:
                raise WarehouseError(
                    f"TLC_BUCKET={self.bucket}: there is no such bucket"
                ) from error
        if not _loads_from(found, self.location):
            raise WarehouseError(
                f"TLC_BUCKET={self.bucket} is in {found}, and the datasets are in {self.location}:"
                " BigQuery loads only from the same location; take another bucket"
            )

    def lock(self, month: Month) -> AbstractContextManager[None]:
        """Hold the lock of a dataset and month, or fail at once.

        Raises:
            LockedError: when another run holds it.
        """
        return self._lock(month.label)

    def build_lock(self, reporter: Reporter) -> AbstractContextManager[None]:
        """Let one run at a time build in this warehouse: dbt is not made for two. The next waits.

        BigQuery aborts one of two merges, for both write the ledger; and dbt drops a seed before it
        loads it again.

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
            retrying(lambda: held.enter_context(self._lock(name)))
            yield

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Hold a lock by its name, or fail at once.

        BigQuery has no locks: a row of `_locks` is taken by a conditional UPDATE, of which the
        service lets one at a time through. It is a lease, which is renewed while it is held.
        """
        with _translate_google_errors():
            self.client.create_dataset(
                bigquery.Dataset(f"{self.project}.{self._raw}"), exists_ok=True
            )
        locks = self._table(self._raw, "_locks")
        token = uuid.uuid4().hex
        lease = f"timestamp_add(current_timestamp(), interval {_LEASE_MINUTES} minute)"
        holder = f"{socket.gethostname()}, pid {os.getpid()}"
        rows = self._query(
            f"""
            create table if not exists {locks}
                (name string, token string, holder string, expires_at timestamp);
            insert into {locks} (name)
            select @name from (select 1)
            where not exists (select 1 from {locks} where name = @name);
            update {locks}
            set token = @token, holder = @holder, expires_at = {lease}
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
                f"update {locks} set token = null, holder = null, expires_at = null {mine}",
                name=name,
                token=token,
            )

        mine = "where name = @name and token = @token"

        def renew() -> None:
            with suppress(WarehouseError):  # the next renewal is before the lease ends, too
                self._query(
                    f"update {locks} set expires_at = {lease} {mine}", name=name, token=token
                )

        try:
            with interrupts.at_stop(give_back), _repeating(renew, _RENEWAL_SECONDS):
                yield
        finally:
            give_back()

    def schema_lock(self) -> AbstractContextManager[None]:
        """Let one landing at a time create the raw tables: two would both find them missing."""
        return self._turn("schema")

    def discard_unfinished(self, month: Month) -> None:
        """Delete the rows of landings that were never committed."""
        self._query(
            f"""
            delete from {self._raw_table(month.dataset)}
            where _file_month = @month and _dlt_load_id not in (
                select load_id from {self._table(self._raw, "month_files")}
                where dataset = @dataset and file_month = @month and raw_dropped_at is null
            )
            """,
            **month._asdict(),
        )

    def loaded_rows(self, job_id: str) -> int:
        """Return the rows that a load job has written; 0 when there is no such job."""
        with _translate_google_errors():
            try:
                job = self.client.get_job(job_id, location=self.location)
            except NotFound:
                return 0
        return getattr(job, "output_rows", None) or 0

    def commit_landing(self, landed: FileVersion) -> None:
        """Replace the month's landed version, in one transaction: its rows and its record.

        Args:
            landed: the record to write, with the number of rows that BigQuery has loaded.

        Raises:
            ReconciliationError: when rows are missing; nothing is changed then.
        """
        if landed.landed_rows != landed.file_rows:
            raise ReconciliationError(
                f"{landed.month.label}: {landed.file_name} has"
                f" {landed.file_rows:,} rows, {landed.landed_rows:,} landed; run the command again"
            )
        raw, month_files = self._raw_table(landed.dataset), self._table(self._raw, "month_files")
        has_rows = "dataset = @dataset and file_month = @file_month and raw_dropped_at is null"
        # Rows are seen through month_files only: this is what makes them visible.
        self._record(
            landed,
            f"""
            if exists (select 1 from {month_files} where {has_rows}) then
                delete from {raw} where _file_month = @file_month and _dlt_load_id != @load_id;
                update {month_files} set raw_dropped_at = current_timestamp() where {has_rows};
            end if;
            """,
        )

    def update_record(self, landed: FileVersion) -> None:
        """Replace a version's record (new ETag or time, or accepted); its rows stay."""
        self._record(landed, "")

    def _record(self, landed: FileVersion, before: str) -> None:
        """Write the record of a version; it replaces a record of the same bytes."""
        month_files = self._table(self._raw, "month_files")
        values = landed.month_files_row()
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

    def drop_raw(self, month: Month) -> None:
        """Drop a month's raw rows; the record of them stays.

        A DELETE of a whole partition, outside a transaction, reads nothing. The record comes last:
        after a kill in between, the next run finds that it is missing.
        """
        self._query(
            f"""
            delete from {self._raw_table(month.dataset)}
            where _file_month >= @month and _file_month < @next_month;
            update {self._table(self._raw, "month_files")}
            set raw_dropped_at = current_timestamp()
            where dataset = @dataset and file_month = @month and raw_dropped_at is null;
            """,
            **month._asdict(),
            next_month=next_month(month.month),
        )

    def read(self, query: str) -> list[dict[str, Any]]:
        """Run a query on {tlc} and {marts}; no rows when a table isn't there yet."""
        schemas = {"tlc": self._final, "marts": self._marts}
        names = {name: f"`{self.project}`.{schema}" for name, schema in schemas.items()}
        return self._query_if_there(query.format(**names))

    def built_project(self, relations: Sequence[str]) -> str | None:
        """Return which project dbt has built here; None if a relation of it is missing."""
        rows = self._query_if_there(f"select fingerprint from {self._table(self._raw, _PROJECT)}")
        missing = set(relations)
        with _translate_google_errors():
            for schema in {name.partition(".")[0] for name in relations} if rows else ():
                with suppress(NotFound):
                    tables = self.client.list_tables(f"{self.project}.{schema}")
                    missing -= {f"{schema}.{table.table_id}" for table in tables}
        return rows[0]["fingerprint"] if rows and not missing else None

    def record_project(self, fingerprint: str) -> None:
        """Record that dbt has built all of a project here."""
        self._query(
            f"create or replace table {self._table(self._raw, _PROJECT)} as"
            " select @fingerprint as fingerprint, current_timestamp() as built_at",
            fingerprint=fingerprint,
        )

    def bytes_billed(self, invocation_id: str | None) -> int | None:
        """Return the bytes that this connection and a dbt invocation were billed for.

        Args:
            invocation_id: the invocation, with which dbt labels its jobs; None when there was none.

        Returns:
            Bytes; None when jobs can't be listed, which the least roles don't allow: the month is
            merged all the same.
        """
        if invocation_id is None:
            return self._bytes_billed
        try:
            jobs = list(self.client.list_jobs(min_creation_time=self._opened_at))
        except (GoogleAPIError, GoogleAuthError):
            return None
        of_dbt = [job for job in jobs if job.labels.get("dbt_invocation_id") == invocation_id]
        return self._bytes_billed + sum(
            getattr(job, "total_bytes_billed", 0) or 0 for job in of_dbt
        )

    def landed_versions(self) -> list[FileVersion]:
        """Read `month_files`: every landed version, the newest of a month last."""
        return self._versions("*", self._raw, "month_files", "landed_at")

    def merged_versions(self) -> list[FileVersion]:
        """Read the ledger: every merged version, the newest of a month last."""
        ledger = self._final, "file_ledger", "merged_at"
        marts_version = LATEST_MARTS.format(tlc=f"`{self.project}`.{self._final}")
        with_marts = self._versions(f"*, ({marts_version}) as marts_version", *ledger)
        # a warehouse of an earlier version has no ledger of marts
        return with_marts or self._versions("*", *ledger)

    def _versions(self, columns: str, schema: str, table: str, time: str) -> list[FileVersion]:
        rows = self._query_if_there(
            f"select {columns} from {self._table(schema, table)} as version"
            f" order by dataset, file_month, {time}"
        )
        return [FileVersion.of_row(row) for row in rows]

    def has_raw_rows(self, month: Month) -> bool:
        """Return whether a month's landed rows are still there."""
        rows = self._query_if_there(
            f"select 1 from {self._raw_table(month.dataset)} where _file_month = @month limit 1",
            month=month.month,
        )
        return bool(rows)

    def stored_months(self) -> None:
        """Return None: a count by month would read a column of all history."""

    def table_rows(self, month: Month) -> int:
        """Count a month's rows in the trips table."""
        table = self._table(self._final, get_dataset(month.dataset).table)
        (row,) = self._query(
            f"select count(*) as n from {table} where file_month = @month", month=month.month
        )
        return row["n"]

    def _raw_table(self, dataset: str) -> str:
        return self._table(self._raw, get_dataset(dataset).table)

    def _table(self, schema: str, name: str) -> str:
        return f"`{self.project}.{schema}.{name}`"

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
            maximum_bytes_billed=self._max_bytes,
            query_parameters=[
                bigquery.ScalarQueryParameter(name, _parameter_type(name, value), value)
                for name, value in parameters.items()
            ],
        )
        retrying = Retrying(
            retry=retry_if_exception(lambda error: ABORTED in str(error)),
            stop=stop_after_attempt(_ABORTED_ATTEMPTS),
            wait=wait_random_exponential(max=_ABORTED_MAX_SECONDS),
            reraise=True,
        )
        with _translate_google_errors():
            job, rows = retrying(lambda: self._run(query, config))
            self._bytes_billed += job.total_bytes_billed or 0
            return [{name: _naive(value) for name, value in row.items()} for row in rows]

    def _run(self, query: str, config: bigquery.QueryJobConfig) -> tuple[Any, Any]:
        job = self.client.query(query, job_config=config)
        return job, job.result()


def _loads_from(bucket: str, datasets: str) -> bool:
    """Return whether datasets of a location can be loaded from a bucket of another.

    A multi-region takes buckets of its regions, too.
    """
    bucket, datasets = bucket.lower(), datasets.lower()
    regions = {"us": "us-", "eu": "europe-"}.get(datasets)
    return bucket == datasets or (regions is not None and bucket.startswith(regions))


@contextmanager
def _repeating(do: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function at intervals, in a thread, while the block runs."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            do()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _translate_google_errors() -> Iterator[None]:
    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        kind = NoRightError if isinstance(error, Forbidden) else WarehouseError
        raise kind(f"BigQuery: {' '.join(str(error).split())}") from error


def _parameter_type(name: str, value: Any) -> str:
    """Return a parameter's type: that of the column of `month_files`, else of the value."""
    for column in month_files_columns():
        if column.name == name:
            return _PARAMETER_TYPES[column.data_type]
    return "DATE" if isinstance(value, dt.date) else "STRING"


def _naive(value: Any) -> Any:
    """Remove the zone of a time: the loader's own times are naive UTC."""
    return value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value
