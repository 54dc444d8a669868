"""All that TLC has published, at a thousandth of its rows, through `run --all` with kills."""

import datetime as dt
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.check import check_month
from benchmarks.server import BenchmarkError, Server, environment, settings_of
from loader.datasets import datasets
from loader.months import file_name, month_range
from loader.sample import write_month
from loader.settings import PROJECT_DIR
from tests.cdn import Behaviour, Cdn, Request, close_early, drop, reset, status

_LAST = dt.date(2026, 8, 1)
#: Millions of rows of a month, by the first year for which it holds: averages of TLC's files.
_ROWS = {
    "yellow": {2009: 14.2, 2014: 13.8, 2015: 12.2, 2016: 10.9, 2017: 9.5, 2018: 8.6, 2019: 7.0}
    | {2020: 2.1, 2021: 2.6, 2022: 3.3, 2024: 3.4},
    "green": {2014: 1.3, 2015: 1.6, 2016: 1.4, 2017: 1.0, 2018: 0.7, 2019: 0.5, 2020: 0.1},
    "fhv": {2015: 5.2, 2016: 11.0, 2017: 16.0, 2018: 21.7, 2019: 3.6, 2020: 1.2},
    "fhvhv": {2019: 21.3, 2020: 11.9, 2021: 14.5, 2022: 17.7, 2023: 19.4, 2024: 20.0},
}
_KILLS = 10
_SECONDS_TO_KILL = (20, 60)
#: Of a hundred requests, those that go wrong.
_MISBEHAVED = 3
_QUERIES_AT_ONCE = 10
#: Months at each end of the run that are compared.
_END_MONTHS = 100
_CHECKED = (dt.date(2011, 1, 1), dt.date(2015, 7, 1), dt.date(2023, 2, 1), _LAST)
_QUERY = """
    select date_trunc('year', file_month), count(*), count(distinct unique_row_id)
    from ({all_trips}) as all_trips
    group by 1
"""


class _Origin(Cdn):
    """A source that misbehaves a little, the same way in each run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._random = random.Random(20)  # noqa: S311 - a benchmark, no secret

    def record(self, request: Request) -> Behaviour:
        usual = super().record(request)
        if self._random.randrange(100) >= _MISBEHAVED:
            return usual
        return self._random.choice([status(503), drop(), close_early(2_000), reset(1_000)])


def measure_history(server: Server, folder: Path) -> dict[str, Any]:
    """Run all months, kill it now and then, check what came out, and query all of it at once.

    Args:
        server: the run's server.
        folder: where to put the files.

    Returns:
        The figures.

    Raises:
        BenchmarkError: when a month is missing or differs from its file, or a query fails.
    """
    files = _make_files(folder)
    origin = _Origin(folder)
    free = shutil.disk_usage(folder).free
    try:
        found = _run_with_kills(server, origin.url, folder)
    finally:
        origin.close()
    found["disk_mb"] = round((free - shutil.disk_usage(folder).free) / 1e6)
    _check(server, files)
    started = time.perf_counter()
    _loader(server, "marts")
    found["marts_seconds"] = round(time.perf_counter() - started, 1)
    return found | _flatness(server) | _query_at_once(server)


def _make_files(folder: Path) -> dict[tuple[str, dt.date], Path]:
    folder.mkdir(parents=True, exist_ok=True)
    months = {
        (name, month): folder / file_name(name, month)
        for name, dataset in datasets().items()
        for month in month_range(dataset.first_month, _LAST)
    }
    with ProcessPoolExecutor() as pool:
        made = [pool.submit(write_month, path, *key, _rows(*key)) for key, path in months.items()]
    for one in made:
        one.result()
    return months


def _rows(dataset: str, month: dt.date) -> int:
    """Return a thousandth of a month's rows."""
    millions = [rows for year, rows in _ROWS[dataset].items() if year <= month.year][-1]
    return round(millions * 1000)


