"""Kills runs on BigQuery's emulator at random requests, then looks whether the tables are right.

`make chaos TARGET=bigquery ROUNDS=60 SEED=1`. All that a command asks of BigQuery goes through a
proxy, which lets a fault strike at the n-th request that changes something. Then the same command
runs again, and the dataset's months are compared with the files; after each tenth round, all of
them. A round goes on with what the one before has left: to replay one, play from the first.
"""

import http.client
import json
import random
import re
import shutil
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from google.api_core.exceptions import GoogleAPICallError

from loader.calendar import file_name, parse_month
from loader.sample import write_month
from loader.settings import PROJECT_DIR
from tests import chaos
from tests.chaos import DATASETS, KILLS, NEW, ROWS, STOCKED, Command, Key
from tests.conftest import NO_TESTS, succeeded
from tests.emulator import rig as emulators
from tests.emulator.workspace import BigQueryWorkspace, workspace_on
from tests.months import load

#: What strikes besides KILLS: the service refuses the request, or its answer gets lost, and the
#: client tries again; or the holder of the locks was killed on another machine.
_REFUSED, _LOST, _ELSEWHERE = "refused once", "answer lost", "killed elsewhere"
FAULTS = (*KILLS, _REFUSED, _LOST, _ELSEWHERE, "killed, dlt's folder wiped")
#: What a request does, by the first of these that its query has.
_STAGES = {
    "lock": "_locks",
    "merge": "begin transaction",
    "marts": "tlc_marts|marts_ledger",
    "raw rows deleted": r"delete from .*_tripdata",
    "recorded": "month_files",
    "landing": "_tripdata",
}
_LOCKED = 8


@dataclass(frozen=True)
class Plan:
    """What a round is going to do.

    Attributes:
        seed: of the round.
        command: load, run or build.
        dataset: of the month files that are published.
        months: asked for by the command.
        fault: what strikes.
        moment: share of the command's usual requests after which it does.
        is_answered: the service has done the request by then.
        clock_was_ahead: the machine that landed the versions before had a clock that was ahead.
    """

    seed: int
    command: str
    dataset: str
    months: tuple[str, ...]
    fault: str
    moment: float
    is_answered: bool
    clock_was_ahead: bool

    @classmethod
    def of_seed(cls, seed: int) -> "Plan":
        """Make a plan of a seed."""
        dice = random.Random(seed)
        return cls(
            seed=seed,
            command=dice.choices(("load", "run", "build"), (3, 5, 2))[0],
            dataset=dice.choice(DATASETS),
            months=dice.choice([(STOCKED[1],), (STOCKED[1],), (NEW,), (STOCKED[1], NEW)]),
            fault=dice.choice(FAULTS),
            moment=dice.random(),
            is_answered=dice.random() < 0.5,
            clock_was_ahead=dice.random() < 0.3,
        )

    def __str__(self) -> str:
        when = f"{'after' if self.is_answered else 'before'} {self.moment:.0%}"
        ahead = ", the clock was ahead" if self.clock_was_ahead else ""
        months = "+".join(self.months)
        return f"{self.command} {self.dataset} {months}{ahead}: {self.fault} {when}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that were killed."""


class Proxy:
    """Passes requests on to the emulator, and counts those that change something."""

    def __init__(self, url: str) -> None:
        self.there = urlsplit(url).netloc
        self.expect(None, None)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.url = "http://{}:{}".format(*self.server.server_address)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def expect(self, plan: Plan | None, at: int | None) -> None:
        """Begin to count anew, and let a plan's fault strike at a request."""
        self.plan, self.at = plan, at
        self.count, self.stage = 0, "ended"
        self.struck, self.lock = threading.Event(), threading.Lock()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Pass a request on, or let the fault strike."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        is_due = False
        if request.command != "GET":
            with self.lock:
                self.count += 1
                is_due = self.count == self.at
        if is_due:
            self.stage = _stage_of(body)
        if is_due and not self.plan.is_answered and self.plan.fault != _LOST:
            self.struck.set()
            if self.plan.fault == _REFUSED:
                error = b'{"error": {"code": 503, "message": "try again"}}'
                self._send(request, 503, {}, error)
            else:  # a process that goes on tries again
                request.close_connection = True
            return
        connection = http.client.HTTPConnection(self.there)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "accept-encoding"}
        connection.request(request.command, request.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if is_due:
            self.struck.set()
            if self.plan.fault == _LOST:
                request.close_connection = True
                return
        self._send(request, response.status, dict(response.getheaders()), content)

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler, code: int, headers: dict[str, str], content: bytes
    ) -> None:
        request.send_response(code)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def _stage_of(body: bytes) -> str:
    try:
        text = json.loads(body)["configuration"]["query"]["query"]
    except (ValueError, KeyError, TypeError):
        return "landing"  # a load, or a table or a dataset that is made
    return next((s for s, found in _STAGES.items() if re.search(found, text, re.S)), "other")


