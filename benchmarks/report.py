"""What came out: figures, tables, result.json; `python -m benchmarks.report` is for the docs."""

import json
import os
import platform
import statistics
import textwrap
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from benchmarks.plot import months_svg
from benchmarks.server import Server
from loader.settings import PROJECT_DIR

FOLDER = PROJECT_DIR / ".local" / "bench"
_PAGE = PROJECT_DIR / "docs" / "performance.md"
_PLOT = PROJECT_DIR / "docs" / "images" / "months.svg"
_TABLES = PROJECT_DIR / "benchmarks" / "results.md"
_BEGIN, _END = "<!-- begin of the results -->\n", "<!-- end of the results -->\n"

#: What each figure says.
_FIGURES = {
    "ratio_to_limit": "one `run` of month 1, file to tested table ÷ COPY binary + create table as",
    "ratio_to_limit_with_id": "the same ÷ COPY binary + create table as with our id",
    "ratio_to_frozen_limit": "the same ÷ COPY binary frozen, without WAL + create table as",
    "speedup_empty": "the replaced flow's month 1 ÷ ours",
    "speedup_12_months": "the same with twelve months there",
    "speedup_12_months_there": "how many were there in this run",
    "landing_ratio": "`load`, from the file to committed rows ÷ COPY binary of these rows",
    "landing_to_frozen_copy": "the same ÷ that COPY frozen, without WAL",
    "landing_process_ratio": "the same with Python's start",
    "landing_to_fastest_peer": "the fastest peer's landing ÷ ours",
    "flatness": "last month ÷ first (medians of three, if there are six)",
    "unchanged_seconds": "`run` of a month that has not changed",
    "dbt_overhead_seconds": "`run` of one more landed month of 1,000 rows, less the line above",
    "backfill_month_seconds": "a month, when one `run` does several",
    "marts_to_run": "the marts of month 1, by `nyc-tlc marts` ÷ one `run` without them",
    "mirror_ratio": "`mirror` ÷ a plain copy of the files, which verifies nothing",
    "bytes_a_row": "a row of month 1 at rest, its index included",
    "written_ratio": "what the disk wrote for one `run` ÷ the finished month",
    "room_ratio": "room on the disk that one `run` took, at the most ÷ the finished month",
    "first_scan_dirtied": "the share of a month's pages that the first query after `run` changes",
    "server_seconds_a_million": "seconds of a core on the server for a million rows of month 1",
    "peak_mb": "memory of loader and dbt together, at its highest in any month",
    "drift": "the limit at the end of the months ÷ the limit before: what the machine did",
}


