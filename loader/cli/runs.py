"""The record of runs, from what other steps wrote: the ledger, and dbt's results."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loader.building.runner import describe_failure, describe_warning, rows_by_column
from loader.building.worker import NodeResult
from loader.calendar import format_month
from loader.settings import Settings
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion


@dataclass(frozen=True)
class Run:
    """A month that was merged, or whose build failed.

    Attributes:
        dataset: dataset of the month.
        month: file month, YYYY-MM.
        finished_at: when it was merged, or failed (UTC).
        state: merged, replaced (by a later version), removed, or failed.
        rows: rows of the month; None when it failed.
        rows_added: rows that the version before didn't have.
        rows_removed: rows that only the version before had.
        land_seconds: from the start of dlt's load to the commit of its rows.
        build_seconds: of dbt: merge, tests and marts. None when it ran on another machine.
        rows_per_second: in both.
        warnings: what tests found, as people read it.
        error: why it failed.
    """

    dataset: str
    month: str
    finished_at: dt.datetime | None
    state: str
    rows: int | None = None
    rows_added: int | None = None
    rows_removed: int | None = None
    land_seconds: float | None = None
    build_seconds: float | None = None
    rows_per_second: int | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class _Build:
    """What dbt wrote of a build, in run_results.json."""

    dataset: str
    month: str
    invocation_id: str
    finished_at: dt.datetime
    seconds: float
    nodes: list[NodeResult]


def read_runs(settings: Settings, warehouse: Warehouse) -> list[Run]:
    """Read all runs, the newest first.

    Args:
        settings: the folder of dbt's results on this machine.
        warehouse: the warehouse.
    """
    builds = list(_builds(settings.local_dir / "dbt"))
    by_invocation = {(b.invocation_id, b.dataset, b.month): b for b in builds}
    runs, merged = [], set()
    for version in warehouse.merged_versions():
        month = format_month(version.file_month)
        key = version.invocation_id or "", version.dataset, month
        merged.add(key)
        runs.append(_merged(version, by_invocation.get(key)))
    for key, build in by_invocation.items():
        failed = [node for node in build.nodes if node.status in ("error", "fail")]
        if failed and key not in merged:
            error = describe_failure(failed[0])
            runs.append(Run(build.dataset, build.month, build.finished_at, "failed", error=error))
    return sorted(runs, key=lambda run: run.finished_at or dt.datetime.min, reverse=True)


def table_of_runs(runs: Sequence[Run]) -> list[list[str]]:
    """Return runs as a table to print: a row of headings, and a row for each run.

    Args:
        runs: the runs.
    """
    columns = ["finished (UTC)", "dataset", "month", "state", "rows", "added", "removed"]
    columns += ["land s", "build s", "rows/s", "notes"]
    return [
        columns,
        *(
            [
                "" if run.finished_at is None else f"{run.finished_at:%Y-%m-%d %H:%M:%S}",
                *(run.dataset, run.month, run.state),
                *map(_count, (run.rows, run.rows_added, run.rows_removed)),
                *map(_seconds, (run.land_seconds, run.build_seconds)),
                _count(run.rows_per_second),
                run.error or ("unusual values" if run.warnings else ""),
            ]
            for run in runs
        ),
    ]


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _merged(version: FileVersion, build: _Build | None) -> Run:
    land = build_seconds = rate = None
    if version.load_id and version.landed_at:  # dlt names a load by the time at which it began
        began = dt.datetime.fromtimestamp(float(version.load_id), dt.UTC).replace(tzinfo=None)
        land = max(round((version.landed_at - began).total_seconds(), 1), 0.0)
    if build:
        build_seconds = round(build.seconds, 1)
        if land is not None and version.table_rows is not None and land + build_seconds:
            rate = round(version.table_rows / (land + build_seconds))
    return Run(
        version.dataset,
        format_month(version.file_month),
        version.merged_at,
        "merged" if version.is_current else "removed" if version.removed_at else "replaced",
        rows=version.table_rows,
        rows_added=version.rows_added,
        rows_removed=version.rows_removed,
        land_seconds=land,
        build_seconds=build_seconds,
        rows_per_second=rate,
        warnings=[
            describe_warning(node.name, rows_by_column(node))
            for node in (build.nodes if build else [])
            if node.status == "warn"
        ],
    )


def _builds(folder: Path) -> Iterator[_Build]:
    for path in folder.glob("run_results_*_*.json"):
        dataset, month = path.stem.removeprefix("run_results_").split("_")[:2]
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # a run that was killed was about to write it
            continue
        yield _Build(
            dataset,
            month,
            found["metadata"]["invocation_id"],
            dt.datetime.fromisoformat(found["metadata"]["generated_at"]).replace(tzinfo=None),
            found["elapsed_time"],
            [
                NodeResult(
                    result["unique_id"],
                    result["status"],
                    result["failures"],
                    result["message"],
                    str(result["adapter_response"].get("_message", "")),
                )
                for result in found["results"]
            ],
        )