@dataclass
class Rig:
    """A warehouse on the emulators, and what it should have.

    Attributes:
        workspace: behind the proxy.
        proxy: to the emulator.
        folder: of all files.
        merged, raw: the files that the trips and the raw tables should have.
        had: rows that the months had before their newest merge.
        tables: all that there are between two rounds.
        requests: how many a command makes for a month.
    """

    workspace: BigQueryWorkspace
    proxy: Proxy
    folder: Path
    merged: dict[Key, Path] = field(default_factory=dict)
    raw: dict[Key, Path] = field(default_factory=dict)
    had: dict[Key, int] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    requests: dict[str, float] = field(default_factory=dict)

    def stock(self) -> None:
        """Make the state that the first round starts from."""
        for name in ("pristine", "source", "merged", "raw"):
            (self.folder / name).mkdir()
        for dataset in DATASETS:
            for month in (*STOCKED, NEW):
                name = file_name(dataset, parse_month(month))
                write_month(self.folder / "pristine" / name, dataset, parse_month(month), ROWS)
            load(self.workspace, dataset, ":".join(STOCKED), source=self.folder / "pristine")
            for month in STOCKED:
                self.keep("raw", (dataset, month), self.folder / "pristine")
        of_load = self.proxy.count / len(self.raw)
        self.proxy.expect(None, None)
        succeeded(self.workspace.dbt("build"))
        for key in self.raw:
            self.keep("merged", key, self.folder / "raw")
        self.tables = self.list_tables()
        self.requests = {"load": of_load, "build": self.proxy.count}
        self.requests["run"] = sum(self.requests.values())

    def keep(self, kind: str, key: Key, folder: Path) -> None:
        """Note that a month's file of a folder should be in the trips or in the raw tables."""
        name = file_name(key[0], parse_month(key[1]))
        path = self.folder / kind / name
        if kind == "merged":
            before = self.merged.get(key)
            is_new = before is None or chaos.sha256(path) != chaos.sha256(folder / name)
            if is_new:
                self.had[key] = chaos.wanted(path, key[0]).num_rows if before else 0
        shutil.copy(folder / name, path)
        getattr(self, kind)[key] = path

    def list_tables(self) -> set[str]:
        """List all tables and views of our datasets, but for the loader's own records."""
        client = self.workspace.client()
        return {
            f"{table.dataset_id}.{table.table_id}"
            for dataset in client.list_datasets()
            for table in client.list_tables(dataset.reference)
            if not table.table_id.startswith("_")
        }


@contextmanager
def stocked_rig() -> Iterator[Rig]:
    """Give a rig that is ready for rounds."""
    folder = Path(tempfile.mkdtemp(prefix="nyc_tlc-chaos-"))
    installed = emulators.install(PROJECT_DIR / ".local" / "emulator-venv")
    try:
        with emulators.running(installed, folder) as running:
            proxy = Proxy(running.bigquery_url)
            workspace = workspace_on(
                running, folder / "local", BIGQUERY_EMULATOR_HOST=proxy.url, **NO_TESTS
            )
            rig = Rig(workspace, proxy, folder)
            rig.stock()
            yield rig
            proxy.server.shutdown()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def play(rig: Rig, plan: Plan) -> tuple[str, list[str]]:
    """Play a round; return the stage in which it was disturbed, and what is wrong afterwards."""
    source, dice = rig.folder / "source", random.Random(-plan.seed)
    keys = [(plan.dataset, month) for month in plan.months]
    for dataset, month in keys:
        path = source / file_name(dataset, parse_month(month))
        shutil.copy(rig.folder / "pristine" / path.name, path)
        chaos.publish(path, dataset, month, dice)
    if plan.clock_was_ahead:
        rig.workspace.query(
            "update tlc_raw.month_files set landed_at = datetime_add(landed_at, interval 2 hour)"
            f" where dataset = '{plan.dataset}'"
        )
    env = rig.workspace.env | {"TLC_SOURCE": str(source)}
    if plan.command == "build":
        span = f"{plan.months[0]}:{plan.months[-1]}"
        load(rig.workspace, plan.dataset, span, source=source)
    arguments = chaos.arguments_of(plan.command, plan.dataset, plan.months)
    size = len(plan.months) if plan.command != "build" else 1
    usual = rig.requests[plan.command] * size
    rig.proxy.expect(plan, max(1, round(plan.moment * usual)))
    command = Command(rig.folder, arguments, env)
    _disturb(rig, plan, command)
    stage, problems = rig.proxy.stage, []
    if plan.fault == _ELSEWHERE:
        problems += _free_locks_of_another_machine(rig, plan, arguments, env)
    rig.proxy.expect(None, None)
    again = Command(rig.folder, arguments, env)
    if code := again.process.wait(timeout=600):
        problems.append(f"exit {code}: {again.said()}")
    if stage == "ended":  # it makes fewer requests
        rig.requests[plan.command] *= 0.8
    for key in keys:
        if plan.command == "run":
            rig.keep("merged", key, source)
            rig.raw.pop(key, None)
        else:
            rig.keep("raw", key, source)
    if plan.command == "build":
        for key in rig.raw:
            rig.keep("merged", key, rig.folder / "raw")
    is_full = plan.seed % 10 == 0
    return stage, problems + check(rig, DATASETS if is_full else (plan.dataset,))


