"""What came out: figures, tables, result.json; `python -m benchmarks.report` is for the docs."""

import json
import os
import platform
import re
import statistics
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

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
    "official_ms": "of these marts, what TLC's own count and hours without trips add",
    "mirror_ratio": "`mirror` ÷ a plain copy of the files, which verifies nothing",
    "bytes_a_row": "a row of month 1 at rest, its index included",
    "written_ratio": "what the disk wrote for one `run` ÷ the finished month",
    "room_ratio": "room on the disk that one `run` took, at the most ÷ the finished month",
    "first_scan_dirtied": "the share of a month's pages that the first query after `run` changes",
    "server_seconds_a_million": "seconds of a core on the server for a million rows of month 1",
    "peak_mb": "memory of loader and dbt together, at its highest in any month",
    "drift": "the limit at the end of the months ÷ the limit before: what the machine did",
}


def header(server: Server, rows: int, months: int) -> dict[str, Any]:
    """Describe the run: machine, versions, rows of a month, months that ours loads."""
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
    """Make the figures that are asked for of those that were measured: medians of repeats.

    With fewer than 13 months, `speedup_12_months` is that of the replaced flow's last one.
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
        "official_ms": _median(first["official"], "ms"),
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
    """Write FOLDER/result.json, and show what came out."""
    path = folder / "result.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print("\n\n".join([_surroundings(result), *tables(result)]), path, sep="\n\n")


def table(title: str, columns: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown; columns of figures are aligned to the right."""
    sides = ""
    for cells in zip(*rows, strict=True):
        digits = [re.sub(r"[,.-]", "", cell) for cell in cells]
        sides += "|--:" if all(cell.isdigit() or not cell for cell in digits) else "|---"
    lines = [f"| {' | '.join(row)} |" for row in (columns, *rows)]
    return "\n".join([f"**{title}**", "", lines[0], f"{sides}|", *lines[1:]])


def figures_table(found: dict[str, Any], figures: dict[str, str]) -> str:
    """Return a table of those figures that are there, and what they say."""
    rows = [[name, _shown(found[name]), text] for name, text in figures.items() if name in found]
    return table("Figures", ["figure", "value", "what it is"], rows)


def _shown(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.2f}"


def tables(result: dict[str, Any]) -> list[str]:
    """Lay the result out: the figures, then the tables behind them."""
    first = result["first_month"]
    work = [
        *(("`load`", first["load"], "seconds"), ("`dbt build`", first["build"], "seconds")),
        ("`run`: both, in one", first["run"], "seconds"),
        ("limit: COPY binary", first["limit"], "copy"),
        ("limit: COPY binary, frozen, without WAL", first["limit"], "copy_frozen"),
        ("limit: create table as", first["limit"], "ctas"),
        ("limit: the same with our id", first["limit"], "ctas_id"),
    ]
    done = [
        [
            *(name, f"{_median(figures, key):,.1f}"),
            *([f"{_median(figures, 'wal_mb'):,.1f}"] if key == "seconds" else [""]),
            *([f"{_median(figures, 'peak_mb'):,.0f}"] if key == "seconds" else [""]),
        ]
        for name, figures, key in work
    ]
    run = sorted(first["run"], key=lambda one: one["seconds"])[len(first["run"]) // 2]
    stages = run["stages"] | {f"dbt: {name}": seconds for name, seconds in run["nodes"].items()}
    found = [
        figures_table(result, _FIGURES),
        table("Month 1 on an empty warehouse", ["work", "seconds", "WAL MB", "peak MB"], done),
        table(
            "Where the time of that `run` goes",
            ["stage", "seconds"],
            [[name, f"{seconds:,.1f}"] for name, seconds in stages.items()],
        ),
        _months_table(result),
    ]
    if "peers" in result:
        found.append(_landing_table(result))
    mirror = result["mirror"]
    names = {"`mirror`": "mirror", "`mirror`, nothing changed": "again", "plain copy": "copy"}
    rows = [[name, f"{statistics.median(mirror[key]):,.2f}"] for name, key in names.items()]
    title = f"Mirror: {mirror['files']} files, {mirror['megabytes']:,.1f} MB"
    return [*found, table(title, ["work", "seconds"], rows)]


def _months_table(result: dict[str, Any]) -> str:
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
    return table("Month after month", [*columns, "WAL MB", "all tables MB"], rows)


def _landing_table(result: dict[str, Any]) -> str:
    limit, load = result["first_month"]["limit"], result["first_month"]["load"]
    peak = f"{_median(load, 'peak_mb'):,.0f}"
    rows = [
        ["the server's own COPY binary", f"{_median(limit, 'copy'):,.1f}", "all", ""],
        ["ours: `load`", f"{_median(load, 'inside'):,.1f}", "all", peak],
    ]
    for one in result["peers"]:
        if "not_run" in one:
            rows.append([one["peer"], "-", f"not run: {one['not_run']}", ""])
            continue
        some = one["measured_rows"]
        scaled = "all" if some == result["rows"] else f"{some:,}, scaled"
        rows.append([one["peer"], f"{one['seconds']:,.1f}", scaled, f"{one['peak_mb']:,}"])
    return table("Landing", ["who", "seconds", "rows measured", "peak MB"], rows)


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


def months_svg(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], rows: int) -> str:
    """Draw the seconds of month 1, 2, 3 …: ours, and the replaced flow's that were timed."""
    curves = {"the replaced flow (dots: timed)": theirs, "nyc_tlc": ours}
    values = [
        {"flow": name, "month": one["month"], "seconds": one["seconds"]}
        for name, curve in curves.items()
        for one in curve
    ]
    # Readable on white and on black alike: a picture in a README doesn't know which it stands on.
    scale = alt.Scale(domain=list(curves), range=["#e5661b", "#2f81f7"])
    grey = {name: "#848d97" for name in ("labelColor", "titleColor")}
    axis = alt.Axis(tickMinStep=1, title="months in the table, this one included")
    chart = (
        alt.Chart(alt.Data(values=values), title=f"Seconds to load one month of {rows:,} trips")
        .mark_line(point=True)
        .encode(
            alt.X("month:Q", axis=axis),
            alt.Y("seconds:Q", title=None),
            alt.Color("flow:N", scale=scale, legend=alt.Legend(title=None, orient="top")),
            alt.StrokeDash("flow:N", scale=alt.Scale(domain=list(curves), range=[[4, 4], [1, 0]])),
        )
        .properties(width=640, height=280, background="transparent")
        .configure_axis(**grey, gridOpacity=0.25)
        .configure_legend(**grey)
        .configure_title(color=grey["titleColor"], anchor="start")
    )
    return vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[])


def _replace(page: Path, *parts: str) -> None:
    """Replace what a page has between the marks."""
    before, _, rest = page.read_text().partition(_BEGIN)
    text = "\n\n".join(parts)
    page.write_text(f"{before}{_BEGIN}\n{text}\n\n{_END}{rest.partition(_END)[2]}")


def refresh_docs() -> None:
    """Put the last run's figures and plot into docs/, and its tables into benchmarks/results.md."""
    result = json.loads((FOLDER / "result.json").read_text())
    figures, *others = tables(result)
    run = textwrap.fill(f"{_surroundings(result)}.", 100)
    _replace(_PAGE, run, figures)
    _replace(_TABLES, run, *others)
    _PLOT.parent.mkdir(exist_ok=True)
    _PLOT.write_text(months_svg(result["months"], result["replaced_flow"], result["rows"]))


if __name__ == "__main__":
    refresh_docs()
