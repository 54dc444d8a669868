"""A month end to end: landed, merged and tested by dbt, reconciled, cleaned up after."""

import datetime as dt
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from loader.errors import LoaderError, ReconciliationError
from loader.land import Landing, land_month
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


def run_months(
    settings: Settings,
    warehouse: Warehouse,
    requests: Iterable[tuple[str, dt.date]],
    reporter: Reporter,
    *,
    keep_raw: bool = False,
    keep_files: bool = False,
) -> list[MonthRun]:
    """Do months end to end. One that fails doesn't stop the others.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        requests: datasets and file months, in the order in which to do them.
        reporter: where to show progress.
        keep_raw: keep the raw rows after the merge.
        keep_files: keep the downloaded files after the merge.

    Returns:
        What was done, one record a request.
    """
    done = []
    for dataset, month in requests:
        started = time.monotonic()
        try:
            with warehouse.lock(dataset, month):
                done.append(
                    _run_month(settings, warehouse, dataset, month, reporter, keep_raw, keep_files)
                )
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
    keep_raw: bool,
    keep_files: bool,
) -> MonthRun:
    started = time.monotonic()
    landing = land_month(settings, warehouse, dataset, month, reporter)
    entry = merged_versions(warehouse).get((dataset, month))
    # Columns that the contract doesn't know are in the raw table only.
    drops_raw = not keep_raw and not landing.landed.unknown_columns
    build: BuildResult | None = None
    if (
        entry is None
        or entry["sha256"] != landing.landed.sha256
        # Raw rows that should be gone: an earlier run merged them, and failed after that.
        or (drops_raw and warehouse.has_raw_rows(dataset, month))
    ):
        build = build_months(settings, dataset, [month], reporter)
    entry = _reconcile(warehouse, landing)
    if build:
        for name, rows in build.warnings.items():
            reporter.say(f"{dataset} {format_month(month)}  warning: {name} ({rows})")
    if build and drops_raw:
        warehouse.drop_raw(dataset, month)
    if landing.download and not keep_files:
        landing.download.unlink(missing_ok=True)
        landing.download.with_name(f"{landing.download.name}.version").unlink(missing_ok=True)
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
