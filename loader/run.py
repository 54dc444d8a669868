"""Runs months end to end: land, merge and test with dbt, reconcile, clean up."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from loader import interrupts
from loader.dbt_runner import DbtRunner, describe_warning
from loader.errors import LoaderError, ReconciliationError
from loader.landing.land import describe_suspicion, fetch_month, land_month
from loader.months import format_month
from loader.progress import Reporter
from loader.settings import Settings
from loader.source import download
from loader.state import Month, MonthRun, Warnings, current_versions, read_state
from loader.warehouse.base import Warehouse
from loader.warehouse.connect import connect_warehouse
from loader.warehouse.versions import FileVersion

#: The stages of a month; one month at a time is in each.
_STAGES = ("download", "land", "merge")


@dataclass(frozen=True)
class RunOptions:
    """Options of a run.

    Attributes:
        keep_raw: keep the raw rows after the merge.
        keep_files: keep the downloaded files after the merge.
        accept: merge versions that are suspect, too.
        allow_empty: land files with zero rows, too.
        force: land and merge each month again, even if its version is there.
        marts: build the marts of each month.
    """

    keep_raw: bool = False
    keep_files: bool = False
    accept: bool = False
    allow_empty: bool = False
    force: bool = False
    marts: bool = True


def run_months(
    settings: Settings, months: Sequence[Month], reporter: Reporter, options: RunOptions
) -> Iterator[MonthRun]:
    """Run months end to end. One that fails doesn't stop the others.

    Network, loader and database work at the same time: while a month is merged, the next one lands
    and the one after that is downloaded.

    Args:
        settings: the settings.
        months: the months, in the order in which to run them.
        reporter: where to show progress.
        options: the options.

    Yields:
        One record a month, in their order.
    """
    places = [_Place()]
    for _ in months:
        places.append(_Place(ahead=places[-1]))
    with (
        reporter.months(len(months)) as count_month,
        closing(DbtRunner(settings)) as dbt,
        interrupts.at_stop(dbt.stop),
        ThreadPoolExecutor(len(_STAGES)) as threads,
    ):
        run = _Run(settings, reporter, options, dbt)
        for done in threads.map(run.month, months, places[1:]):
            yield done
            count_month()  # after it is recorded: the command may be stopped at any moment


def build_marts(
    settings: Settings,
    warehouse: Warehouse,
    versions: Sequence[FileVersion],
    reporter: Reporter,
) -> Iterator[FileVersion]:
    """Build the marts of merged months, one month at a time.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        versions: the merged versions whose marts to build, in this order.
        reporter: where to show progress.

    Yields:
        Each version, when its marts are built.
    """
    with (
        reporter.months(len(versions)) as count_month,
        closing(DbtRunner(settings)) as dbt,
        interrupts.at_stop(dbt.stop),
    ):
        for version in versions:
            with warehouse.build_lock(reporter):
                dbt.build(
                    version.dataset, version.file_month, version.file_rows, reporter, merge=False
                )
            yield version
            count_month()


class _Place:
    """A month's place in the line: it enters a stage when the month ahead has left it."""

    def __init__(self, ahead: "_Place | None" = None) -> None:
        self._ahead = ahead
        self._left = {stage: threading.Event() for stage in _STAGES}
        if ahead is None:
            for left in self._left.values():
                left.set()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self._ahead:
            self._ahead._left[name].wait()
        yield
        self._left[name].set()

    def leave(self) -> None:
        """Pass the stages that are left, so that the months behind can go on."""
        for name in _STAGES:
            with self.stage(name):
                pass


