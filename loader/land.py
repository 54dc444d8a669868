"""Landing: brings one month file into the raw schema, verified, or changes nothing."""

import datetime as dt
import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import dlt
import psycopg2
import psycopg2.errors
from dlt.common.storages.load_package import create_load_id
from dlt.destinations.exceptions import DatabaseException
from dlt.load.exceptions import LoadClientJobException
from dlt.pipeline.exceptions import PipelineStepFailed

from loader import __version__, discover, download
from loader.conform import Conformer
from loader.download import LocalFile
from loader.errors import TABLE_IN_USE, LoaderError, LockedError, WarehouseError
from loader.months import format_month
from loader.progress import DltProgress, Reporter
from loader.settings import Settings
from loader.source import month_file, raw_schema
from loader.warehouse import LandedFile, Warehouse, merged_versions

PIPELINE = "nyc_tlc"


@dataclass(frozen=True)
class Standing:
    """How a month stands in the warehouse.

    Attributes:
        dataset: dataset of the month.
        month: file month.
        newest: the version that landed last; None when there is none, or its rows are gone before
            they were merged.
        merged: the ledger's row of the version that the trips table holds; None when there is none.
    """

    dataset: str
    month: dt.date
    newest: LandedFile | None
    merged: dict[str, Any] | None


@dataclass(frozen=True)
class Landing:
    """What landing a month did.

    Attributes:
        landed: the version that is landed now.
        changed: whether rows were landed; False when this version was there already.
    """

    landed: LandedFile
    changed: bool


def read_standing(warehouse: Warehouse, dataset: str, month: dt.date) -> Standing:
    """Look how a month stands in the warehouse. Call it with the month's lock held.

    Args:
        warehouse: the warehouse.
        dataset: dataset to look at.
        month: file month to look at.

    Returns:
        How it stands.
    """
    merged = merged_versions(warehouse).get((dataset, month))
    versions = [
        v for v in warehouse.landed_files() if (v.dataset, v.file_month) == (dataset, month)
    ]
    newest = versions[-1] if versions else None
    is_merged = newest and merged and newest.sha256 == merged["sha256"]
    if newest and not is_merged and not warehouse.has_raw_rows(dataset, month):
        newest = None
    return Standing(dataset, month, newest, merged)


def fetch_month(
    settings: Settings, standing: Standing, reporter: Reporter, *, allow_empty: bool = False
) -> LocalFile | None:
    """Bring a month file here, if the source shows another version than the one that landed.

    It asks nothing of the warehouse: it may run beside other work.

    Args:
        settings: the settings.
        standing: how the month stands in the warehouse.
        reporter: where to show progress.
        allow_empty: take a file with zero rows too.

    Returns:
        The file; None when the source shows the version that landed.

    Raises:
        NotPublishedError: when the source doesn't have the month.
        SourceError: when the source fails.
        FileRefusedError: when the file is corrupt.
    """
    label = f"{standing.dataset} {format_month(standing.month)}"
    published = discover.require(settings.source, standing.dataset, standing.month)
    if standing.newest and same_signal(standing.newest, published):
        reporter.say(f"{label}  unchanged since it landed on {standing.newest.landed_at:%Y-%m-%d}")
        return None
    with reporter.stage(label, "download", "bytes", published.size) as stage:
        file = download.fetch(
            published, settings.local_dir / "downloads", stage.set, allow_empty=allow_empty
        )
        stage.set(file.size)
    return file