def _run_with_kills(server: Server, source: str, folder: Path) -> dict[str, Any]:
    """Start `run --all` again after each kill, until it ends by itself."""
    chance = random.Random(19)  # noqa: S311 - a benchmark, no secret
    run = ("run", "--all", "--source", source, "--marts", "later", "--json")
    started, kills = time.perf_counter(), 0
    log = folder / "run.log"
    while True:
        with log.open("w") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", "loader", *run],
                cwd=PROJECT_DIR,
                env=environment(settings_of(server.local_dir, source)),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                process.wait(chance.uniform(*_SECONDS_TO_KILL) if kills < _KILLS else None)
                break
            except subprocess.TimeoutExpired:
                # The loader alone: its dbt sees that it has gone.
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
    if process.returncode:
        raise BenchmarkError(f"run --all: exit {process.returncode}: {log.read_text()[-500:]}")
    return {"seconds": round(time.perf_counter() - started, 1), "kills": kills}


def _loader(server: Server, *arguments: str) -> None:
    server.timed_project("-m", "loader", *arguments, source=Path("/no/such/source"))


def _check(server: Server, files: dict[tuple[str, dt.date], Path]) -> None:
    """Compare the counts of every month with its file, and some months as a whole."""
    wanted = {key: pq.read_metadata(path).num_rows for key, path in files.items()}
    ledger = server.execute(
        "select dataset, file_month, file_rows, landed_rows, table_rows from tlc.file_ledger"
        " where is_current"
    )
    recorded = {(name, month): set(counts) for name, month, *counts in ledger}
    found: dict[tuple[str, dt.date], tuple[int, int]] = {}
    for name in datasets():
        for month, *counts in server.execute(
            f"select file_month, count(*), count(distinct unique_row_id)"
            f" from tlc.{name}_tripdata group by 1"
        ):
            found[name, month] = (counts[0], counts[1])
    for key, rows in wanted.items():
        if recorded.get(key) != {rows} or found.get(key) != (rows, rows):
            raise BenchmarkError(
                f"{key[0]} {key[1]:%Y-%m}: {rows} rows in the file; in the ledger"
                f" {recorded.get(key)}; rows and ids {found.get(key)}"
            )
    if len(found) != len(wanted) or len(ledger) != len(wanted):
        raise BenchmarkError(f"{len(wanted)} files, {len(found)} months, {len(ledger)} records")
    for month in _CHECKED:
        check_month(server, month, files["yellow", month])


def _flatness(server: Server) -> dict[str, Any]:
    """Compare the seconds of a month at both ends of the run, by the median."""
    times = [
        at for (at,) in server.execute("select merged_at from tlc.file_ledger order by merged_at")
    ]
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    first, last = (statistics.median(part) for part in (gaps[:_END_MONTHS], gaps[-_END_MONTHS:]))
    return {
        "months": len(times),
        "first_months_seconds": round(first, 2),
        "last_months_seconds": round(last, 2),
        "flatness": round(last / first, 2),
    }


def _query_at_once(server: Server) -> dict[str, Any]:
    """Read all partitions of all tables, in as many queries at once as a team may send."""
    union = " union all ".join(
        f"select file_month, unique_row_id from tlc.{name}_tripdata" for name in datasets()
    )
    query = _QUERY.format(all_trips=union)
    (partitions,) = server.execute(
        "select count(*) from pg_inherits where inhparent::regclass::text like 'tlc.%%'"
    )[0]
    together = threading.Barrier(_QUERIES_AT_ONCE)

    def ask(_: int) -> list[tuple[Any, ...]]:
        connection = server.connect()
        try:
            with connection.cursor() as cursor:
                together.wait()
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(_QUERIES_AT_ONCE) as threads:
        answers = list(threads.map(ask, range(_QUERIES_AT_ONCE)))
    if any(sorted(answer) != sorted(answers[0]) for answer in answers):
        raise BenchmarkError("queries at once have different answers")
    seconds = round(time.perf_counter() - started, 1)
    return {"partitions": partitions, "queries_at_once_seconds": seconds}


def show(found: dict[str, Any], folder: Path) -> None:
    """Print the figures, and write them to FOLDER/history.json."""
    path = folder / "history.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    for name, value in found.items():
        print(f"{name:26}{value:>10,}")
    print(path)
