"""`python -m benchmarks`: one run, on one server; `make bench` installs what it needs."""

import datetime as dt
import fcntl
import json
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import report
from benchmarks.history import measure_history, show, whole_history
from benchmarks.limit import Limit, compiled_row_id
from benchmarks.ours import Ours
from benchmarks.peers import measure_peers
from benchmarks.reference_flow import ReferenceFlow
from benchmarks.server import BenchmarkError, Server, say, throwaway_server
from loader.calendar import add_months, file_name, format_month, month_range
from loader.datasets import get_dataset
from loader.sample import write_month
from tests import exact

_FIRST = dt.date(2019, 1, 1)
_SMALL = dt.date(2018, 12, 1)  # a month of few rows: what is left is overhead
_BEFORE = dt.date(2018, 11, 1)
_SMALL_ROWS = 1_000
#: Of another dataset: a month with few repeated rows; of fhv also one of which a third are repeats.
_OTHERS = (dt.date(2019, 3, 1), dt.date(2018, 12, 1))
_BACKFILL = 4  # months in one command
#: Months that the replaced flow is timed at; the thirteenth finds twelve in its table.
_THEIR_MONTHS = (1, 2, 4, 8, 13)


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
                    found = _other_dataset(server, folder / "files", dataset, rows, repeats)
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
    """Measure everything; return the result, ratios included.

    Ours loads all months, the replaced flow those up to `theirs`. The first is repeated on an empty
    warehouse. `peers` is the interpreter of their environment; None leaves them out.
    """
    calendar = month_range(_FIRST, add_months(_FIRST, months - 1))
    source.mkdir(parents=True, exist_ok=True)
    say(f"making {months} files of {rows:,} rows")
    for month in (_BEFORE, _SMALL):
        write_month(source / file_name("yellow", month), "yellow", month, _SMALL_ROWS)
    with ProcessPoolExecutor() as pool:
        files = [source / file_name("yellow", month) for month in calendar]
        list(pool.map(write_month, files, repeat("yellow"), calendar, repeat(rows)))

    ours = Ours(server, source)
    result = report.header(server, rows, months)
    say(f"a month of {_SMALL_ROWS:,} rows: what is left is overhead")
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
        say(f"{_BACKFILL} months in one command")
        result["backfill"] = ours.run(calendar[0], "", calendar[_BACKFILL - 1])
        result["backfill"]["months"] = _BACKFILL
        server.drop("")
    result["replaced_flow"] = _their_curve(server, source, calendar[:theirs])
    server.execute("drop schema replaced_flow cascade")
    say("mirror")
    result["mirror"] = _mirror(server, source, calendar[:_BACKFILL], repeats)
    if peers:
        say("peers, landing")
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
        name: [] for name in ("load", "build", "run", "scan", "marts", "official", "limit")
    }
    limit = None
    for turn in range(repeats):
        say(f"month 1 on an empty warehouse, {turn + 1} of {repeats}: ours and the limit")
        server.drop("")
        found["load"].append(ours.load(_FIRST, "one_"))
        found["build"].append(ours.build(_FIRST, "one_"))
        limit = limit or Limit(server, f"one_tlc.yellow_tripdata_{_FIRST:%Y_%m}", row_id)
        server.drop("one_")
        found["limit"].append(limit.measure())
        found["run"].append(ours.run(_FIRST, ""))
        found["scan"].append(ours.scan(_FIRST, ""))
        found["marts"].append(ours.marts(_FIRST, ""))
        found["official"].append(ours.official(_FIRST, ""))
    return found, limit


def _curve(ours: Ours, calendar: list[dt.date], first: dict[str, Any]) -> list[dict[str, Any]]:
    """Do month after month; the first is there."""
    done = [{"month": 1, **first}]
    for number, month in enumerate(calendar[1:], 2):
        figures = ours.run(month, "")
        say(f"ours, month {number}: {figures['seconds']:.1f} s")
        done.append({"month": number, **figures})
    return done


def _unchanged(ours: Ours, month: dt.date, repeats: int) -> list[dict[str, Any]]:
    """Do a month again that has not changed."""
    done = [ours.run(month, "") for _ in range(repeats)]
    if any(again["changed"] for again in done):
        raise BenchmarkError(f"yellow {format_month(month)}, run again, was merged again")
    return done


