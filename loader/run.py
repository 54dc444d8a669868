"""Runs months end to end: land, merge and test with dbt, reconcile, clean up."""

import datetime as dt
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum

from loader.building.runner import DbtRunner, Warnings, describe_warning
from loader.calendar import Month
from loader.datasets import get_dataset
from loader.errors import LoaderError, ReconciliationError
from loader.landing.land import complete_raw_tables, describe_suspicion, fetch_month, land_month
from loader.months.due import RunOptions
from loader.months.state import Step, current_versions, read_state
from loader.settings import Settings
from loader.source import download
from loader.terminal import interrupts
from loader.terminal.progress import Reporter
from loader.warehouse.base import Warehouse
from loader.warehouse.connect import connect_warehouse
from loader.warehouse.versions import FileVersion

#: The stages of a month; one month at a time is in each.
_STAGES = ("download", "land", "merge")
#: Marts of months with fewer rows are built together, until they have twice as many: a build of
#: marts takes at least a second.
_SMALL_ROWS = 500_000


class Result(StrEnum):
    """What became of a month."""

    MERGED = "merged"
    MARTS_BUILT = "marts built"
    NOTHING = "nothing to do"
    FAILED = "failed"
    #: Merged, and another version was merged since.
    REPLACED = "replaced"
    #: Merged, and `nyc-tlc remove` removed it since.
    REMOVED = "removed"


@dataclass(frozen=True)
class MonthRun:
    """What a run did for a month, as it ends or as it was recorded."""

    month: Month
    state: Result  #: what became of it
    rows: int | None = None  #: rows of the month in the trips table; None when it failed
    rows_added: int | None = None  #: rows that the version before didn't have
    rows_removed: int | None = None  #: rows that only the version before had
    rows_unchanged: int | None = None  #: rows that both have
    warnings: Warnings = field(default_factory=dict)  #: tests that warned
    error: LoaderError | None = None  #: why it failed; None when it didn't
    seconds: float = 0.0  #: how long it took; of a recorded run, what is known follows
    finished_at: dt.datetime | None = None  #: when it was merged, or failed (UTC)
    land_seconds: float | None = None  #: from the start of dlt's load to the commit of its rows
    build_seconds: float | None = None  #: of merge, tests and marts; None on another machine
    bytes_billed: int | None = None  #: what BigQuery billed for it; None on Postgres
    dollars: float | None = None  #: the price of these bytes

    @property
    def rows_per_second(self) -> int | None:
        """Rows a second of landing and building, if both are known."""
        if self.rows is None or self.land_seconds is None or self.build_seconds is None:
            return None
        seconds = self.land_seconds + self.build_seconds
        return round(self.rows / seconds) if seconds else None


def run_months(
    settings: Settings, months: Sequence[Month], reporter: Reporter, options: RunOptions
) -> Iterator[MonthRun]:
    """Run months end to end. One that fails doesn't stop the others.

    Network, loader and database work at the same time: while a month is merged, the next one lands
    and the one after that is downloaded. The months are run and reported in their order.
    """
    places: list[_Place] = []
    for _ in months:
        places.append(_Place(ahead=places[-1] if places else None))
    with (
        reporter.months(len(months)) as count_month,
        closing(DbtRunner(settings, complete_raw_tables)) as dbt,
        interrupts.at_stop(dbt.stop),
        ThreadPoolExecutor(len(_STAGES)) as threads,
    ):
        run = _Run(settings, reporter, options, dbt, places)
        waiting: list[MonthRun] = []
        for done in threads.map(run.month, months, places):
            waiting.append(done)
            # A month is done when its marts are built, and months are reported in their order.
            while waiting and waiting[0].month not in run.without_marts:
                yield run.outcome(waiting.pop(0))
                count_month()  # after it is recorded: the command may be stopped at any moment


def build_marts(
    settings: Settings, warehouse: Warehouse, versions: Sequence[FileVersion], reporter: Reporter
) -> Iterator[FileVersion]:
    """Build the marts of merged versions in this order, those of small months together.

    Yields:
        Each version, when its marts are built.
    """
    with (
        reporter.months(len(versions)) as count_month,
        closing(DbtRunner(settings, complete_raw_tables)) as dbt,
        interrupts.at_stop(dbt.stop),
    ):
        for batch in _batches(versions):
            with dbt.turn(warehouse, [version.month for version in batch], reporter):
                dbt.build(warehouse, batch, reporter, merge=False)
            for version in batch:
                yield version
                count_month()


