"""A month end to end: landed, merged and tested by dbt, reconciled, cleaned up after."""

import datetime as dt
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from loader import download
from loader.errors import LoaderError, ReconciliationError
from loader.land import Landing, land_month, suspicion
from loader.months import format_month
from loader.progress import Reporter
from loader.settings import Settings
from loader.transform import BuildResult, build_months
from loader.warehouse import Warehouse, merged_versions


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
        warnings: tests that warned, by name, with the number of rows.
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
    warnings: dict[str, int] = field(default_factory=dict)
    error: LoaderError | None = None


@dataclass(frozen=True)
class _Options:
    keep_raw: bool
    keep_files: bool
    accept: bool
    allow_empty: bool


def run_months(
    settings: Settings,
    warehouse: Warehouse,
    requests: Iterable[tuple[str, dt.date]],
    reporter: Reporter,
    *,
    keep_raw: bool = False,
    keep_files: bool = False,
    accept: bool = False,
    allow_empty: bool = False,
) -> list[MonthRun]:
    """Do months end to end. One that fails doesn't stop the others.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        requests: datasets and file months, in the order in which to do them.
        reporter: where to show progress.
        keep_raw: keep the raw rows after the merge.
        keep_files: keep the downloaded files after the merge.
        accept: merge versions that are suspect, too.
        allow_empty: land files with zero rows, too.

    Returns:
        What was done, one record a request.
    """
    done = []
    options = _Options(keep_raw, keep_files, accept, allow_empty)
    for dataset, month in requests:
        started = time.monotonic()
        try:
            with warehouse.lock(dataset, month):
                done.append(_run_month(settings, warehouse, dataset, month, reporter, options))
        except LoaderError as error:
            seconds = round(time.monotonic() - started, 1)
            done.append(MonthRun(dataset, month, "failed", seconds, error=error))
    return done


def _run_month(
    settings: Settings,
    warehouse: Warehouse,
    dataset: str,
    month: dt.date,
    reporter: Reporter,
    options: _Options,
) -> MonthRun:
    started = time.monotonic()
    landing = land_month(
        settings, warehouse, dataset, month, reporter, allow_empty=options.allow_empty
    )
    if landing.landed.suspect:
        if not options.accept:
            raise ReconciliationError(
                f"{dataset} {format_month(month)}: {suspicion(landing.landed)}"
            )
        landing = replace(landing, landed=replace(landing.landed, suspect=None))
        warehouse.touch(landing.landed)
    entry = merged_versions(warehouse).get((dataset, month))
    # Columns that the contract doesn't know are in the raw table only.
    drops_raw = not options.keep_raw and not landing.landed.unknown_columns
    build: BuildResult | None = None
    if (
        entry is None
        or entry["sha256"] != landing.landed.sha256
        # Raw rows that should be gone: an earlier run merged them, and failed after that.
        or (drops_raw and warehouse.has_raw_rows(dataset, month))
    ):
        with warehouse.build_lock(reporter):
            build = build_months(settings, dataset, [month], reporter)
            entry = _reconcile(warehouse, landing)
            if drops_raw:
                warehouse.drop_raw(dataset, month)
        for name, rows in build.warnings.items():
            reporter.say(f"{dataset} {format_month(month)}  warning: {name} ({rows})")
    else:
        entry = _reconcile(warehouse, landing)
    if not options.keep_files:
        # Whoever downloaded it: an earlier run may have been killed before this.
        download.discard(settings.local_dir / "downloads", dataset, month)
    return MonthRun(
        dataset=dataset,
        month=month,
        state="merged" if build else "nothing to do",
        seconds=round(time.monotonic() - started, 1),
        rows=entry["table_rows"],
        rows_added=entry["rows_added"] if build else 0,
        rows_removed=entry["rows_removed"] if build else 0,
        rows_unchanged=entry["rows_unchanged"] if build else entry["table_rows"],
        warnings=build.warnings if build else {},
    )


def _reconcile(warehouse: Warehouse, landing: Landing) -> dict[str, Any]:
    landed = landing.landed
    entry = merged_versions(warehouse).get((landed.dataset, landed.file_month))
    label = f"{landed.dataset} {format_month(landed.file_month)}"
    if entry is None or entry["sha256"] != landed.sha256:
        raise ReconciliationError(
            f"{label}: the ledger doesn't hold the version that landed; run the command again"
        )
    counted = warehouse.table_rows(landed.dataset, landed.file_month)
    counts = (landed.file_rows, entry["landed_rows"], entry["table_rows"], counted)
    if len(set(counts)) != 1:
        raise ReconciliationError(
            f"{label}: {counts[0]:,} rows in the file, {counts[1]:,} landed, {counts[2]:,} merged,"
            f" {counts[3]:,} in the table; run the command again, and report it if it stays"
        )
    return entry
