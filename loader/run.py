"""Months end to end: landed, merged and tested by dbt, reconciled, cleaned up after.

Network, loader and database work at the same time: while a month is merged, the next one lands and
the one after that is downloaded. Only the thread that runs the command talks to the warehouse.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any

from loader import interrupts
from loader.dbt_runner import Dbt, Warnings, describe_warning
from loader.errors import LoaderError, ReconciliationError
from loader.landing.land import Landing, Standing, fetch_month, land_month, read_standing, suspicion
from loader.months import format_month
from loader.progress import Reporter
from loader.settings import Settings
from loader.source import download
from loader.source.download import LocalFile
from loader.warehouse.base import Warehouse, merged_versions


@dataclass(frozen=True)
class MonthRun:
    """What a run did for a month.

    Attributes:
        dataset: dataset of the month.
        month: file month.
        state: merged, nothing to do, or failed.
        seconds: how long it took.
        rows: rows of the month in the trips table; None when it failed.
        rows_added: rows that the version before didn't have.
        rows_removed: rows that only the version before had.
        rows_unchanged: rows that both have.
        warnings: tests that warned, by name, with the number of rows by column.
        error: why it failed; None when it didn't.
    """

    dataset: str
    month: dt.date
    state: str
    seconds: float
    rows: int | None = None
    rows_added: int = 0
    rows_removed: int = 0
    rows_unchanged: int = 0
    warnings: Warnings = field(default_factory=dict)
    error: LoaderError | None = None


@dataclass(frozen=True)
class RunOptions:
    """How to do months.

    Attributes:
        keep_raw: keep the raw rows after the merge.
        keep_files: keep the downloaded files after the merge.
        accept: merge versions that are suspect, too.
        allow_empty: land files with zero rows, too.
        force: land and merge each month anew, even if its version is there.
    """

    keep_raw: bool = False
    keep_files: bool = False
    accept: bool = False
    allow_empty: bool = False
    force: bool = False


def run_months(
    settings: Settings,
    warehouse: Warehouse,
    requests: Iterable[tuple[str, dt.date]],
    reporter: Reporter,
    options: RunOptions,
) -> Iterator[MonthRun]:
    """Do months end to end. One that fails doesn't stop the others.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        requests: datasets and file months, in the order in which to do them.
        reporter: where to show progress.
        options: how to do them.

    Yields:
        What was done, one record a request, in their order.
    """
    requests = list(requests)
    with (
        reporter.months(len(requests)) as one_is_done,
        closing(Dbt(settings)) as dbt,
        interrupts.at_stop(dbt.stop),
        ExitStack() as held,
        ThreadPoolExecutor(1) as downloads,
        ThreadPoolExecutor(1) as builds,
    ):
        fetching: _Job | None = None
        building: _Job | None = None
        jobs = (
            _Job(settings, warehouse, dbt, dataset, month, reporter, options, held)
            for dataset, month in requests
        )
        while True:
            landing, fetching = fetching, next(jobs, None)
            if fetching:
                fetching.step(fetching.fetch, downloads)
            # A month that is merged doesn't wait for a file that is slow to come.
            if landing and building and building.ends_before(landing):
                yield building.finished()
                one_is_done()  # now that it is noted: the command may be stopped at any moment
                building = None
            if landing:
                landing.step(landing.land)
            if building:
                yield building.finished()
                one_is_done()
            if landing:
                landing.step(landing.build, builds)
            building = landing
            if not (fetching or building):
                return


class _Job:
    """One month's way through a run, step by step; the first step that fails is its last."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        dbt: Dbt,
        dataset: str,
        month: dt.date,
        reporter: Reporter,
        options: RunOptions,
        held: ExitStack,
    ) -> None:
        self._settings = settings
        self._warehouse = warehouse
        self._dbt = dbt
        self._dataset = dataset
        self._month = month
        self._reporter = reporter
        self._options = options
        self._started = time.monotonic()
        self._held = held.enter_context(ExitStack())
        self._standing: Standing
        self._file: Future[LocalFile | None] | None = None
        self._landing: Landing
        self._build: Future[Warnings] | None = None
        self.result: MonthRun | None = None

    def step(self, do: Callable[..., None], *arguments: Any) -> None:
        """Do a step, unless one before has failed; what it holds goes with the last one."""
        if self.result:
            return
        try:
            with ExitStack() as ending:
                # The lock among what is held makes the warehouse's errors ours, if it sees them.
                ending.push(self._held)
                do(*arguments)
                if not self.result:
                    ending.pop_all()
        except LoaderError as error:
            self.result = MonthRun(
                self._dataset, self._month, "failed", self._seconds(), error=error
            )

    def fetch(self, downloads: ThreadPoolExecutor) -> None:
        """Lock the month, and begin to download its file."""
        self._started = time.monotonic()
        self._held.enter_context(self._warehouse.lock(self._dataset, self._month))
        standing = read_standing(self._warehouse, self._dataset, self._month)
        self._standing = replace(standing, newest=None) if self._options.force else standing
        self._file = downloads.submit(
            fetch_month,
            self._settings,
            self._standing,
            self._reporter,
            allow_empty=self._options.allow_empty,
        )

    def ends_before(self, other: "_Job") -> bool:
        """Wait for the build or the other's file; tell whether it was the build."""
        if self._build and other._file:
            both: tuple[Future[Any], ...] = (self._build, other._file)
            wait(both, return_when=FIRST_COMPLETED)
        return other._file is not None and not other._file.done()

    def land(self) -> None:
        """Land the file when it is here."""
        file = self._file.result() if self._file else None
        if file:
            self._dbt.start()  # it is ready to build when the file has landed
        landing = land_month(self._settings, self._warehouse, self._standing, file, self._reporter)
        if landing.landed.suspect:
            if not self._options.accept:
                raise ReconciliationError(f"{self._label}: {suspicion(landing.landed)}")
            landing = replace(landing, landed=replace(landing.landed, suspect=None))
            self._warehouse.touch(landing.landed)
        self._landing = landing

    def build(self, builds: ThreadPoolExecutor) -> None:
        """Begin the dbt build, if there is something to do."""
        if (
            self._options.force
            or self._is_new
            # Raw rows that should be gone: an earlier run merged them, and failed after that.
            or (self._drops_raw and self._warehouse.has_raw_rows(self._dataset, self._month))
        ):
            self._held.enter_context(self._warehouse.build_lock(self._reporter))
            rows = self._landing.landed.file_rows
            self._build = builds.submit(
                self._dbt.build, self._dataset, self._month, rows, self._reporter
            )

    def finished(self) -> MonthRun:
        """Do the last step, and return what was done."""
        self.step(self._finish)
        assert self.result  # noqa: S101 - the last step has made it
        return self.result

    def _finish(self) -> None:
        """Reconcile when the build has ended, and clean up."""
        warnings = self._build.result() if self._build else {}
        entry = _reconcile(self._warehouse, self._landing, is_counted=self._build is not None)
        if self._build and self._drops_raw:
            self._warehouse.drop_raw(self._dataset, self._month)
        for warning in warnings.items():
            self._reporter.say(f"{self._label}  warning: {describe_warning(*warning)}")
        if not self._options.keep_files:
            # Whoever downloaded it: an earlier run may have been killed before this.
            download.discard(self._settings.local_dir / "downloads", self._dataset, self._month)
        self.result = MonthRun(
            dataset=self._dataset,
            month=self._month,
            state="merged" if self._build else "nothing to do",
            seconds=self._seconds(),
            rows=entry["table_rows"],
            rows_added=entry["rows_added"] if self._is_new else 0,
            rows_removed=entry["rows_removed"] if self._is_new else 0,
            rows_unchanged=entry["rows_unchanged"] if self._is_new else entry["table_rows"],
            warnings=warnings,
        )

    @property
    def _label(self) -> str:
        return f"{self._dataset} {format_month(self._month)}"

    @property
    def _is_new(self) -> bool:
        """Whether the trips table held another version, or none, when the run began."""
        merged = self._standing.merged
        return merged is None or merged["sha256"] != self._landing.landed.sha256

    @property
    def _drops_raw(self) -> bool:
        # Columns that the contract doesn't know are in the raw table only.
        return not self._options.keep_raw and not self._landing.landed.unknown_columns

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 1)


def _reconcile(warehouse: Warehouse, landing: Landing, *, is_counted: bool) -> dict[str, Any]:
    """Compare the file, the ledger and the table, which a build's rows_reconcile has counted."""
    landed = landing.landed
    entry = merged_versions(warehouse).get((landed.dataset, landed.file_month))
    label = f"{landed.dataset} {format_month(landed.file_month)}"
    if entry is None or entry["sha256"] != landed.sha256:
        raise ReconciliationError(
            f"{label}: the ledger doesn't hold the version that landed; run the command again"
        )
    counts = {
        "in the file": landed.file_rows,
        "landed": entry["landed_rows"],
        "merged": entry["table_rows"],
    }
    if not is_counted:
        counts["in the table"] = warehouse.table_rows(landed.dataset, landed.file_month)
    if len(set(counts.values())) != 1:
        rows = ", ".join(f"{count:,} {where}" for where, count in counts.items())
        raise ReconciliationError(
            f"{label}: rows don't add up: {rows}; run the command again, and report it if it stays"
        )
    return entry
