"""A connection to BigQuery: credentials, queries, and what they are billed."""

import datetime as dt
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import google.auth
from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.oauth2.credentials import Credentials
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from loader.datasets import record_columns
from loader.errors import ABORTED, NoRightError, UsageError, WarehouseError
from loader.settings import Settings

# We read only counts, for which the Storage API wouldn't be faster.
warnings.filterwarnings("ignore", message="Cannot create BigQuery Storage client")

#: BigQuery aborts one of two transactions that change a table.
_ABORTED_ATTEMPTS = 8
_ABORTED_MAX_SECONDS = 30
#: What Google's messages mean to somebody who begins.
_SIGNS = {
    "illing has not been enabled": (
        "BigQuery: billing is off for this project, and without it INSERT and UPDATE are refused,"
        " which every command needs: enable it at https://console.cloud.google.com/billing; what is"
        " free stays free. Datasets of the sandbox expire: see docs/bigquery.md"
    ),
    "API has not been used in project": (
        "BigQuery: its API is off for this project: gcloud services enable bigquery.googleapis.com"
    ),
}
_PARAMETER_TYPES = {
    "smallint": "INT64",
    "integer": "INT64",
    "bigint": "INT64",
    "text": "STRING",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}


class BigQueryConnection:
    """A Google Cloud project, reached by Application Default Credentials or an access token."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Args:
            settings: of them, how much a query may read; all else is in Google's variables.
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
        self.labels: dict[str, str] = {}  #: of each query, for the bill
        token = os.environ.get("BIGQUERY_ACCESS_TOKEN")
        self.token = Credentials(token=token, quota_project_id=self.project) if token else None
        try:
            self.credentials = self.token or google.auth.default()[0]
            self.client = bigquery.Client(
                project=self.project, location=self.location, credentials=self.credentials
            )
        except GoogleAuthError as error:
            raise WarehouseError(
                "no Google credentials: run gcloud auth application-default login, or set"
                " GOOGLE_APPLICATION_CREDENTIALS or BIGQUERY_ACCESS_TOKEN"
            ) from error

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def bytes_billed(self, invocation_id: str | None) -> int | None:
        """Return the bytes that this connection and a dbt invocation, if any, were billed for.

        None when the jobs, which dbt labels, can't be listed: the least roles don't allow it.
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

    def table(self, schema: str, name: str) -> str:
        """Return the name of a table as queries spell it."""
        return f"`{self.project}.{schema}.{name}`"

    def query_if_there(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a query; no rows when a table isn't there yet."""
        try:
            return self.query(query, **parameters)
        except WarehouseError as error:
            if isinstance(error.__cause__, NotFound):
                return []
            raise

    def rows_if_there(self, schema: str, name: str) -> list[dict[str, Any]] | None:
        """Read a whole table of records, without a job and free; None when it isn't there yet."""
        with translate_google_errors(), suppress(NotFound):
            rows = self.client.list_rows(f"{self.project}.{schema}.{name}")
            return [_named(row) for row in rows]
        return None

    def query(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a statement or script with named parameters; return its last rows."""
        with translate_google_errors():
            return [_named(row) for row in self.rows(query, **parameters)]

    def rows(self, query: str, **parameters: Any) -> Any:
        """Run a statement or script with named parameters; return its last rows, as Google does."""
        config = bigquery.QueryJobConfig(
            labels=self.labels,
            maximum_bytes_billed=self._max_bytes,
            script_options=bigquery.ScriptOptions(statement_byte_budget=self._max_bytes),
            query_parameters=[
                bigquery.ScalarQueryParameter(name, _parameter_type(name, value), value)
                for name, value in parameters.items()
            ],
        )
        for attempt in Retrying(
            retry=retry_if_exception(lambda error: ABORTED in str(error)),
            stop=stop_after_attempt(_ABORTED_ATTEMPTS),
            wait=wait_random_exponential(max=_ABORTED_MAX_SECONDS),
            reraise=True,
        ):
            with attempt:
                job = self.client.query(query, job_config=config)
                rows = job.result()
        self._bytes_billed += job.total_bytes_billed or 0
        return rows

    def dry_run(self, statement: str) -> None:
        """Have BigQuery refuse a statement, without running it, when it would."""
        with translate_google_errors():
            self.client.query(statement, job_config=bigquery.QueryJobConfig(dry_run=True))


@contextmanager
def translate_google_errors() -> Iterator[None]:
    """Turn Google's errors into our own."""
    try:
        yield
    except (GoogleAPIError, GoogleAuthError) as error:
        for sign, meaning in _SIGNS.items():
            if sign in str(error):
                raise WarehouseError(meaning) from error
        said = " ".join(str(error).split())
        if isinstance(error, Forbidden) and (denied := said.partition("Access Denied: ")[2]):
            raise NoRightError(f"BigQuery: {denied.rstrip('.')}; {_mend(denied)}") from error
        raise WarehouseError(f"BigQuery: {said}") from error


def _mend(denied: str) -> str:
    """Return who can allow what Google has denied, and how."""
    place = re.search(r"(?:Dataset|Table|View) ([\w.-]+):(\w+)", denied)
    project = re.search(r"[Pp]roject ([\w.:-]*\w)", denied)
    if place:
        command = (
            f"grant `roles/bigquery.dataEditor` on schema `{place[1]}.{place[2]}` to 'user:YOU'"
            " (dataViewer, to read only), in BigQuery"
        )
    else:
        role = "jobUser" if "jobs.create" in denied else "user"
        command = (
            f"gcloud projects add-iam-policy-binding {project[1] if project else 'PROJECT'}"
            f" --member=user:YOU --role=roles/bigquery.{role}"
        )
    return f"an owner of the project can allow it: {command}"


def _parameter_type(name: str, value: Any) -> str:
    """Return a parameter's type: that of the column of `month_files`, else of the value."""
    for column in record_columns("month_files"):
        if column.name == name:
            return _PARAMETER_TYPES[column.data_type]
    return "DATE" if isinstance(value, dt.date) else "STRING"


def _named(row: Any) -> dict[str, Any]:
    """Return a row's values by name, times without a zone: the loader's own are naive UTC."""
    return {
        name: value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value
        for name, value in row.items()
    }