def _batches(versions: Iterable[FileVersion]) -> Iterator[list[FileVersion]]:
    """Group months of a dataset by a limit of rows a group; in the order of their last months."""
    begun: dict[str, list[FileVersion]] = {}
    for version in versions:
        batch = begun.setdefault(version.dataset, [])
        batch.append(version)
        if _is_full(batch):
            yield begun.pop(version.dataset)
    yield from begun.values()


def _is_full(batch: Collection[FileVersion]) -> bool:
    return sum(one.file_rows for one in batch) >= 2 * _SMALL_ROWS


class _Place:
    """A month's place in the queue: it enters a stage when the month ahead has left it."""

    def __init__(self, ahead: "_Place | None") -> None:
        self._ahead = ahead
        self._left = {stage: threading.Event() for stage in _STAGES}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self._ahead:
            self._ahead._left[name].wait()
        yield
        self._left[name].set()

    def leave(self) -> None:
        """Skip the remaining stages, so that the months behind can go on."""
        for name in _STAGES:
            with self.stage(name):
                pass


@dataclass
class _Run:
    """Runs one month at a time in each stage."""

    settings: Settings
    reporter: Reporter
    options: RunOptions
    dbt: DbtRunner
    places: Sequence[_Place]
    #: Months that are merged and whose marts aren't built; changed in the stage "merge" only.
    without_marts: dict[Month, FileVersion] = field(default_factory=dict)
    failed_marts: dict[Month, LoaderError] = field(default_factory=dict)
    billed_marts: dict[Month, int] = field(default_factory=dict)

    def month(self, month: Month, place: _Place) -> MonthRun:
        """Run a month; a failure is in the record that is returned."""
        started = time.monotonic()
        try:
            # A connection of its own: other months run at the same time.
            with closing(connect_warehouse(self.settings)) as warehouse:
                done = self._month(warehouse, month, place)
        except LoaderError as error:
            done = MonthRun(month, Result.FAILED, error=error)
        finally:
            place.leave()
        if place is self.places[-1]:
            self._build_marts()
        return replace(done, seconds=round(time.monotonic() - started, 1))

    def outcome(self, done: MonthRun) -> MonthRun:
        """Return a month's record, with the result of marts that were built with other months'."""
        if error := self.failed_marts.get(done.month):
            return replace(done, state=Result.FAILED, error=error)
        billed = self.billed_marts.get(done.month)
        return done if billed is None else self._with_bill(done, (done.bytes_billed or 0) + billed)

    def _with_bill(self, done: MonthRun, billed: int | None) -> MonthRun:
        dollars = None if billed is None else billed / 2**40 * self.settings.price_per_tib
        return replace(done, bytes_billed=billed, dollars=dollars)

    def _month(self, warehouse: Warehouse, month: Month, place: _Place) -> MonthRun:
        settings, reporter, options = self.settings, self.reporter, self.options
        with ExitStack() as held:
            with place.stage("download"):
                held.enter_context(warehouse.lock(month, reporter))
                state = read_state(warehouse, month)
                if options.force:
                    state = replace(state, landed=None)
                file = fetch_month(
                    settings, month, state.landed, reporter, allow_empty=options.allow_empty
                )
            with place.stage("land"):
                if file:
                    self.dbt.start()  # it is ready to build when the file has landed
                landing = land_month(
                    settings,
                    warehouse,
                    file,
                    state.landed,
                    state.merged,
                    reporter,
                    keeps_rows=options.keep_raw,
                )
                landed = self._accepted(warehouse, landing.landed)
            is_new = state.merged is None or state.merged.sha256 != landed.sha256
            # Columns that the contract doesn't know are in the raw table only.
            drops_raw = not options.keep_raw and not landed.unknown_columns
            due = options.due(replace(state, landed=landed))
            with place.stage("merge"):
                # Raw rows that are left: an earlier run was stopped before its tests ended, so
                # it's merged again. After a crash of the server the record is left without rows.
                is_merged = (
                    options.force or is_new or (Step.DROP in due and warehouse.has_raw_rows(month))
                )
                warnings: Warnings = {}
                if is_merged:
                    merged, warnings = self._merge(warehouse, landed, drops_raw)
                else:
                    merged = _reconcile(warehouse, landed, is_counted=False)
                    if Step.DROP in due:
                        warehouse.drop_raw(month)
                    self._discard_download(month)  # that of an earlier run, which was stopped
                    if Step.MARTS in due:
                        self.without_marts[month] = merged
                if _is_full(self.without_marts.values()):
                    self._build_marts()
        billed = warehouse.bytes_billed(merged.invocation_id if is_merged else None)
        unmerged = Result.MARTS_BUILT if Step.MARTS in due else Result.NOTHING
        done = MonthRun(
            month,
            Result.MERGED if is_merged else unmerged,
            rows=merged.table_rows,
            rows_added=(merged.rows_added or 0) if is_new else 0,
            rows_removed=(merged.rows_removed or 0) if is_new else 0,
            rows_unchanged=(merged.rows_unchanged if is_new else merged.table_rows) or 0,
            warnings=warnings,
        )
        return self._with_bill(done, billed)

    def _accepted(self, warehouse: Warehouse, landed: FileVersion) -> FileVersion:
        """Refuse a suspect version, unless the user accepts it."""
        if not landed.suspect:
            return landed
        if not self.options.accept:
            raise ReconciliationError(f"{landed.month.label}: {describe_suspicion(landed)}")
        landed = replace(landed, suspect=None)
        warehouse.update_record(landed)
        return landed

    def _discard_download(self, month: Month) -> None:
        if not self.options.keep_files:
            download.discard(self.settings.local_dir / "downloads", *month)

    def _merge(
        self, warehouse: Warehouse, landed: FileVersion, drops_raw: bool
    ) -> tuple[FileVersion, Warnings]:
        """Build with dbt, reconcile, and drop the raw rows; return the ledger's row."""
        # The first month's build may include all views, those on the marts too.
        waits = (
            self.options.marts
            and len(self.places) > 1
            and landed.file_rows < _SMALL_ROWS
            and self.dbt.is_complete
            and get_dataset(landed.dataset).kind is not None
        )
        marts_now = self.options.marts and not waits
        with self.dbt.turn(warehouse, [landed.month], self.reporter, marts=marts_now):
            warnings = self.dbt.build(warehouse, [landed], self.reporter, marts=marts_now)
            merged = _reconcile(warehouse, landed, is_counted=True)
        self._discard_download(landed.month)
        if drops_raw:  # after the tests: raw rows that are left mean that the month isn't tested
            warehouse.drop_raw(landed.month)
        for warning in warnings.items():
            self.reporter.say(f"{landed.month.label}  warning: {describe_warning(*warning)}")
        if waits:
            self.without_marts[landed.month] = merged
        return merged, warnings

    def _build_marts(self) -> None:
        """Build the marts of the months that wait for them."""
        for batch in _batches(self.without_marts.values()):
            months = [one.month for one in batch]
            try:
                with (
                    closing(connect_warehouse(self.settings)) as warehouse,
                    self.dbt.turn(warehouse, months, self.reporter),
                ):
                    self.dbt.build(warehouse, batch, self.reporter, merge=False)
                    billed = warehouse.bytes_billed(self.dbt.invocation_id)
            except LoaderError as error:
                self.failed_marts |= dict.fromkeys(months, error)
            else:
                if billed is not None:
                    self.billed_marts |= dict.fromkeys(months, billed // len(months))
        self.without_marts.clear()


def _reconcile(warehouse: Warehouse, landed: FileVersion, *, is_counted: bool) -> FileVersion:
    """Compare the file, the ledger and the table, which a build's rows_reconcile has counted."""
    merged = current_versions(warehouse).get(landed.month)
    if merged is None or merged.sha256 != landed.sha256:
        raise ReconciliationError(
            f"{landed.month.label}: the ledger doesn't hold the version that landed; run the"
            " command again"
        )
    counts = {
        "in the file": landed.file_rows,
        "landed": merged.landed_rows,
        "merged": merged.table_rows,
    }
    if not is_counted:
        counts["in the table"] = warehouse.table_rows(landed.month)
    if len(set(counts.values())) != 1:
        rows = ", ".join(f"{count:,} {where}" for where, count in counts.items())
        raise ReconciliationError(
            f"{landed.month.label}: rows don't add up: {rows}; run the command again, and report it"
            " if it stays"
        )
    return merged
