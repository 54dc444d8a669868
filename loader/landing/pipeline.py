"""The dlt pipeline that loads one month file into the raw schema.

Import this only when there is a file to load: importing dlt takes as long as finding out that a
month hasn't changed.
"""

import datetime as dt
import fcntl
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import dlt
import psycopg2
import psycopg2.errors
from dlt.common.destination import Destination
from dlt.common.storages.load_package import create_load_id
from dlt.destinations.exceptions import DatabaseException
from dlt.load.exceptions import LoadClientJobException
from dlt.pipeline.exceptions import PipelineStepFailed

from loader import __version__
from loader.calendar import Month
from loader.errors import (
    POINTER,
    TABLE_IN_USE,
    FileRefusedError,
    LoaderError,
    LockedError,
    WarehouseError,
)
from loader.landing.conform import Conformer
from loader.landing.postgres_copy import PostgresTarget, open_postgres
from loader.landing.tlc_trips import raw_schema, resource_of
from loader.landing.zones import open_grid
from loader.settings import Settings
from loader.source.download import LocalFile
from loader.source.published import redact
from loader.source.whole import Version
from loader.terminal.progress import Reporter, StageMaker
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion

PIPELINE = "nyc_tlc"


class _Target(Protocol):
    """One month file on its way into a warehouse.

    Attributes:
        destination: dlt's destination.
        staging: dlt's staging destination, if loads go through one.
    """

    destination: Destination[Any, Any]
    staging: Destination[Any, Any] | None

    def load(
        self, pipeline: dlt.Pipeline, schema: dlt.Schema, stage: StageMaker
    ) -> tuple[str, int, list[int] | None]:
        """Load the file in the way that is fastest for the warehouse.

        Args:
            stage: begins a stage of the progress, which counts rows.

        Returns:
            The id of the load package; the rows that its jobs loaded, or those of the file where
            `commit_landing` counts them; which rows of the file may share their key, None if not
            computed or too many.
        """


def load_file(
    settings: Settings,
    warehouse: Warehouse,
    file: LocalFile,
    reporter: Reporter,
    *,
    keeps_rows: bool,
) -> FileVersion:
    """Load a month file; its rows are invisible until `Warehouse.commit_landing`.

    Args:
        keeps_rows: the raw rows are to outlive a crash of the server.

    Raises:
        FileRefusedError: when the file is corrupt or breaks the contract.
        WarehouseError: when the warehouse fails.
    """
    month = Month(file.dataset, file.month)
    label = month.label
    conformer = Conformer(*month, file.path, open_grid(settings, month))
    for column in conformer.missing:
        reporter.say(
            f"{label}  warning: column {column} is missing in the file; it is landed as NULL"
        )
    if conformer.unknown:
        reporter.say(
            f"{label}  warning: the contract doesn't know {', '.join(conformer.unknown_names)};"
            " landed as text in the raw table, and kept there"
        )
    with _only_one_pipeline(settings, reporter):
        # Columns that the contract doesn't know are in the raw table only.
        is_logged = keeps_rows or bool(conformer.unknown)
        target = _open_target(settings, warehouse, conformer, file.rows, is_logged)
        pipeline = _open_pipeline(settings, target.destination, target.staging)
        schema = raw_schema(conformer)
        try:
            _create_raw_tables(pipeline, schema, warehouse, conformer.contract.table)
            warehouse.discard_unfinished(month)
            load_id, landed_rows, shared = create_load_id(), 0, None
            if file.rows:  # dlt makes no load package without rows
                load_id, landed_rows, shared = target.load(
                    pipeline, schema, lambda name: reporter.stage(label, name, "rows", file.rows)
                )
        except (PipelineStepFailed, DatabaseException) as error:
            cause = _cause(error, label)
            if isinstance(cause, FileRefusedError):
                # Rows of a refused file are useless.
                warehouse.discard_unfinished(month)
            raise cause from error
    cleaned = ", ".join(f"{name} {count}" for name, count in conformer.cleaned.items() if count)
    if cleaned:
        reporter.say(f"{label}  values cleaned as the contract says: {cleaned}")
    return FileVersion(
        dataset=month.dataset,
        file_month=month.month,
        file_name=file.name,
        source_url=redact(file.url),
        etag=file.etag,
        last_modified=file.last_modified,
        file_bytes=file.size,
        sha256=file.sha256,
        file_rows=file.rows,
        landed_rows=landed_rows,
        unknown_columns=",".join(conformer.unknown) or None,
        cleaned_values=cleaned or None,
        suspect=conformer.suspicion,
        shared_rows=None if shared is None else ",".join(map(str, shared)),
        landed_at=dt.datetime.now(dt.UTC).replace(tzinfo=None),
        load_id=load_id,
        loader_version=__version__,
    )


