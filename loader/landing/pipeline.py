"""The dlt pipeline that loads one month file into the raw schema.

Nothing imports this before there is a file to load: importing dlt takes as long as finding out that
a month hasn't changed.
"""

import datetime as dt
import fcntl
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dlt
import psycopg2
import psycopg2.errors
from dlt.common.runtime.collector_base import Collector
from dlt.common.storages.load_package import create_load_id
from dlt.destinations.exceptions import DatabaseException
from dlt.load.exceptions import LoadClientJobException
from dlt.pipeline.exceptions import PipelineStepFailed

from loader import __version__
from loader.errors import TABLE_IN_USE, FileRefusedError, LoaderError, LockedError, WarehouseError
from loader.landing.conform import Conformer
from loader.landing.resource import raw_schema
from loader.months import format_month
from loader.progress import Reporter, Stage
from loader.settings import Settings
from loader.source import published
from loader.source.download import LocalFile
from loader.warehouse.base import LandedFile, Warehouse

PIPELINE = "nyc_tlc"


def load_file(
    settings: Settings, warehouse: Warehouse, file: LocalFile, reporter: Reporter
) -> LandedFile:
    """Load a month file, such that nobody sees its rows before they are published.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        file: the month file.
        reporter: where to show progress.

    Returns:
        The version to publish.

    Raises:
        FileRefusedError: when the file is corrupt or breaks the contract.
        WarehouseError: when the warehouse fails.
    """
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
        progress = DltProgress(reporter, label, warehouse.stages, file.rows)
        shared: list[list[int] | None] = [None]
        pipeline = dlt.pipeline(
            PIPELINE,
            pipelines_dir=str(settings.local_dir / "dlt" / "pipelines"),
            destination=warehouse.destination(progress.add_rows, shared.append),
            staging=warehouse.staging(),
            dataset_name=settings.raw_schema,
            progress=progress,
        )
        # What an earlier run left half done is landed anew from its file, if it is asked for.
        pipeline.abort_packages()
        schema = raw_schema(conformer)
        try:
            warehouse.prepare(pipeline, schema, dataset, month)
            load_id = create_load_id()
            if file.rows:  # dlt makes no package of nothing
                resource = warehouse.resource(conformer, file.rows)
                load_id = pipeline.run(resource, schema=schema).loads_ids[-1]
        except (PipelineStepFailed, DatabaseException) as error:
            cause = _cause(error, label)
            if isinstance(cause, FileRefusedError):
                warehouse.discard(dataset, month)  # nobody will ever want what was copied of it
            raise cause from error
    return LandedFile(
        dataset=dataset,
        file_month=month,
        file_name=file.published.name,
        source_url=published.redact(file.published.url),
        etag=file.etag,
        last_modified=file.last_modified,
        file_bytes=file.size,
        sha256=file.sha256,
        file_rows=file.rows,
        landed_rows=file.rows,
        unknown_columns=",".join(conformer.unknown) or None,
        shared_rows=None if shared[-1] is None else ",".join(map(str, shared[-1])),
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


class DltProgress(Collector):
    """Shows dlt's steps as our stages."""

    def __init__(
        self, reporter: Reporter, label: str, stages: Mapping[str, str], rows: int
    ) -> None:
        """Make a collector for one month file.

        Args:
            reporter: where to show progress.
            label: dataset and month.
            stages: dlt's steps to show, and what they are called.
            rows: rows of the file.
        """
        self.step: str = ""
        self._reporter = reporter
        self._label = label
        self._stages = stages
        self._rows = rows
        self._lock = threading.Lock()
        self._context: AbstractContextManager[Stage] | None = None
        self._stage: Stage | None = None

    def add_rows(self, rows: int) -> None:
        """Take a load job's count of rows, from any thread."""
        with self._lock:
            if self._stage:  # the user may have stopped the run meanwhile
                # A job that dlt tries again counts again.
                self._stage.set(min(self._rows, self._stage.done + rows))

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Take dlt's count of a table's rows (Extract) or of load jobs (Load)."""
        if self._stage is None:
            return
        if self.step.startswith("Load"):
            if name == "Jobs" and not label and total is None:
                self._jobs_done += inc
            elif name == "Jobs" and total:
                self._jobs = total
            if self._jobs_done:
                self._stage.set(min(self._rows, self._rows * self._jobs_done // self._jobs))
        elif name.endswith("_tripdata"):
            self._stage.add(inc)

    def __exit__(self, *error: Any) -> None:
        """End a step; one that failed is not shown as if it were done."""
        if error[0] is None:
            self._stop()
        elif self._context:
            self._context.__exit__(*error)
            self._context = self._stage = None

    def _start(self, step: str) -> None:
        found = next((name for of, name in self._stages.items() if step.startswith(of)), None)
        if found:
            self._jobs_done, self._jobs = 0, 1
            self._context = self._reporter.stage(self._label, found, "rows", self._rows)
            self._stage = self._context.__enter__()

    def _stop(self) -> None:
        if self._context:
            if self._stage and (self._jobs_done or self.step.startswith("Load")):
                self._stage.set(self._rows)
            self._context.__exit__(None, None, None)
            self._context = self._stage = None