@dataclass(frozen=True)
class _Run:
    """Runs one month."""

    settings: Settings
    reporter: Reporter
    options: RunOptions
    dbt: DbtRunner

    def month(self, month: Month, place: _Place) -> MonthRun:
        """Run a month; a failure is in the record that is returned."""
        started = time.monotonic()
        try:
            # A connection of its own: other months run at the same time.
            with closing(connect_warehouse(self.settings)) as warehouse:
                done = self._month(warehouse, month, place)
        except LoaderError as error:
            done = MonthRun(*month, "failed", error=error)
        finally:
            place.leave()
        return replace(done, seconds=round(time.monotonic() - started, 1))

    def _month(self, warehouse: Warehouse, month: Month, place: _Place) -> MonthRun:
        with ExitStack() as held:
            with place.stage("download"):
                held.enter_context(warehouse.lock(*month))
                state = read_state(warehouse, *month)
                if self.options.force:
                    state = replace(state, landed=None)
                file = fetch_month(
                    self.settings, state, self.reporter, allow_empty=self.options.allow_empty
                )
            with place.stage("land"):
                if file:
                    self.dbt.start()  # it is ready to build when the file has landed
                landing = land_month(
                    self.settings,
                    warehouse,
                    state,
                    file,
                    self.reporter,
                    keeps_rows=self.options.keep_raw,
                )
                landed = self._accepted(warehouse, landing.landed)
            is_new = state.merged is None or state.merged.sha256 != landed.sha256
            # Columns that the contract doesn't know are in the raw table only.
            drops_raw = not self.options.keep_raw and not landed.unknown_columns
            with place.stage("merge"):
                is_merged = (
                    self.options.force
                    or is_new
                    # Raw rows that should be gone: an earlier run was stopped after the merge.
                    or (drops_raw and warehouse.has_raw_rows(*month))
                )
                warnings: Warnings = {}
                if is_merged:
                    merged, warnings = self._merge(warehouse, landed, drops_raw)
                else:
                    merged = _reconcile(warehouse, landed, is_counted=False)
                    if drops_raw and landed.raw_dropped_at is None:
                        warehouse.drop_raw(*month)  # a crash has emptied them
                    self._discard_download(month)  # that of an earlier run, which was stopped
        billed = warehouse.bytes_billed(merged.invocation_id if is_merged else None)
        return MonthRun(
            *month,
            "merged" if is_merged else "nothing to do",
            rows=merged.table_rows,
            rows_added=(merged.rows_added or 0) if is_new else 0,
            rows_removed=(merged.rows_removed or 0) if is_new else 0,
            rows_unchanged=(merged.rows_unchanged if is_new else merged.table_rows) or 0,
            warnings=warnings,
            bytes_billed=billed,
            dollars=None if billed is None else billed / 2**40 * self.settings.price_per_tib,
        )

    def _accepted(self, warehouse: Warehouse, landed: FileVersion) -> FileVersion:
        """Refuse a suspect version, unless the user accepts it."""
        if not landed.suspect:
            return landed
        if not self.options.accept:
            raise ReconciliationError(f"{_label(landed)}: {describe_suspicion(landed)}")
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
        with warehouse.build_lock(self.reporter):
            warnings = self.dbt.build(
                landed.dataset,
                landed.file_month,
                landed.file_rows,
                self.reporter,
                marts=self.options.marts,
            )
            merged = _reconcile(warehouse, landed, is_counted=True)
            self._discard_download((landed.dataset, landed.file_month))
            if drops_raw:  # last: while they are there, `run --all` doesn't skip the month
                warehouse.drop_raw(landed.dataset, landed.file_month)
        for warning in warnings.items():
            self.reporter.say(f"{_label(landed)}  warning: {describe_warning(*warning)}")
        return merged, warnings


def _reconcile(warehouse: Warehouse, landed: FileVersion, *, is_counted: bool) -> FileVersion:
    """Compare the file, the ledger and the table, which a build's rows_reconcile has counted."""
    merged = current_versions(warehouse).get((landed.dataset, landed.file_month))
    if merged is None or merged.sha256 != landed.sha256:
        raise ReconciliationError(
            f"{_label(landed)}: the ledger doesn't hold the version that landed; run the command"
            " again"
        )
    counts = {
        "in the file": landed.file_rows,
        "landed": merged.landed_rows,
        "merged": merged.table_rows,
    }
    if not is_counted:
        counts["in the table"] = warehouse.table_rows(landed.dataset, landed.file_month)
    if len(set(counts.values())) != 1:
        rows = ", ".join(f"{count:,} {where}" for where, count in counts.items())
        raise ReconciliationError(
            f"{_label(landed)}: rows don't add up: {rows}; run the command again, and report it"
            " if it stays"
        )
    return merged


def _label(landed: FileVersion) -> str:
    return f"{landed.dataset} {format_month(landed.file_month)}"
