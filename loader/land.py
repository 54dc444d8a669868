"""Landing: brings one month file into the raw schema, verified, or changes nothing."""

import datetime as dt
import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dlt
import psycopg2
from dlt.destinations.exceptions import DatabaseException
from dlt.load.exceptions import LoadClientJobException
from dlt.pipeline.exceptions import PipelineStepFailed

from loader import __version__, discover, download
from loader.conform import Conformer
from loader.download import LocalFile
from loader.errors import LoaderError, WarehouseError
from loader.months import format_month
from loader.progress import DltProgress, Reporter
from loader.settings import Settings
from loader.source import month_file, raw_schema
from loader.warehouse import LandedFile, Warehouse

PIPELINE = "nyc_tlc"


@dataclass(frozen=True)
class Landing:
    """What landing a month did.

    Attributes:
        landed: the version that is landed now.
        changed: whether rows were landed; False when this version was there already.
        download: the downloaded file, which may go once the month is merged; None for a file
            that was read in place, or not at all.
    """

    landed: LandedFile
    changed: bool
    download: Path | None


def land_month(
    settings: Settings,
    warehouse: Warehouse,
    dataset: str,
    month: dt.date,
    reporter: Reporter,
) -> Landing:
    """Bring a month file into the raw schema. Call it with the month's lock held.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        dataset: dataset to land.
        month: file month to land.
        reporter: where to show progress.

    Returns:
        What was done.

    Raises:
        NotPublishedError: when the source doesn't have the month.
        SourceError: when the source fails.
        FileRefusedError: when the file is corrupt or breaks the contract.
        WarehouseError: when the warehouse fails.
        ReconciliationError: when landed rows don't add up to the file's.
    """
    label = f"{dataset} {format_month(month)}"
    published = discover.require(settings.source, dataset, month)
    newest = _newest_landed(warehouse, dataset, month)
    if newest and same_signal(newest, published):
        reporter.say(f"{label}  unchanged since it landed on {newest.landed_at:%Y-%m-%d}")
        return Landing(newest, changed=False, download=None)

    with reporter.stage(label, "download", "bytes", published.size) as stage:
        file = download.fetch(published, settings.local_dir / "downloads", stage.set)
        stage.set(file.size)
    downloaded = file.path if file.is_download else None
    if newest and newest.sha256 == file.sha256:
        # TLC stamps files anew without changing them: remember the stamp, keep the rows.
        touched = replace(newest, etag=file.etag, last_modified=file.last_modified)
        warehouse.touch(touched)
        reporter.say(f"{label}  same bytes as landed on {newest.landed_at:%Y-%m-%d}")
        return Landing(touched, changed=False, download=downloaded)

    landed = _load(settings, warehouse, file, reporter)
    warehouse.publish(landed)
    return Landing(landed, changed=True, download=downloaded)


def _newest_landed(warehouse: Warehouse, dataset: str, month: dt.date) -> LandedFile | None:
    """Return the newest landed version, unless its rows are gone before they were merged."""
    versions = [
        v for v in warehouse.landed_files() if (v.dataset, v.file_month) == (dataset, month)
    ]
    if not versions:
        return None
    merged = {
        row["sha256"]
        for row in warehouse.ledger()
        if (row["dataset"], row["file_month"]) == (dataset, month) and row["is_current"]
    }
    usable = versions[-1].sha256 in merged or warehouse.has_raw_rows(dataset, month)
    return versions[-1] if usable else None


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
            info = pipeline.run(month_file(conformer), schema=schema)
        except PipelineStepFailed as error:
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
        landed_at=dt.datetime.now(dt.UTC).replace(tzinfo=None),
        raw_dropped_at=None,
        load_id=info.loads_ids[-1],
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


def _cause(error: PipelineStepFailed, label: str) -> LoaderError:
    """Find what made a dlt step fail: our own error, or the warehouse's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LoaderError):
            return cause
        if isinstance(cause, (DatabaseException, LoadClientJobException, psycopg2.Error)):
            return WarehouseError(f"{label}: {_last_line(cause)}; the log has the details")
        cause = cause.__cause__ or cause.__context__
    return LoaderError(f"{label}: {_last_line(error)}; the log has the details")


#: A line that says what was wrong, in a stack trace that dlt repeats or in Postgres' own words.
_REASON = re.compile(r"(?:[A-Za-z_]\w*\.)+\w+: .+")
_POINTER = re.compile(r"\^|LINE [0-9]+: .*")


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if _REASON.fullmatch(line)]
    told = reasons or [line for line in lines if not _POINTER.fullmatch(line)]
    return told[-1] if told else type(error).__name__
