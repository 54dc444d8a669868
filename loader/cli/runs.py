"""The record of runs, from what other steps wrote: the ledger, and dbt's results."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loader.building.runner import (
    describe_failure,
    describe_warning,
    name_warning,
    rows_by_column,
)
from loader.building.worker import NodeResult
from loader.calendar import Month, parse_month
from loader.cli.tables import Row
from loader.errors import WarehouseError
from loader.run import MonthRun, Result
from loader.settings import Settings
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion


@dataclass(frozen=True)
class _Build:
    """What dbt wrote of a build, in run_results_….json."""

    month: Month
    invocation_id: str
    finished_at: dt.datetime
    seconds: float
    nodes: list[NodeResult]


def read_runs(settings: Settings, warehouse: Warehouse) -> list[MonthRun]:
    """Read all runs, the newest first: months that were merged, or whose build failed."""
    builds = {(b.invocation_id, b.month): b for b in _builds(settings.local_dir / "dbt")}
    runs, merged = [], set()
    for version in warehouse.merged_versions():
        key = version.invocation_id or "", version.month
        merged.add(key)
        runs.append(_merged(version, builds.get(key)))
    for key, build in builds.items():
        failed = [node for node in build.nodes if node.status in ("error", "fail")]
        if failed and key not in merged:
            error = WarehouseError(describe_failure(failed[0]))
            runs.append(
                MonthRun(build.month, Result.FAILED, error=error, finished_at=build.finished_at)
            )
    return sorted(runs, key=lambda run: run.finished_at or dt.datetime.min, reverse=True)


def json_of_record(run: MonthRun) -> Row:
    """Return what `nyc-tlc runs` tells programs."""
    return {
        "dataset": run.month.dataset,
        "month": run.month.text,
        "finished_at": run.finished_at,
        "state": run.state,
        "rows": run.rows,
        "rows_added": run.rows_added,
        "rows_removed": run.rows_removed,
        "land_seconds": run.land_seconds,
        "build_seconds": run.build_seconds,
        "rows_per_second": run.rows_per_second,
        "warnings": [describe_warning(*warning) for warning in run.warnings.items()],
        "error": str(run.error) if run.error else None,
    }


def row_of_record(run: MonthRun) -> Row:
    """Return the row of a run in the table of `nyc-tlc runs`."""
    return {
        "finished (UTC)": run.finished_at,
        "dataset": run.month.dataset,
        "month": run.month.text,
        "state": run.state,
        "rows": run.rows,
        "added": run.rows_added,
        "removed": run.rows_removed,
        "land s": run.land_seconds,
        "build s": run.build_seconds,
        "rows/s": run.rows_per_second,
        "notes": run.error or ", ".join(map(name_warning, run.warnings)),
    }


def json_of_result(run: MonthRun) -> Row:
    """Return what `nyc-tlc run` and `sync` tell programs of a month."""
    return {
        "dataset": run.month.dataset,
        "month": run.month.text,
        "state": run.state,
        "seconds": run.seconds,
        "rows": run.rows,
        "rows_added": run.rows_added or 0,
        "rows_removed": run.rows_removed or 0,
        "rows_unchanged": run.rows_unchanged or 0,
        "warnings": run.warnings,
        "bytes_billed": run.bytes_billed,
        "dollars": run.dollars,
        "error": str(run.error) if run.error else None,
        "changed": run.state == Result.MERGED,
    }


def counts_of_result(run: MonthRun) -> Row:
    """Return the counts of a month in the tables of `nyc-tlc run` and `sync`."""
    has_failed = run.error is not None
    return {
        "rows": None if has_failed else run.rows,
        "added": None if has_failed else run.rows_added,
        "removed": None if has_failed else run.rows_removed,
        "unchanged": None if has_failed else run.rows_unchanged,
        "seconds": run.seconds,
    }


def _merged(version: FileVersion, build: _Build | None) -> MonthRun:
    land = None
    if version.load_id and version.landed_at:  # dlt names a load by the time at which it began
        began = dt.datetime.fromtimestamp(float(version.load_id), dt.UTC).replace(tzinfo=None)
        land = max(round((version.landed_at - began).total_seconds(), 1), 0.0)
    replaced = Result.REMOVED if version.removed_at else Result.REPLACED
    return MonthRun(
        version.month,
        Result.MERGED if version.is_current else replaced,
        rows=version.table_rows,
        rows_added=version.rows_added,
        rows_removed=version.rows_removed,
        warnings={
            node.name: rows_by_column(node)
            for node in (build.nodes if build else [])
            if node.status == "warn"
        },
        finished_at=version.merged_at,
        land_seconds=land,
        build_seconds=round(build.seconds, 1) if build else None,
    )


def _builds(folder: Path) -> Iterator[_Build]:
    for path in folder.glob("run_results_*_*.json"):
        dataset, month = path.stem.removeprefix("run_results_").split("_")[:2]
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:  # a run that was killed was about to write it
            continue
        yield _Build(
            Month(dataset, parse_month(month)),
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