def _disturb(rig: Rig, plan: Plan, command: Command) -> None:
    """Let the fault strike, and wait for the command's end."""
    while command.process.poll() is None and not rig.proxy.struck.wait(0.05):
        pass
    if rig.proxy.struck.is_set() and plan.fault not in (_REFUSED, _LOST):
        number, whom = KILLS.get(plan.fault, (signal.SIGKILL, "session"))
        command.signal(number, whom)
    command.process.wait(timeout=600)
    if plan.fault.endswith("wiped"):
        shutil.rmtree(rig.workspace.local_dir / "dlt", ignore_errors=True)


def _free_locks_of_another_machine(
    rig: Rig, plan: Plan, arguments: list[str], env: dict[str, str]
) -> list[str]:
    """Make the locks that are held another machine's: they are respected, and freed by name."""
    workspace, problems = rig.workspace, []
    live = "expires_at > current_timestamp()"
    workspace.query(f"update tlc_raw._locks set token = 'boot/pid:[1]/1/1/x' where {live}")
    held = [name for (name,) in workspace.query(f"select name from tlc_raw._locks where {live}")]
    if any(name.startswith(plan.dataset) for name in held):
        refused = Command(rig.folder, arguments, env)
        if refused.process.wait(timeout=600) != _LOCKED:
            problems.append(f"a held month was not refused: {refused.said()}")
    for name in held:
        succeeded(workspace.loader("unlock", name))
    return problems


def check(rig: Rig, datasets: Collection[str]) -> list[str]:
    """List what is not as it should be after a round, in all months of some datasets."""
    workspace = rig.workspace
    merged, raw = (
        {key: path for key, path in files.items() if key[0] in datasets}
        for files in (rig.merged, rig.raw)
    )
    try:
        problems = [
            *chaos.check_rows(workspace, merged, raw),
            *chaos.check_marts(workspace, merged),
            *chaos.check_records(workspace, merged, raw, rig.had),
        ]
    except GoogleAPICallError as error:
        problems = [str(error)]
    found = {
        (dataset, f"{month:%Y-%m}")
        for dataset in DATASETS
        for (month,) in workspace.query(
            f"select distinct _file_month from tlc_raw.{dataset}_tripdata"
        )
    }
    if found != set(rig.raw):
        problems.append(f"raw rows of {found}, not of {set(rig.raw)}")
    if left := rig.list_tables() - rig.tables:
        problems.append(f"tables {left} are left")
    live = "select name from tlc_raw._locks where expires_at > current_timestamp()"
    problems += [f"lock {name} is held" for (name,) in workspace.query(live)]
    bucket = rig.folder.glob("emulators-*/storage/**/*.parquet")
    problems += [f"{path.name} is left in the bucket" for path in bucket]
    return problems


def main(rounds: int, first: int) -> int:
    """Play rounds; return the exit code."""
    struck: Counter[str] = Counter()
    with stocked_rig() as rig:
        for seed in range(first, first + rounds):
            plan = Plan.of_seed(seed)
            stage, problems = play(rig, plan)
            struck[f"{plan.command}: {stage}"] += 1
            print(f"seed {seed}: {plan} [{stage}] {'; '.join(problems) or 'exact'}", flush=True)
            if problems:  # the next would start from what is wrong
                return 1
    print("\nstruck while the command was")
    for name, count in sorted(struck.items()):
        print(f"  {name:<24}{count:>4}")
    print(f"\n{rounds} rounds, {rounds} exact, 0 wrong")
    return 0
