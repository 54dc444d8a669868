"""What came out: ratios, a table, result.json."""

import json
import os
import platform
import statistics
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.server import Server


def header(server: Server, rows: int, months: int) -> dict[str, Any]:
    """Describe the run: machine, versions, size.

    Args:
        server: the run's server.
        rows: rows of a month.
        months: months that ours loads.

    Returns:
        The result's first entries.
    """
    packages = ("dbt-core", "dbt-postgres", "dlt", "pgpq", "pyarrow")
    return {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {
            "python": platform.python_version(),
            "postgres": server.scalar("show server_version"),
            **{name: version(name) for name in packages},
        },
        "rows": rows,
        "months_loaded": months,
    }


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """Make the figures that are asked for of those that were measured.

    Args:
        result: what was measured.

    Returns:
        The figures, medians where there are repeats. `speedup_12_months` is of the replaced flow's
        last month: `speedup_12_months_there` is how many months were there, twelve in a full run.
    """
    first, months, theirs = result["first_month"], result["months"], result["replaced_flow"]
    copy = statistics.median(one["copy"] for one in first["limit"])
    limit = statistics.median(one["copy"] + one["ctas"] for one in first["limit"])
    limit_id = statistics.median(one["copy"] + one["ctas_id"] for one in first["limit"])
    run = _median(first["run"], "seconds")
    unchanged, after = _median(result["unchanged"], "seconds"), result["limit_after"]
    ends = 3 if len(months) >= 6 else 1
    last = theirs[-1]["month"]
    peaks = [*first["load"], *first["build"], *first["run"], *months]
    figures = {
        "ratio_to_limit": run / limit,
        "ratio_to_limit_with_id": run / limit_id,
        "speedup_empty": theirs[0]["seconds"] / run,
        "speedup_12_months": theirs[-1]["seconds"] / months[last - 1]["seconds"],
        "speedup_12_months_there": last - 1,
        "landing_ratio": _median(first["load"], "inside") / copy,
        "landing_process_ratio": _median(first["load"], "seconds") / copy,
        "flatness": _median(months[-ends:], "seconds") / _median(months[:ends], "seconds"),
        "unchanged_seconds": unchanged,
        # A run that has few rows to merge, less a run that has nothing to do.
        "dbt_overhead_seconds": result["small"]["run"]["seconds"] - unchanged,
        "peak_mb": max(one["peak_mb"] for one in peaks),
        # How much slower the machine had become by the end of the months.
        "drift": (after["copy"] + after["ctas"]) / limit,
    }
    if "backfill" in result:
        backfill = result["backfill"]
        figures["backfill_month_seconds"] = backfill["seconds"] / backfill["months"]
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def write(result: dict[str, Any], folder: Path) -> None:
    """Write result.json, and show what came out.

    Args:
        result: the result.
        folder: where to write.
    """
    path = folder / "result.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    console = Console(width=None if os.isatty(1) else 120)
    machine = result["machine"]
    console.print(
        f"{result['rows']:,} rows a month, {result['months_loaded']} months;"
        f" {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB\n",
        highlight=False,
    )
    for table in tables(result):
        console.print(table)
        console.print()
    console.print(f"{path}", highlight=False)


def tables(result: dict[str, Any]) -> list[Table]:
    """Lay the result out.

    Args:
        result: the result.

    Returns:
        Tables for a terminal.
    """
    first = result["first_month"]
    summary = Table(title="Figures", box=None, title_justify="left")
    summary.add_column("")
    summary.add_column("", justify="right")
    for name, value in ratios(result).items():
        summary.add_row(name, f"{value:,.2f}")

    work = Table(title="Month 1, empty warehouse (medians)", box=None, title_justify="left")
    for name in ("", "seconds", "WAL MB", "peak MB"):
        work.add_column(name, justify="left" if not name else "right")
    for name, key in (("load", "load"), ("dbt build", "build"), ("run", "run")):
        work.add_row(
            name,
            f"{_median(first[key], 'seconds'):,.1f}",
            f"{_median(first[key], 'wal_mb'):,.1f}",
            f"{_median(first[key], 'peak_mb'):,.0f}",
        )
    work.add_row("landing alone", f"{_median(first['load'], 'inside'):,.1f}")
    for name, key in (
        ("limit: COPY binary", "copy"),
        ("limit: create table as", "ctas"),
        ("limit: the same with our id", "ctas_id"),
    ):
        work.add_row(name, f"{_median(first['limit'], key):,.1f}")

    months = Table(title="Month after month", box=None, title_justify="left")
    for name in ("month", "ours s", "WAL MB", "theirs s", "copy", "update", "merge", "WAL MB"):
        months.add_column(name, justify="right")
    theirs = {one["month"]: one for one in result["replaced_flow"]}
    for one in result["months"]:
        other = theirs.get(one["month"])
        names = ("seconds", "copy", "update", "merge", "wal_mb")
        months.add_row(
            str(one["month"]),
            f"{one['seconds']:,.1f}",
            f"{one.get('wal_mb', 0):,.1f}",
            *(f"{other[name]:,.1f}" if other else "" for name in names),
        )
    return [summary, work, months]


def _median(figures: list[dict[str, Any]], name: str) -> float:
    return statistics.median(one.get(name, 0) for one in figures)


def _processor() -> str:
    """Return the processor's name, as Linux has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