def land_month(
    settings: Settings,
    warehouse: Warehouse,
    standing: Standing,
    file: LocalFile | None,
    reporter: Reporter,
) -> Landing:
    """Bring a month file into the raw schema. Call it with the month's lock held.

    A version with far fewer rows than the trips table holds lands too, marked as suspect: it is
    not merged until it is accepted.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        standing: how the month stands in the warehouse.
        file: the month file; None when the version that landed is still that of the source.
        reporter: where to show progress.

    Returns:
        What was done.

    Raises:
        FileRefusedError: when the file is corrupt or breaks the contract.
        WarehouseError: when the warehouse fails.
        ReconciliationError: when landed rows don't add up to the file's.
    """
    newest = standing.newest
    if newest and file is None:
        return Landing(newest, changed=False)
    label = f"{standing.dataset} {format_month(standing.month)}"
    if newest and newest.sha256 == file.sha256:
        # TLC stamps files anew without changing them: remember the stamp, keep the rows.
        touched = replace(newest, etag=file.etag, last_modified=file.last_modified)
        warehouse.touch(touched)
        reporter.say(f"{label}  same bytes as landed on {newest.landed_at:%Y-%m-%d}")
        return Landing(touched, changed=False)

    landed = _load(settings, warehouse, file, reporter)
    landed = replace(landed, suspect=_suspicion(settings, landed, standing.merged))
    warehouse.publish(landed)
    if landed.suspect:
        reporter.say(f"{label}  warning: {suspicion(landed)}")
    return Landing(landed, changed=True)


def suspicion(landed: LandedFile) -> str:
    """Say why a suspect version is not merged, and how it can be."""
    return (
        f"suspect: {landed.suspect}; landed, and not merged: look at {landed.file_name}, and if it"
        f" is right, run: python -m loader run --dataset {landed.dataset}"
        f" --month {format_month(landed.file_month)} --accept"
    )


def _suspicion(settings: Settings, landed: LandedFile, merged: dict[str, Any] | None) -> str | None:
    """Tell what is suspicious of a new version, beside the one that the trips table holds."""
    before = merged["table_rows"] if merged else 0
    if landed.file_rows >= before * (1 - settings.max_row_drop):
        return None
    return f"{landed.file_rows:,} rows where the table holds {before:,}"


def same_signal(landed: LandedFile, published: discover.PublishedFile) -> bool:
    """Tell whether the source shows the version that landed; no bytes are read for it.

    Args:
        landed: the version that landed.
        published: what the source says now.
    """
    if landed.file_bytes != published.size or landed.etag != published.etag:
        return False
    return published.etag is not None or landed.last_modified == published.last_modified


def _load(
    settings: Settings, warehouse: Warehouse, file: LocalFile, reporter: Reporter
) -> LandedFile:
    dataset, month = file.published.dataset, file.published.month
    label = f"{dataset} {format_month(month)}"
    conformer = Conformer(dataset, month, file.path)
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
        pipeline = dlt.pipeline(
            PIPELINE,
            pipelines_dir=str(settings.local_dir / "dlt" / "pipelines"),
            destination=warehouse.destination(),
            staging=warehouse.staging(),
            dataset_name=settings.raw_schema,
            progress=DltProgress(reporter, label, file.rows),
        )
        # What an earlier run left half done is landed anew from its file, if it is asked for.
        pipeline.abort_packages()
        schema = raw_schema(conformer)
        try:
            warehouse.prepare(pipeline, schema, dataset, month)
            load_id = create_load_id()
            if file.rows:  # dlt makes no package of nothing
                load_id = pipeline.run(month_file(conformer), schema=schema).loads_ids[-1]
        except (PipelineStepFailed, DatabaseException) as error:
            raise _cause(error, label) from error
    return LandedFile(
        dataset=dataset,
        file_month=month,
        file_name=file.published.name,
        source_url=discover.redact(file.published.url),
        etag=file.etag,
        last_modified=file.last_modified,
        file_bytes=file.size,
        sha256=file.sha256,
        file_rows=file.rows,
        landed_rows=file.rows,
        unknown_columns=",".join(conformer.unknown) or None,
        suspect=None,
        landed_at=dt.datetime.now(dt.UTC).replace(tzinfo=None),
        raw_dropped_at=None,
        load_id=load_id,
        loader_version=__version__,
    )


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
_POINTER = re.compile(r"\^|LINE [0-9]+: .*")


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if _REASON.fullmatch(line)]
    told = reasons or [line for line in lines if not _POINTER.fullmatch(line)]
    return told[-1] if told else type(error).__name__