def _check(server: Server, source: Path, calendar: list[dt.date]) -> int:
    """Compare the first and the last month with their files, every value, and count their ids."""
    rows, workspace = 0, server.workspace()
    for month in sorted({calendar[0], calendar[-1]}):
        wanted = exact.expected(source / file_name("yellow", month), "yellow")
        exact.assert_same(exact.stored(workspace, "yellow", format_month(month)), wanted)
        count = f"select count(distinct unique_row_id) from tlc.yellow_tripdata_{month:%Y_%m}"
        if server.scalar(count) != len(wanted):
            raise BenchmarkError(f"yellow {format_month(month)}: ids repeat")
        rows += len(wanted)
        say(f"{format_month(month)}: the table equals the file")
    return rows


def _their_curve(server: Server, source: Path, calendar: list[dt.date]) -> list[dict[str, Any]]:
    """Load some months the replaced flow's way; those between come into its table untimed."""
    flow = ReferenceFlow(server, source, calendar[0])
    done: list[dict[str, Any]] = []
    for number in sorted({*(n for n in _THEIR_MONTHS if n <= len(calendar)), len(calendar)}):
        if done:
            flow.fill(calendar[done[-1]["month"] : number - 1])
        figures = flow.load(calendar[number - 1])
        say(f"the replaced flow, month {number}: {figures['seconds']:.1f} s")
        done.append({"month": number, **figures})
    return done


def _mirror(server: Server, source: Path, calendar: list[dt.date], repeats: int) -> dict[str, Any]:
    """Mirror months to a folder, again with nothing to do, and copy them without verifying."""
    found: dict[str, Any] = {"mirror": [], "again": [], "copy": []}
    files = [source / file_name("yellow", month) for month in calendar]
    copies = source / "copies"
    months = ("--month", format_month(calendar[0]), "--to", format_month(calendar[-1]))
    command = ("-m", "loader", "mirror", str(copies), "--dataset", "yellow", *months)
    for _ in range(repeats):
        for name in ("mirror", "again"):
            seconds = server.timed_project(*command, source=source).seconds
            found[name].append(round(seconds, 3))
        shutil.rmtree(copies)
        copies.mkdir()
        started = time.perf_counter()
        for file in files:
            shutil.copyfile(file, copies / file.name)
        found["copy"].append(round(time.perf_counter() - started, 4))
        shutil.rmtree(copies)
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    return found | {"files": len(files), "megabytes": round(megabytes, 1)}


def _other_dataset(
    server: Server, source: Path, dataset: str, rows: int, repeats: int
) -> list[dict[str, Any]]:
    """Run months of a dataset, each on an empty warehouse, in turns with the limit: medians."""
    source.mkdir(parents=True, exist_ok=True)
    ours = Ours(server, source, dataset)
    done = []
    for month in (one for one in _OTHERS if one >= get_dataset(dataset).first_month):
        path = source / file_name(dataset, month)
        write_month(path, dataset, month, rows)
        limit, turns = None, []
        for _ in range(repeats):
            server.drop("")
            run = ours.run(month, "")
            if limit is None:
                row_id = compiled_row_id(server, source, dataset)
                limit = Limit(server, f"tlc.{dataset}_tripdata_{month:%Y_%m}", row_id)
            turns.append((run, limit.measure()))
        server.execute("drop schema limits cascade")
        server.drop("")
        path.unlink()
        run, least = sorted(turns, key=lambda turn: turn[0]["seconds"])[len(turns) // 2]
        seconds = least["copy_frozen"] + least["ctas"]
        done.append(
            {
                **{"dataset": dataset, "month": format_month(month), "rows": rows},
                **{"seconds": round(run["seconds"], 2), "stages": run["stages"]},
                "limit_seconds": round(seconds, 2),
                "ratio_to_limit": round(run["seconds"] / seconds, 2),
                "peak_mb": run["peak_mb"],
                "bytes_a_row": round(run["size_mb"] * 1e6 / rows),
            }
        )
    return done


if __name__ == "__main__":
    typer.run(main)