@dataclass(frozen=True)
class _Section:
    title: str
    columns: list[str]
    rows: list[list[str]]

    def justify(self, index: int) -> Literal["left", "right"]:
        """Say how a column stands: figures to the right."""
        cells = (row[index].replace(",", "").replace(".", "") for row in self.rows)
        return "right" if all(cell in ("", "-") or cell.isdigit() for cell in cells) else "left"


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
        The figures, medians where there are repeats. With fewer than 13 months,
        `speedup_12_months` is that of the replaced flow's last one.
    """
    first, months, theirs = result["first_month"], result["months"], result["replaced_flow"]
    limit = _median(first["limit"], "copy", "ctas")
    run, landing = _median(first["run"], "seconds"), _median(first["load"], "inside")
    copy, unchanged = _median(first["limit"], "copy"), _median(result["unchanged"], "seconds")
    ends = 3 if len(months) >= 6 else 1
    last = theirs[-1]["month"]
    figures = {
        "ratio_to_limit": run / limit,
        "ratio_to_limit_with_id": run / _median(first["limit"], "copy", "ctas_id"),
        "ratio_to_frozen_limit": run / _median(first["limit"], "copy_frozen", "ctas"),
        "speedup_empty": theirs[0]["seconds"] / run,
        "speedup_12_months": theirs[-1]["seconds"] / months[last - 1]["seconds"],
        "speedup_12_months_there": last - 1,
        "landing_ratio": landing / copy,
        "landing_to_frozen_copy": landing / _median(first["limit"], "copy_frozen"),
        "landing_process_ratio": _median(first["load"], "seconds") / copy,
        "flatness": _median(months[-ends:], "seconds") / _median(months[:ends], "seconds"),
        "marts_to_run": _median(first["marts"], "seconds") / run,
        "bytes_a_row": _median(first["run"], "size_mb") * 1e6 / result["rows"],
        "written_ratio": _median(first["run"], "disk_mb") / _median(first["run"], "size_mb"),
        "room_ratio": _median(first["run"], "room_mb") / _median(first["run"], "size_mb"),
        "first_scan_dirtied": _median(first["scan"], "dirtied"),
        "server_seconds_a_million": _median(first["run"], "server_seconds") * 1e6 / result["rows"],
        "unchanged_seconds": unchanged,
        "dbt_overhead_seconds": result["small"]["run"]["seconds"] - unchanged,
        "peak_mb": max(
            one["peak_mb"] for one in [*first["load"], *first["build"], *first["run"], *months]
        ),
        "mirror_ratio": statistics.median(result["mirror"]["mirror"])
        / statistics.median(result["mirror"]["copy"]),
        "drift": _median([result["limit_after"]], "copy", "ctas") / limit,
    }
    if "backfill" in result:
        backfill = result["backfill"]
        figures["backfill_month_seconds"] = backfill["seconds"] / backfill["months"]
    peers = [one["seconds"] for one in result.get("peers", []) if "seconds" in one]
    if peers:
        figures["landing_to_fastest_peer"] = min(peers) / landing
    return {name: float(f"{figures[name]:.4g}") for name in _FIGURES if name in figures}


def write(result: dict[str, Any], folder: Path) -> None:
    """Write result.json, and show what came out.

    Args:
        result: the result.
        folder: where to write.
    """
    path = folder / "result.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    # A pipe has no width: the tables take what they need.
    console = Console(width=None if os.isatty(1) else 200)
    console.print(f"{_surroundings(result)}\n", highlight=False)
    for section in _sections(result):
        table = Table(title=section.title, box=None, title_justify="left", header_style="bold")
        for index, name in enumerate(section.columns):
            table.add_column(name, justify=section.justify(index), no_wrap=True)
        for row in section.rows:
            table.add_row(*(cell.replace("`", "") for cell in row))
        console.print(table)
        console.print()
    console.print(str(path), highlight=False, soft_wrap=True)


def _sections(result: dict[str, Any]) -> list[_Section]:
    """Lay the result out."""
    first = result["first_month"]
    sections = [
        _Section(
            "Figures",
            ["figure", "value", "what it is"],
            [
                [name, f"{result[name]:,.2f}", text]
                for name, text in _FIGURES.items()
                if name in result
            ],
        ),
        _Section(
            "Month 1 on an empty warehouse",
            ["work", "seconds", "WAL MB", "peak MB"],
            [
                *(
                    [
                        name,
                        f"{_median(first[key], 'seconds'):,.1f}",
                        f"{_median(first[key], 'wal_mb'):,.1f}",
                        f"{_median(first[key], 'peak_mb'):,.0f}",
                    ]
                    for name, key in (
                        ("`load`", "load"),
                        ("`dbt build`", "build"),
                        ("`run`: both, in one", "run"),
                    )
                ),
                *(
                    [name, f"{_median(first['limit'], key):,.1f}", "", ""]
                    for name, key in (
                        ("limit: COPY binary", "copy"),
                        ("limit: COPY binary, frozen, without WAL", "copy_frozen"),
                        ("limit: create table as", "ctas"),
                        ("limit: the same with our id", "ctas_id"),
                    )
                ),
            ],
        ),
    ]
    run = sorted(first["run"], key=lambda one: one["seconds"])[len(first["run"]) // 2]
    sections.append(
        _Section(
            "Where the time of that `run` goes",
            ["stage", "seconds"],
            [
                *([name, f"{seconds:,.1f}"] for name, seconds in run["stages"].items()),
                *([f"dbt: {name}", f"{seconds:,.1f}"] for name, seconds in run["nodes"].items()),
            ],
        )
    )
    theirs = {one["month"]: one for one in result["replaced_flow"]}
    rows = []
    for one in result["months"]:
        other = theirs.get(one["month"])
        names = ("seconds", "copy", "update", "merge", "wal_mb", "size_mb")
        rows.append(
            [
                *(str(one["month"]), f"{one['seconds']:,.1f}", f"{one.get('wal_mb', 0):,.1f}"),
                f"{one['size_mb']:,.0f}",
                *(f"{other[name]:,.1f}" if other else "" for name in names),
            ]
        )
    columns = ["month", "ours: s", "WAL MB", "MB", "theirs: s", "copy", "update", "merge"]
    sections.append(_Section("Month after month", [*columns, "WAL MB", "all tables MB"], rows))
    if "peers" in result:
        copied, landed = _median(first["limit"], "copy"), _median(first["load"], "inside")
        peak = _median(first["load"], "peak_mb")
        rows = [
            ["the server's own COPY binary", f"{copied:,.1f}", "all", ""],
            ["ours: `load`", f"{landed:,.1f}", "all", f"{peak:,.0f}"],
        ]
        for one in result["peers"]:
            if "not_run" in one:
                rows.append([one["peer"], "-", f"not run: {one['not_run']}", ""])
                continue
            some = one["measured_rows"]
            scaled = "all" if some == result["rows"] else f"{some:,}, scaled"
            rows.append([one["peer"], f"{one['seconds']:,.1f}", scaled, f"{one['peak_mb']:,}"])
        sections.append(_Section("Landing", ["who", "seconds", "rows measured", "peak MB"], rows))
    mirror = result["mirror"]
    sections.append(
        _Section(
            f"Mirror: {mirror['files']} files, {mirror['megabytes']:,.1f} MB",
            ["work", "seconds"],
            [
                [name, f"{statistics.median(mirror[key]):,.2f}"]
                for name, key in (
                    ("`mirror`", "mirror"),
                    ("`mirror`, nothing changed", "again"),
                    ("plain copy", "copy"),
                )
            ],
        )
    )
    return sections


def _surroundings(result: dict[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    return (
        f"{result['rows']:,} rows a month, {result['months_loaded']} months;"
        f" {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB,"
        f" {machine['system']}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
    )


def _median(figures: list[dict[str, Any]], *names: str) -> float:
    return statistics.median(sum(one.get(name, 0) for name in names) for one in figures)


def _processor() -> str:
    """Return the processor's name, as Linux has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _markdown(result: dict[str, Any], sections: list[_Section]) -> str:
    lines = [textwrap.fill(f"{_surroundings(result)}.", 100), ""]
    for section in sections:
        lines += [f"**{section.title}**", ""]
        lines.append(f"| {' | '.join(section.columns)} |")
        sides = (section.justify(index) for index in range(len(section.columns)))
        lines.append("".join("|--:" if side == "right" else "|---" for side in sides) + "|")
        lines += [f"| {' | '.join(row)} |" for row in section.rows] + [""]
    return "\n".join(lines)


def _replace(page: Path, text: str) -> None:
    """Replace what a page has between the marks."""
    before, _, rest = page.read_text().partition(_BEGIN)
    page.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.partition(_END)[2]}")


def refresh_docs() -> None:
    """Put the last run's figures and plot into docs/, and its tables into benchmarks/results.md."""
    result = json.loads((FOLDER / "result.json").read_text())
    figures, *tables = _sections(result)
    _replace(_PAGE, _markdown(result, [figures]))
    _replace(_TABLES, _markdown(result, tables))
    _PLOT.parent.mkdir(exist_ok=True)
    _PLOT.write_text(months_svg(result["months"], result["replaced_flow"], result["rows"]))


if __name__ == "__main__":
    refresh_docs()
