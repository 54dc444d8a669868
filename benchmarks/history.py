"""All of history in small: `run --all`, from a server that misbehaves, killed on the way."""

import datetime as dt
import json
import random
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Barrier, BrokenBarrierError
from typing import Any

import psycopg2

from benchmarks import report
from benchmarks.server import MB, BenchmarkError, Server, say, tree_bytes
from loader.calendar import Month, file_name, format_month, month_range
from loader.datasets import datasets, get_dataset
from loader.sample import write_month
from tests.cdn import Behaviour, Cdn, Request, close_early, drop, reset, status
from tests.chaos import Command, check_leftovers, check_records, check_rows

#: The newest month, and the day on which all are loaded.
_LAST, _TODAY = dt.date(2026, 8, 1), dt.date(2026, 10, 2)
#: A thousandth of the rows that an average month of a year has, from a first year on.
_ROWS = {
    "fhv": (2015, 5282, 11010, 16026, 21740, 3605, 1245, 1234, 1209, 1322, 1469, 2087, 2094),
    "fhvhv": (2019, 21330, 11942, 14550, 17701, 19374, 19956, 20299, 21129),
    "green": (2014, 1320, 1603, 1365, 978, 742, 525, 145, 89, 70, 66, 55, 49, 42),
    "yellow": (
        *(2009, 14241, 14083, 14741, 14280, 14318, 13787, 12170, 10928, 9458, 8573),
        *(7050, 2054, 2575, 3305, 3193, 3431, 4060, 3800),
    ),
}
#: One of so many requests fails. HEAD seldom: each one that is tried again holds all the others up.
_BAD = {"GET": 15, "HEAD": 300}
_AT_ONCE = 10
_END = 100  # months at each end whose seconds are compared
_LOOK_SECONDS = 0.2

_FIGURES = {
    "months_loaded": "files, each a month",
    "rows": "rows in them",
    "requests": "requests to the server",
    "requests_failed": "of these, answered by 503, a reset, an early end or not at all",
    "kills": "times that `run --all` was killed",
    "run_seconds": "`run --all`, all starts added up",
    "month_seconds": "a month, median",
    "flatness": "a month of the last hundred ÷ of the first hundred, medians",
    "start_seconds": "from a start to the first month that is merged, median",
    "run_peak_mb": "memory of loader and dbt together, at its highest",
    "marts_seconds": "`nyc-tlc marts`, for all months",
    "page_seconds": "`nyc-tlc report --all`: a page of all months",
    "page_mb": "its size",
    "room_mb": "room on the disk that it took, at the most",
    "partitions": "partitions of the trips tables",
    "queries_seconds": f"{_AT_ONCE} queries at once, each over all partitions",
}


def whole_history() -> list[Month]:
    """List every month of every dataset, oldest first."""
    months = [
        Month(name, month)
        for name in datasets()
        for month in month_range(get_dataset(name).first_month, _LAST)
    ]
    return sorted(months, key=lambda one: one[::-1])