def load_versions(
    settings: Settings, warehouse: Warehouse, versions: Sequence[Version], reporter: Reporter
) -> None:
    """Load what TLC publishes besides trips into its raw table, each version in a transaction.

    Args:
        versions: at least one, and all of one table.
    """
    table = versions[0].table
    with _only_one_pipeline(settings, reporter):
        pipeline = _open_pipeline(settings, _open_destination(settings, warehouse))
        schema = raw_schema()
        file_format: Any = "parquet" if settings.target == "bigquery" else "insert_values"
        try:
            _create_raw_tables(pipeline, schema, warehouse, table)
            for version in versions:
                resource = resource_of([version])
                pipeline.extract(resource, schema=schema, loader_file_format=file_format)
                pipeline.normalize()
                pipeline.load()
        except (PipelineStepFailed, DatabaseException) as error:
            raise _cause(error, table) from error


def complete_raw_tables(settings: Settings, warehouse: Warehouse) -> None:
    """Create the raw tables, and the columns that they lack."""
    # A landing may work beside it.
    pipeline = _open_pipeline(settings, _open_destination(settings, warehouse), folder="tables")
    try:
        _create_raw_tables(pipeline, raw_schema(), warehouse)
    except (PipelineStepFailed, DatabaseException) as error:
        raise _cause(error, "raw tables") from error


def _open_pipeline(
    settings: Settings,
    destination: Destination[Any, Any],
    staging: Destination[Any, Any] | None = None,
    folder: str = "pipelines",
) -> dlt.Pipeline:
    """Open the pipeline, new for each landing.

    A killed run leaves a package in its folder, and a loss of power empty files. Nothing of it is
    needed: the month is landed again from its file.
    """
    pipelines = settings.local_dir / "dlt" / folder
    shutil.rmtree(pipelines / PIPELINE, ignore_errors=True)
    return dlt.pipeline(
        PIPELINE,
        pipelines_dir=str(pipelines),
        destination=destination,
        staging=staging,
        dataset_name=settings.raw_schema,
    )


def _open_destination(settings: Settings, warehouse: Any) -> Destination[Any, Any]:
    """Choose dlt's destination for rows that dlt itself writes."""
    if settings.target == "bigquery":
        from loader.landing.bigquery_load import open_bigquery

        return open_bigquery(warehouse)
    return open_postgres(warehouse)


def _open_target(
    settings: Settings, warehouse: Any, conformer: Conformer, rows: int, is_logged: bool
) -> _Target:
    """Choose how to load a file into the target's warehouse."""
    if settings.target == "bigquery":
        from loader.landing.bigquery_load import BigQueryTarget

        return BigQueryTarget(warehouse, conformer, rows)
    return PostgresTarget(warehouse, conformer, rows, is_logged)


def _create_raw_tables(
    pipeline: dlt.Pipeline, schema: dlt.Schema, warehouse: Warehouse, landed: str | None = None
) -> None:
    """Create the raw tables, and the columns that they lack.

    Args:
        landed: the table of which a file lands: then the columns of the others don't matter.
    """
    recorded = (landed, "month_files") if landed else schema.tables.keys()
    wanted = {
        name: schema.tables[name]["columns"] if name in recorded else () for name in schema.tables
    }
    if warehouse.has_raw_columns(wanted):
        return
    with warehouse.schema_lock(), pipeline.destination_client() as client:
        client.schema = schema
        client.initialize_storage()
        # force: dlt trusts its record of the schema, even when somebody dropped a table.
        client.update_stored_schema(force=True)


@contextmanager
def _only_one_pipeline(settings: Settings, reporter: Reporter) -> Iterator[None]:
    """Let one process at a time use dlt's working directory, which is not made for two."""
    folder = settings.local_dir / "dlt"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reporter.say("waiting for another landing in this folder to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cause(error: Exception, label: str) -> LoaderError:
    """Find what made a dlt step fail: our own error, or the warehouse's."""
    cause: BaseException | None = error
    of_warehouse: BaseException | None = None
    while cause is not None:
        if isinstance(cause, LoaderError):
            return cause
        if isinstance(cause, psycopg2.errors.LockNotAvailable):
            return LockedError(f"{label}: {TABLE_IN_USE}")
        if isinstance(cause, (DatabaseException, LoadClientJobException, psycopg2.Error)):
            of_warehouse = cause
        # dlt keeps what made a job fail apart from Python's chain.
        cause = getattr(cause, "client_exception", None) or cause.__cause__ or cause.__context__
    if of_warehouse is None:
        return LoaderError(f"{label}: {_last_line(error)}; the log has the details")
    reason = _last_line(of_warehouse)
    if isinstance(of_warehouse, psycopg2.Error):
        reason = of_warehouse.diag.message_primary or reason
    return WarehouseError(f"{label}: {reason}; the log has the details")


#: A line that says what was wrong, in a stack trace that dlt repeats or in Postgres' own words.
_REASON = re.compile(r"(?:[A-Za-z_]\w*\.)+\w+: .+")


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if _REASON.fullmatch(line)]
    found = reasons or [line for line in lines if not POINTER.fullmatch(line)]
    return found[-1] if found else type(error).__name__
