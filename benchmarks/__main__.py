"""`python -m benchmarks`: one run, on one server; `make bench` installs what it needs."""

import datetime as dt
import fcntl
import json
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import report
from benchmarks.check import check_month
from benchmarks.history import measure_history, show, whole_history
from benchmarks.limit import Limit, compiled_row_id
from benchmarks.mirror import measure_mirror
from benchmarks.other_datasets import measure_dataset
from benchmarks.ours import Ours
from benchmarks.peers import measure_peers
from benchmarks.reference_flow import ReferenceFlow
from benchmarks.server import BenchmarkError, Server, throwaway_server
from loader.calendar import file_name, format_month, next_month
from loader.sample import write_month

_FIRST = dt.date(2019, 1, 1)
_SMALL = dt.date(2018, 12, 1)  # a month of few rows: what is left is overhead
_BEFORE = dt.date(2018, 11, 1)
_SMALL_ROWS = 1_000
_BACKFILL = 4  # months in one command
#: Months that the replaced flow is timed at; the thirteenth finds twelve in its table.
_THEIR_MONTHS = (1, 2, 4, 8, 13)

_console = Console(stderr=True)


def main(
    rows: Annotated[int, typer.Option(min=1, help="Rows of a month; 2019's have 7.7 million.")],
    months: Annotated[int, typer.Option(min=1, help="Months that ours loads, one by one.")],
    theirs: Annotated[int, typer.Option(min=1, help="Last month of the replaced flow.")] = 13,
    repeats: Annotated[int, typer.Option(min=1, help="Repeats of the first month.")] = 3,
    peers: Annotated[Path | None, typer.Option(help="Python of the peers' environment.")] = None,
    folder: Annotated[Path, typer.Option(help="Where files and result go.")] = report.FOLDER,
    dataset: Annotated[
        str, typer.Option(help="Another than yellow: ours and the limit alone, month by month.")
    ] = "yellow",
    history: Annotated[
        bool, typer.Option("--history", help="All published months, at a thousandth of their rows.")
    ] = False,
) -> None:
    """Measure ours, the replaced flow and the limit on the same generated months.

    The result is FOLDER/result.json; the server and the files go at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A trip takes 230 bytes with its id; the server keeps up to 8 GB of WAL.
    needed, free = rows * (months + 6) * 240 / 1e9 + 8, shutil.disk_usage(folder).free / 1e9
    if needed > free:
        sys.exit(f"error: {folder}: {needed:.0f} GB needed, {free:.0f} GB free; choose less")
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"error: another run works in {folder}; wait for it to end")
        try:
            with throwaway_server(folder) as server:
                if history:
                    months = whole_history()
                    show(measure_history(server, folder / "files", months, kills=10), folder)
                    return
                if dataset != "yellow":
                    found = measure_dataset(server, folder / "files", dataset, rows, repeats)
                    print(json.dumps(found, indent=2))
                    return
                result = measure(
                    server, folder / "files", rows, months, min(theirs, months), repeats, peers
                )
        except BenchmarkError as error:
            sys.exit(f"error: {error}")
        finally:
            shutil.rmtree(folder / "files", ignore_errors=True)
    report.write(result, folder)


def measure(
    server: Server,
    source: Path,
    rows: int,
    months: int,
    theirs: int,
    repeats: int,
    peers: Path | None,
) -> dict[str, Any]:
    """Measure everything.

    Args:
        server: the run's server.
        source: folder for the month files.
        rows: rows of a month.
        months: months that ours loads.
        theirs: last month of the replaced flow.
        repeats: how often the first month is done on an empty warehouse.
        peers: interpreter of the peers' environment; None leaves them out.

    Returns:
        The result, ratios included.
    """
    calendar = [_FIRST]
    while len(calendar) < months:
        calendar.append(next_month(calendar[-1]))
    source.mkdir(parents=True, exist_ok=True)
    _say(f"making {months} files of {rows:,} rows")
    for month in (_BEFORE, _SMALL):
        write_month(source / file_name("yellow", month), "yellow", month, _SMALL_ROWS)
    with ProcessPoolExecutor() as pool:
        files = [source / file_name("yellow", month) for month in calendar]
        list(pool.map(write_month, files, repeat("yellow"), calendar, repeat(rows)))

    ours = Ours(server, source)
    result = report.header(server, rows, months)
    _say(f"a month of {_SMALL_ROWS:,} rows: what is left is overhead")
    # The first month's build makes seeds and views, too.
    result["small"] = {"first": ours.run(_BEFORE, "small_"), "load": ours.load(_SMALL, "small_")}
    row_id = compiled_row_id(server, source)
    result["small"]["run"] = ours.run(_SMALL, "small_")  # landed already: dbt alone
    server.drop("small_")
    result["first_month"], limit = _first_month(server, ours, row_id, repeats)
    result["months"] = _curve(ours, calendar, result["first_month"]["run"][-1])
    result["limit_after"] = limit.measure()
    result["unchanged"] = _unchanged(ours, calendar[-1], repeats)
    result["rows_checked"] = _check(server, source, calendar)
    server.drop("")
    if months >= _BACKFILL:
        _say(f"{_BACKFILL} months in one command")
        result["backfill"] = ours.run(calendar[0], "", calendar[_BACKFILL - 1])
        result["backfill"]["months"] = _BACKFILL
        server.drop("")
    result["replaced_flow"] = _their_curve(server, source, calendar[:theirs])
    server.execute("drop schema replaced_flow cascade")
    _say("mirror")
    result["mirror"] = measure_mirror(server, source, calendar[:_BACKFILL], repeats)
    if peers:
        _say("peers, landing")
        file = source / file_name("yellow", _FIRST)
        result["peers"] = measure_peers(server, file, rows, peers)
    return result | report.ratios(result)


def _first_month(
    server: Server, ours: Ours, row_id: str, repeats: int
) -> tuple[dict[str, Any], Limit]:
    """Do the first month on an empty warehouse, and the limit, in turns: drift hits both.

    The month of the last `run` stays.
    """
    found: dict[str, Any] = {
        name: [] for name in ("load", "build", "run", "scan", "marts", "limit")
    }
    limit = None
    for turn in range(repeats):
        _say(f"month 1 on an empty warehouse, {turn + 1} of {repeats}: ours and the limit")
        server.drop("")
        found["load"].append(ours.load(_FIRST, "one_"))
        found["build"].append(ours.build(_FIRST, "one_"))
        limit = limit or Limit(server, f"one_tlc.yellow_tripdata_{_FIRST:%Y_%m}", row_id)
        server.drop("one_")
        found["limit"].append(limit.measure())
        found["run"].append(ours.run(_FIRST, ""))
        found["scan"].append(ours.scan(_FIRST, ""))
        found["marts"].append(ours.marts(_FIRST, ""))
    return found, limit


def _curve(ours: Ours, calendar: list[dt.date], first: dict[str, Any]) -> list[dict[str, Any]]:
    """Do month after month; the first is there."""
    done = [{"month": 1, **first}]
    for number, month in enumerate(calendar[1:], 2):
        figures = ours.run(month, "")
        _say(f"ours, month {number}: {figures['seconds']:.1f} s")
        done.append({"month": number, **figures})
    return done


def _unchanged(ours: Ours, month: dt.date, repeats: int) -> list[dict[str, Any]]:
    """Do a month again that has not changed."""
    done = [ours.run(month, "") for _ in range(repeats)]
    if any(again["changed"] for again in done):
        raise BenchmarkError(f"yellow {format_month(month)}, run again, was merged again")
    return done


def _check(server: Server, source: Path, calendar: list[dt.date]) -> int:
    """Compare the first and the last month with their files."""
    rows = 0
    for month in sorted({calendar[0], calendar[-1]}):
        rows += check_month(server, month, source / file_name("yellow", month))
        _say(f"{format_month(month)}: the table equals the file")
    return rows


def _their_curve(server: Server, source: Path, calendar: list[dt.date]) -> list[dict[str, Any]]:
    """Load some months the replaced flow's way; those between come into its table untimed."""
    flow = ReferenceFlow(server, source, calendar[0])
    done: list[dict[str, Any]] = []
    for number in sorted({*(n for n in _THEIR_MONTHS if n <= len(calendar)), len(calendar)}):
        if done:
            flow.fill(calendar[done[-1]["month"] : number - 1])
        figures = flow.load(calendar[number - 1])
        _say(f"the replaced flow, month {number}: {figures['seconds']:.1f} s")
        done.append({"month": number, **figures})
    return done


def _say(text: str) -> None:
    _console.print(text, highlight=False)


if __name__ == "__main__":
    typer.run(main)