class _MoodyCdn(Cdn):
    """A server some of whose requests fail, by the dice of a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder)
        self._dice = random.Random(seed)  # noqa: S311 - of no secrets
        self.failed = 0

    def record(self, request: Request) -> Behaviour:
        behaviour = super().record(request)
        with self._lock:
            if self._dice.randrange(_BAD[request.method]):
                return behaviour
            self.failed += 1
            answers = [status(503), status(503, Retry_After="1"), drop()]
            file = self.folder / request.name
            if request.method == "GET" and file.exists():
                after = self._dice.randrange(file.stat().st_size)
                answers += [reset(after), close_early(after)]
            return self._dice.choice(answers)


@dataclass
class _Watched:
    """Commands that are watched while they run.

    Attributes:
        server: their server.
        folder: gets what they write.
        env: their environment.
        starts: when each one was started, by the server's clock.
        peak_mb: memory of a command and all that it started, at its highest.
        room_mb: how much less room the disk had than at first, at the most.
    """

    server: Server
    folder: Path
    env: dict[str, str]
    starts: list[dt.datetime] = field(default_factory=list)
    peak_mb: float = 0.0
    room_mb: float = 0.0

    def __post_init__(self) -> None:
        self._free = self.server.free_bytes()

    def run(self, *arguments: str, kill_when: Callable[[], bool] = lambda: False) -> bool:
        """Run a command to its end, or kill it; return whether it ended by itself.

        `kill_when` says when to kill it, and is asked several times a second.
        """
        self.starts.append(dt.datetime.now(dt.UTC).replace(tzinfo=None))
        folder = self.folder / f"command-{len(self.starts)}"
        folder.mkdir()
        command = Command(folder, ["-m", "loader", *arguments], self.env)
        while command.process.poll() is None:
            if kill_when():
                # In turns: dbt dies with it, as by a power cut, or dbt outlives it.
                is_odd = len(self.starts) % 2
                command.signal(signal.SIGKILL, "session" if is_odd else "command")
                command.process.wait()
                return False
            self.peak_mb = max(self.peak_mb, tree_bytes(command.process.pid) / MB)
            self.room_mb = max(self.room_mb, (self._free - self.server.free_bytes()) / MB)
            time.sleep(_LOOK_SECONDS)
        if command.process.returncode:
            raise BenchmarkError(f"{' '.join(arguments)}: {command.said()[-2000:]}")
        return True

    def seconds(self, *arguments: str) -> float:
        """Run a command to its end; return how long it took."""
        began = time.monotonic()
        self.run(*arguments)
        return time.monotonic() - began


def measure_history(
    server: Server, folder: Path, months: Sequence[Month], kills: int, seed: int = 1
) -> dict[str, Any]:
    """Load months, oldest first, check that all is right, and measure it.

    The seed is that of the server's failures and of the moments of the kills. Beside the figures
    there are `problems`: what differs from the files, or is left.
    """
    files = folder / "trip-data"
    files.mkdir(parents=True)
    paths = {one: files / file_name(*one) for one in months}
    rows = [_rows(name, month) for name, month in months]
    say(f"making {len(months)} files of {sum(rows):,} rows")
    with ProcessPoolExecutor() as pool:
        list(pool.map(write_month, paths.values(), *zip(*months, strict=True), rows, chunksize=9))
    with closing(_MoodyCdn(files, seed)) as cdn:
        workspace = server.workspace(TLC_SOURCE=cdn.url, TLC_TODAY=str(_TODAY))
        run = _Watched(server, folder, workspace.env)
        began = time.monotonic()
        _run_all(run, len(months), kills, random.Random(seed))  # noqa: S311 - of no secrets
        found = report.header(server, sum(rows), len(months)) | {
            "requests": len(cdn.requests),
            "requests_failed": cdn.failed,
            "kills": len(run.starts) - 1,
            "run_seconds": time.monotonic() - began,
            "run_peak_mb": run.peak_mb,
            **_seconds_a_month(server, run.starts),
        }
    page = folder / "report-all.html"
    found["marts_seconds"] = run.seconds("marts")
    found["page_seconds"] = run.seconds("report", "--all", "--out", str(page))
    found["page_mb"] = page.stat().st_size / MB
    found["room_mb"] = run.room_mb
    found["partitions"], found["queries_seconds"] = _query_all(server)
    server.connection.close()  # so that the sessions which are left are the commands'
    say("comparing every month with its file")
    merged = {(name, format_month(month)): path for (name, month), path in paths.items()}
    found["problems"] = [
        *check_records(workspace, merged, {}, {}),
        *check_rows(workspace, merged, {}),
        *check_leftovers(workspace, {}, []),
    ]
    return found


def show(found: dict[str, Any], folder: Path) -> None:
    """Write figures to FOLDER/history.json, and show them; raise if there were problems."""
    path = folder / "history.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(report.figures_table(found, _FIGURES), path, sep="\n\n")
    if found["problems"]:
        raise BenchmarkError("\n".join(found["problems"]))


def _rows(dataset: str, month: dt.date) -> int:
    first, *rows = _ROWS[dataset]
    return rows[month.year - first]


def _run_all(run: _Watched, months: int, kills: int, dice: random.Random) -> None:
    """Run all months; kill that when so many are merged, a random moment later, and again."""
    for merged in sorted(dice.sample(range(months - 1), kills)):
        later = dice.random() * 3
        due: list[float] = []

        def is_time(merged: int = merged, later: float = later, due: list[float] = due) -> bool:
            if not due and _merged(run.server) >= merged:
                due.append(time.monotonic() + later)
            return bool(due) and time.monotonic() >= due[0]

        if run.run("run", "--all", "--marts", "later", kill_when=is_time):
            return
        say(f"killed with {_merged(run.server)} months merged")
    run.run("run", "--all", "--marts", "later")


def _merged(server: Server) -> int:
    """Count the months that are merged."""
    if not server.scalar("select to_regclass('tlc.file_ledger') is not null"):
        return 0
    return int(server.scalar("select count(*) from tlc.file_ledger where is_current"))


def _seconds_a_month(server: Server, starts: list[dt.datetime]) -> dict[str, Any]:
    """Return how long months took: those that didn't come first after a start."""
    merges = server.execute(
        "select dataset, merged_at from tlc.file_ledger where is_current order by merged_at"
    )
    times = [at for _, at in merges]
    after_start = [next((at for at in times if at > start), None) for start in starts]
    seconds = [
        (dataset, (at - before).total_seconds())
        for (_, before), (dataset, at) in pairwise(merges)
        if at not in after_start
    ]
    of_all = [each for _, each in seconds]
    of_each = {name: [s for dataset, s in seconds if dataset == name] for name, _ in seconds}
    return {
        "month_seconds": median(of_all),
        "flatness": _flatness(of_all),
        "flatness_of": {name: _flatness(some) for name, some in of_each.items()},
        "start_seconds": median(
            (at - start).total_seconds()
            for start, at in zip(starts, after_start, strict=True)
            if at
        ),
    }


def _flatness(seconds: list[float]) -> float:
    end = max(1, min(_END, len(seconds) // 2))
    return median(seconds[-end:]) / median(seconds[:end])


def _query_all(server: Server) -> tuple[int, float]:
    """Ask for the rows of each year, on ten connections that hold all locks at the same time."""
    tables = [f"tlc.{get_dataset(name).table}" for name in datasets()]
    tables = [name for name in tables if server.scalar("select to_regclass(%s)", name)]
    query = " union all ".join(
        f"select '{name}', extract(year from file_month), count(*) from {name} group by 2"
        for name in tables
    )
    all_hold = Barrier(_AT_ONCE)

    def ask(_: int) -> list[tuple[Any, ...]]:
        with closing(server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("begin")
            try:
                cursor.execute(query)
            except psycopg2.Error as error:
                all_hold.abort()
                raise BenchmarkError(f"{_AT_ONCE} queries at once: {error}") from error
            with suppress(BrokenBarrierError):  # another one has failed
                all_hold.wait(timeout=300)
            return sorted(cursor.fetchall())

    began = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = list(threads.map(ask, range(_AT_ONCE)))
    seconds = time.monotonic() - began
    if any(answer != answers[0] for answer in answers):
        raise BenchmarkError("the same query, asked at once, has different answers")
    partitions = server.scalar(
        "select count(*) from pg_inherits where inhparent = any (%s::regclass[])", tables
    )
    return int(partitions), seconds
