"""Kills loads, builds and their server at random moments, then looks whether the tables are right.

`make chaos ROUNDS=200 SEED=1`. A round starts from the same stocked (or blank) warehouse, publishes
month files, starts a plain command, disturbs it, runs the same command again with no step by hand,
and compares everything with the files. Meanwhile readers and backups may see a month as it was
before or is afterwards, and nothing else. Rounds have the seeds SEED, SEED + 1, …: `ROUNDS=1` with
a round's seed replays it, up to the moment, which is the machine's. With POWER=1 the fault is a
loss of power (Linux, root, xfsprogs).
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.calendar import file_name, parse_month
from loader.embedded import local_server
from loader.embedded.wheel import program_path
from loader.sample import write_month
from loader.settings import PROJECT_DIR
from tests.cdn import Cdn, stall
from tests.conftest import DATA_TESTS, Workspace, clean_env, succeeded
from tests.exact import assert_same, expected, expected_of_csv, landed, stored
from tests.months import load
from tests.months import of as months_of

#: Of each dataset, the columns that a republished month has other values in.
CHANGED = {
    "yellow": ("tip_amount", "fare_amount"),
    "green": ("tip_amount", "fare_amount"),
    "fhv": ("DOlocationID", "PUlocationID"),
    "fhvhv": ("tips", "base_passenger_fare"),
}
DATASETS = tuple(CHANGED)
#: The frozen CSV copies have these months, too.
STOCKED, NEW = ("2021-01", "2021-02"), "2021-03"
ROWS = 1_500
Key = tuple[str, str]

DROP_RAW = f"""
from loader.calendar import Month, parse_month
from loader.settings import load_settings
from loader.warehouse.connect import connect_warehouse
warehouse = connect_warehouse(load_settings())
for dataset in {DATASETS}:
    for month in {STOCKED}:
        warehouse.drop_raw(Month(dataset, parse_month(month)))
"""

#: In this order, but that the first four are built side by side.
MARTS = ("monthly_fares", "hourly_zone_trips", "zone_pairs", "dropoff_hours", "monthly_trips")
MARTS += ("month_quality",)

#: What a command passes on its way, in order; a phase is named after the last thing that was seen.
MILESTONES = (
    *("starting", "connected", "downloading", "normalizing", "loading", "copying", "copied"),
    *("landed", "dbt connected", "merging", "changing", "merged", *MARTS, "raw dropped"),
)
_SESSIONS = "pg_stat_activity where application_name ="
_PARTS = "pg_class where relkind = 'r' and relname like %(parts)s and"
#: What the server's catalogs show of them.
SHOWN = {
    "connected": f"{_SESSIONS} 'nyc_tlc'",
    "copying": "pg_stat_progress_copy",
    "copied": f"{_PARTS} not relispartition",
    "landed": f"{_PARTS} relispartition",
    "dbt connected": f"{_SESSIONS} 'dbt'",
    "merging": f"{_SESSIONS} 'dbt' and query like '%%create%%table%%__new%%as%%'",
    "changing": f"{_SESSIONS} 'dbt' and query ~ 'attach partition|__new_changes'",
}
OF_COMMAND = {
    "load": MILESTONES[1:8],
    "run": MILESTONES[1:],
    "build": MILESTONES[7:-1],
}
#: What is killed: the command, the dbt that it has started, or both.
KILLS = {
    "SIGKILL": (signal.SIGKILL, "command"),
    "SIGTERM": (signal.SIGTERM, "command"),
    "SIGKILL of dbt": (signal.SIGKILL, "dbt"),
    "SIGKILL of the session": (signal.SIGKILL, "session"),
    "SIGTERM of the session": (signal.SIGTERM, "session"),
    "SIGINT of the session": (signal.SIGINT, "session"),
}
ON_SERVER = ("server stopped at once", "server killed", "sessions terminated")
ON_FILES = ("killed, dlt's folder wiped", "dlt's folder wiped")
FAULTS = (*KILLS, *ON_SERVER, *ON_FILES)
POWER = "power lost"


@dataclass(frozen=True)
class Plan:
    """What a round is going to do.

    Attributes:
        seed: of the round.
        command: load, run or build.
        blank: start from an empty database, not from the stocked one.
        dataset: of the month files that are published.
        months: asked for by the command.
        over_http: from a web server, or from a folder.
        csv: the month files are gzipped CSV.
        disturbances: faults, each with the milestone or the share of the usual duration at which
            it strikes.
    """

    seed: int
    command: str
    blank: bool
    dataset: str
    months: tuple[str, ...]
    over_http: bool
    disturbances: tuple[tuple[str, str | float], ...]
    csv: bool = False

    @classmethod
    def of_seed(cls, seed: int, faults: tuple[str, ...] = FAULTS) -> "Plan":
        """Make a plan of a seed."""
        dice = random.Random(seed)
        command = dice.choices(("load", "run", "build"), (5, 3, 2))[0]
        over_http = dice.random() < 0.5

        def disturbance() -> tuple[str, str | float]:
            milestones = [m for m in OF_COMMAND[command] if over_http or m != "downloading"]
            when = dice.choice(milestones) if dice.random() < 0.6 else dice.random()
            return dice.choice(faults), when

        blank, dataset = dice.random() < 0.15, dice.choice(DATASETS)
        months = dice.choice([(STOCKED[1],), (STOCKED[1],), (NEW,), (STOCKED[1], NEW)])
        disturbances = tuple(disturbance() for _ in range(dice.choice((1, 1, 1, 2))))
        return cls(
            *(seed, command, blank, dataset, months, over_http, disturbances),
            # TLC's CDN has no CSV, and there was none of fhvhv.
            csv=dataset != "fhvhv" and months == (NEW,) and not over_http,
        )

    def __str__(self) -> str:
        faults = ", then ".join(
            f"{fault} at {when if isinstance(when, str) else f'{when:.0%}'}"
            for fault, when in self.disturbances
        )
        source = "http" if self.over_http else "CSV" if self.csv else "folder"
        start = "blank" if self.blank else "stocked"
        months = "+".join(self.months)
        return f"{self.command} {self.dataset} {months} from {source} into {start}: {faults}"


class Disk:
    """A file system in a file of XFS, whose copy by reference is what a loss of power leaves.

    It lacks what the system had not written yet; a disk with a cache of its own would lose more.
    """

    def __init__(self, folder: Path, mounted: Path) -> None:
        self.xfs, self.mounted = folder / "xfs", mounted
        self.image, self.left = self.xfs / "disk.img", self.xfs / "left.img"
        self.xfs.mkdir()
        mounted.mkdir()
        self._make(folder / "xfs.img", "8G", "mkfs.xfs", "-q", "-m", "reflink=1")
        self._run("mount", "-o", "loop", folder / "xfs.img", self.xfs)
        self._make(self.image, "3G", "mkfs.ext4", "-q")
        self._mount()

    def copy(self) -> None:
        """Keep what would be left now."""
        self._run("cp", "--reflink=always", self.image, self.left)

    def lose(self) -> None:
        """Go on with what was left; whoever used the disk has been killed."""
        unmount = ["umount", str(self.mounted)]
        wait_until(
            lambda: not subprocess.run(unmount, capture_output=True, check=False).returncode,
            "the disk is in use",
        )
        self.left.replace(self.image)
        self._mount()

    def close(self) -> None:
        """Unmount it."""
        for folder in (self.mounted, self.xfs):
            self._run("umount", folder)

    def _make(self, image: Path, size: str, *command: str) -> None:
        self._run("truncate", "-s", size, image)
        self._run(*command, image)

    def _mount(self) -> None:
        self._run("mount", "-o", "loop", self.image, self.mounted)

    @staticmethod
    def _run(*command: object) -> None:
        subprocess.run(list(map(str, command)), check=True)


class Rig:
    """A warehouse on a server of its own, which each round finds as the first one did."""

    def __init__(self, *, loses_power: bool = False) -> None:
        # Short and not below anybody's folder, which a server of another user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="nyc_tlc-chaos-"))
        self.local_dir = self.folder / "local"
        self.originals = self.folder / "originals"
        self.source = self.folder / "source"
        self.originals.mkdir()
        self.source.mkdir()
        self.disk = Disk(self.folder, self.local_dir) if loses_power else None
        env = clean_env(
            TLC_TARGET="local",
            TLC_LOCAL_DIR=str(self.local_dir),
            DBT_TARGET_PATH=str(self.local_dir / "dbt"),
            DBT_LOG_PATH=str(self.local_dir / "logs"),
            **DATA_TESTS,
            **local_server.connection_env(self.local_dir),
        )
        self.workspace = Workspace(env, self.local_dir, "")
        self.usual_seconds = {"load": 2.0, "run": 9.0, "build": 8.0}

    def stock(self) -> None:
        """Make the two states that rounds start from."""
        local_server.start(self.local_dir)
        self.admin("create database blank template nyc_taxi")
        for dataset in DATASETS:
            for month in STOCKED:
                path = self.originals / file_name(dataset, parse_month(month))
                write_month(path, dataset, parse_month(month), ROWS)
        for dataset in DATASETS:
            load(self.workspace, dataset, ":".join(STOCKED), source=self.originals)
        succeeded(self.workspace.dbt("build"))
        succeeded(self.workspace.python(DROP_RAW))  # as `run` does, without a build a month
        self.admin("create database stocked template nyc_taxi")
        shutil.copytree(self.local_dir / "dlt", self.folder / "dlt")

    def reset(self, *, blank: bool) -> None:
        """Put the warehouse back to where rounds start."""
        local_server.start(self.local_dir)
        self.admin("drop database nyc_taxi with (force)")
        self.admin(f"create database nyc_taxi template {'blank' if blank else 'stocked'}")
        shutil.rmtree(self.local_dir / "dlt", ignore_errors=True)
        shutil.rmtree(self.local_dir / "downloads", ignore_errors=True)
        shutil.rmtree(self.source)
        shutil.copytree(self.originals, self.source)
        if not blank:
            shutil.copytree(self.folder / "dlt", self.local_dir / "dlt")
        if self.disk:
            subprocess.run(["sync", "--file-system", str(self.local_dir)], check=True)

    def close(self) -> None:
        """Stop the server and remove everything."""
        local_server.stop(self.local_dir)
        if self.disk:
            self.disk.close()
        shutil.rmtree(local_server.socket_dir(self.local_dir), ignore_errors=True)
        # After an error, a command may still write there.
        shutil.rmtree(self.folder, ignore_errors=True)

    def server_pid(self) -> int:
        """Return the server's process id."""
        return int((self.local_dir / "postgres" / "postmaster.pid").read_text().split()[0])

    def server_is_up(self) -> bool:
        """Tell whether the server answers."""
        try:
            self.workspace.query("select 1")
        except psycopg2.OperationalError:
            return False
        return True

    def admin(self, statement: str) -> None:
        """Run a statement outside the warehouse's database."""
        there = replace(self.workspace, env=self.workspace.env | {"PGDATABASE": "postgres"})
        there.query(statement)


@contextmanager
def stocked_rig(*, loses_power: bool = False) -> Iterator[Rig]:
    """Give a rig that is ready for rounds."""
    rig = Rig(loses_power=loses_power)
    try:
        rig.stock()
        yield rig
    finally:
        rig.close()


# ---- A round -------------------------------------------------------------------------------------


def publish(path: Path, dataset: str, month: str, dice: random.Random) -> None:
    """Publish a month, or publish it anew with rows removed, added, changed and in other order."""
    if not path.exists():
        write_month(path, dataset, parse_month(month), ROWS, seed=dice.randrange(1_000))
        return
    table = pq.read_table(path)
    kept = dice.sample(range(table.num_rows), table.num_rows - dice.randrange(1, 400))
    if dice.random() < 0.5:
        kept.sort()
    rows = table.take(kept).to_pylist()
    often, rarely = CHANGED[dataset]
    for row in dice.sample(rows, 20):
        row[often] = (row[often] or 0) + 1
    for row in dice.sample(rows, 5):
        row[rarely] = (row[rarely] or 0) + 100
    other = path.with_suffix(".other")
    write_month(other, dataset, parse_month(month), dice.randrange(1, 300), seed=1)
    changed = pa.concat_tables([pa.Table.from_pylist(rows, table.schema), pq.read_table(other)])
    other.unlink()
    pq.write_table(changed, path)


class Watch:
    """Tells which milestones a command has passed, by what the database and the folders show."""

    def __init__(self, rig: Rig, plan: Plan) -> None:
        self.rig = rig
        self.dlt = rig.local_dir / "dlt" / "pipelines" / "nyc_tlc"
        self.downloads = rig.local_dir / "downloads"
        self.table = f"{plan.dataset}_tripdata_{plan.months[-1].replace('-', '_')}"
        self.of_month = {"dataset": plan.dataset, "month": f"{plan.months[-1]}-01"}
        self.of_month["sha256"] = sha256(files_of(rig, plan)[plan.dataset, plan.months[-1]])
        self.connection: Any = None
        self.passed = 0

    def look(self) -> str:
        """Return the last milestone that was passed."""
        seen = self._ask()
        seen |= {
            "downloading": any(self.downloads.glob("*.part")),
            "normalizing": any((self.dlt / "normalize" / "extracted").glob("*")),
            "loading": any((self.dlt / "load" / "normalized").glob("*")),
            "raw dropped": self.passed >= MILESTONES.index("merged") and not seen["landed"],
        }
        numbers = [MILESTONES.index(name) for name, is_so in seen.items() if is_so]
        self.passed = max([self.passed, *numbers])
        return MILESTONES[self.passed]

    def close(self) -> None:
        """Close the connection."""
        if self.connection:
            self.connection.close()

    def _ask(self) -> dict[str, Any]:
        query = f"select {', '.join(f'(select count(*) from {what})' for what in SHOWN.values())}"
        parts = self.table.replace("_", r"\_") + r"\_\_%"
        try:
            if self.connection is None:
                self.connection = self.rig.workspace.connect()
            with self.connection.cursor() as cursor:
                cursor.execute(query, {"parts": parts})
                seen = dict(zip(SHOWN, cursor.fetchone(), strict=True))
                return seen | self._merged(cursor)
        except psycopg2.Error:  # the server is down
            self.connection = None
            return dict.fromkeys(SHOWN)

    def _merged(self, cursor: Any) -> dict[str, bool]:
        """Tell whether the new version is merged, and which marts count it."""
        ledger = """select merged_at from tlc.file_ledger where is_current
            and dataset = %(dataset)s and file_month = %(month)s and sha256 = %(sha256)s"""
        found = {}
        for name in ("merged", *MARTS):
            mart = f"""select 1 from tlc_marts.{name} where merged_at = ({ledger})
                and dataset = %(dataset)s and file_month = %(month)s limit 1"""
            try:
                cursor.execute(ledger if name == "merged" else mart, self.of_month)
                found[name] = cursor.rowcount > 0
            except psycopg2.errors.UndefinedTable:
                found[name] = False
        return found


class Command:
    """A plain command in a session of its own; `folder` gets what it writes."""

    def __init__(self, folder: Path, arguments: list[str], env: dict[str, str]) -> None:
        self.output = (folder / "output").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT_DIR,
            env=env,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def said(self) -> str:
        """Return what the command wrote."""
        self.output.seek(0)
        return self.output.read()

    def survivors(self) -> list[int]:
        """List the processes of the session that still run: the command, and dbt in its group."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = stat.read_text().partition(" (")
            except (FileNotFoundError, ProcessLookupError):
                continue
            state, _, _, session = rest.rpartition(") ")[2].split()[:4]
            if int(session) == self.process.pid and state != "Z":
                found.append(int(pid))
        return found

    def signal(self, number: int, whom: str) -> None:
        """Send a signal to the command, to the dbt that it has started, or to the whole session."""
        own = self.process.pid
        session = self.survivors()
        dbt = [pid for pid in session if pid != own] or [own]
        for pid in {"command": [own], "dbt": dbt, "session": session}[whom]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def arguments_of(command: str, dataset: str, months: tuple[str, ...]) -> list[str]:
    """Return the arguments of Python for a command on months; a build is of all that landed."""
    if command == "build":
        folders = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
        return ["-m", "dbt.cli.main", "--no-use-colors", "build", *folders]
    return ["-m", "loader", command, *months_of(dataset, f"{months[0]}:{months[-1]}")]


class Witnesses:
    """Readers and backups beside a command: in READ COMMITTED, in REPEATABLE READ, by pg_dump.

    Each notes which version of a month the ledger names, and all trips of the month. They must be
    those of before or those of afterwards.
    """

    def __init__(self, rig: Rig, plan: Plan) -> None:
        self.rig, self.plan = rig, plan
        self.dice = random.Random(plan.seed)
        self.seen: set[tuple] = set()
        self.ends = threading.Event()
        kinds = {
            "read_committed": lambda: self._look(rig.workspace),
            "read_in_one_snapshot": lambda: self._look(rig.workspace, wait=self.dice.random()),
            "back_up": self._back_up,
        }
        self.threads = [threading.Thread(target=self._repeat, args=kind) for kind in kinds.items()]

    def __enter__(self) -> "Witnesses":
        self.before = self._look(self.rig.workspace)
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        for thread in self.threads:
            thread.join()

    def contradictions(self) -> list[str]:
        """List what was seen and was neither before nor is now."""
        allowed = self.before | self._look(self.rig.workspace)
        return [f"{seen[0]} had {seen[1:]}" for seen in self.seen if seen[1:] not in allowed]

    def _repeat(self, name: str, witness: Callable[[], set[tuple]]) -> None:
        while not self.ends.is_set():
            with suppress(psycopg2.Error):  # the server is down
                self.seen |= {(name, *seen) for seen in witness()}
            self.ends.wait(0.1)

    def _back_up(self) -> set[tuple]:
        workspace, dump = self.rig.workspace, self.rig.folder / "dump"
        options = ("--exclude-schema=tlc_staging", "--exclude-table=tlc_raw.*_tripdata*")
        backup = [program_path("pg_dump"), "-Fc", f"--file={dump}", *options]
        if subprocess.run(backup, env=workspace.env, capture_output=True, check=False).returncode:
            return set()
        copy = replace(workspace, env=workspace.env | {"PGDATABASE": "restored"})
        self.rig.admin("drop database if exists restored with (force)")
        self.rig.admin("create database restored template template0")
        restore = [program_path("pg_restore"), "--exit-on-error", "--dbname=restored", str(dump)]
        if subprocess.run(restore, env=copy.env, capture_output=True, check=False).returncode:
            return {("can't be restored",)} if self.rig.server_is_up() else set()
        return self._look(copy)

    def _look(self, workspace: Workspace, wait: float = 0) -> set[tuple]:
        """See each month in one statement; with a wait, in a transaction that began before it."""
        found = set()
        with closing(workspace.connect()) as connection, connection.cursor() as cursor:
            for month in self.plan.months:
                if wait:
                    cursor.execute("begin isolation level repeatable read")
                    cursor.execute("select 1")
                    self.ends.wait(wait)
                try:
                    cursor.execute(
                        f"""select
                            (select sha256 from tlc.file_ledger where is_current
                                and dataset = %(dataset)s and file_month = %(month)s),
                            (select count(*) || md5(string_agg(trips::text, '' order by file_row))
                                from tlc.{self.plan.dataset}_tripdata as trips
                                where file_month = %(month)s)""",
                        {"dataset": self.plan.dataset, "month": f"{month}-01"},
                    )
                    found.add((month, *cursor.fetchone()))
                except psycopg2.errors.UndefinedTable:  # nothing was merged yet
                    found.add((month, None, None))
                if wait:
                    cursor.execute("rollback")
        return found


def play(rig: Rig, plan: Plan) -> tuple[list[str], list[str]]:
    """Play a round; return the phases in which it was disturbed, and what is wrong afterwards."""
    rig.reset(blank=plan.blank)
    dice = random.Random(-plan.seed)
    for (_, month), path in files_of(rig, plan).items():
        publish(path, plan.dataset, month, dice)
    cdn = Cdn(rig.source)
    witnesses, watching = Witnesses(rig, plan), ExitStack()
    try:
        env = rig.workspace.env | {"TLC_SOURCE": cdn.url if plan.over_http else str(rig.source)}
        of_months = (plan.dataset, plan.months)
        if plan.command == "build":
            undisturbed = Command(rig.folder, arguments_of("load", *of_months), env)
            if undisturbed.process.wait():
                return [], [f"load: {undisturbed.said()}"]
        arguments = arguments_of(plan.command, *of_months)
        untouched = others(rig, plan)
        started = []
        phases = []
        watching.enter_context(witnesses)
        for fault, when in plan.disturbances:
            if when == "downloading":
                name = file_name(plan.dataset, parse_month(plan.months[0]))
                cdn.script(name, [stall(70_000)])
            started.append(Command(rig.folder, arguments, env))
            phases.append(disturb(rig, plan, started[-1], fault, when))
        if plan.command == "build":  # dbt doesn't start a server
            local_server.start(rig.local_dir)
        began = time.monotonic()
        started.append(Command(rig.folder, arguments, env))
        code = started[-1].process.wait(timeout=300)
        # How long a command takes on this machine now: random moments are shares of it.
        seconds, usual = time.monotonic() - began, rig.usual_seconds
        each = seconds / (len(plan.months) if plan.command == "run" else 1)
        usual[plan.command] = 0.7 * usual[plan.command] + 0.3 * each
        problems = [f"exit {code}: {started[-1].said()}"] if code else []
        for command in started:
            wait_until(lambda command=command: not command.survivors(), "a process of ours is left")
        watching.close()
        problems += witnesses.contradictions() + check(rig, plan)
        if others(rig, plan) != untouched:
            problems.append("partitions of other months were touched")
        return phases, problems
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        return [], [str(error)]
    finally:
        watching.close()
        cdn.close()


def disturb(rig: Rig, plan: Plan, command: Command, fault: str, when: str | float) -> str:
    """Let the fault strike when it should; tell the phase in which it did."""
    watch, began = Watch(rig, plan), time.monotonic()
    usual = rig.usual_seconds[plan.command] * (len(plan.months) if plan.command == "run" else 1)
    deadline = when * usual if isinstance(when, float) else None
    try:
        while command.process.poll() is None:
            phase = watch.look()
            if deadline is None:
                due = MILESTONES.index(phase) >= MILESTONES.index(str(when))
            else:
                due = time.monotonic() - began >= deadline
            # A server that is down after the strike before can't be struck: not yet.
            if due and (fault not in (*ON_SERVER, POWER) or rig.server_is_up()):
                strike(rig, command, fault)
                return phase
            time.sleep(0.001)
        return "ended"
    finally:
        watch.close()


def strike(rig: Rig, command: Command, fault: str) -> None:
    """Do what is to disturb a command, and wait until that has come about."""
    process = command.process
    if fault in KILLS:
        command.signal(*KILLS[fault])
    elif fault == POWER:
        rig.disk.copy()
        pid = rig.server_pid()
        command.signal(signal.SIGKILL, "session")
        os.kill(pid, signal.SIGKILL)
        rig.disk.lose()
    elif fault == "server stopped at once":
        os.kill(rig.server_pid(), signal.SIGQUIT)
    elif fault == "server killed":
        os.kill(rig.server_pid(), signal.SIGKILL)
    elif fault == "sessions terminated":
        rig.workspace.query(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid != pg_backend_pid()"
        )
    else:
        if fault == "killed, dlt's folder wiped":
            command.signal(signal.SIGKILL, "session")
            process.wait()
        shutil.rmtree(rig.local_dir / "dlt", ignore_errors=True)
    process.wait(timeout=300)


def wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
    """Wait for something that comes about by itself within a minute."""
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.01)


# ---- What must hold afterwards -------------------------------------------------------------------


def others(rig: Rig, plan: Plan) -> dict[str, tuple]:
    """Identify the partitions of the months that the round has nothing to do with."""
    mine = {f"{plan.dataset}_tripdata_{month.replace('-', '_')}" for month in plan.months}
    return {
        name: identity
        for name, identity in rig.workspace.relations().items()
        if re.fullmatch(r"(yellow|green)_tripdata_\d{4}_\d\d", name) and name not in mine
    }


def check(rig: Rig, plan: Plan) -> list[str]:
    """List what is not as it should be after a round."""
    asked = files_of(rig, plan)
    merged: dict[Key, Path] = {}
    if not plan.blank:
        for path in rig.originals.iterdir():
            merged[path.name.split("_")[0], path.stem[-7:]] = path
    had = {}
    if plan.command != "load":
        had = {key: wanted(merged[key], key[0]).num_rows for key in asked if key in merged}
        merged |= asked
    raw = asked if plan.command != "run" else {}
    return [
        *check_rows(rig.workspace, merged, raw),
        *check_marts(rig.workspace, merged),
        *check_records(rig.workspace, merged, raw, had),
        *check_leftovers(
            rig.workspace, raw, [path.name for path in raw.values()] if plan.over_http else []
        ),
        # What dlt had removed may be there again after a loss of power, until the next landing.
        *([] if rig.disk else check_dlt(rig.workspace)),
    ]


def check_rows(workspace: Workspace, merged: dict[Key, Path], raw: dict[Key, Path]) -> list[str]:
    """Compare every value of the trips and raw tables with the files."""
    problems = []
    for reader, files in ((stored, merged), (landed, raw)):
        for key, path in files.items():
            try:
                assert_same(reader(workspace, *key), wanted(path, key[0]))
            except (AssertionError, pytest.fail.Exception, psycopg2.Error) as error:
                problems.append(f"{reader.__name__} {' '.join(key)}: {error}")
    for dataset in {dataset for dataset, _ in merged}:
        found = workspace.query(
            "select file_month, count(distinct unique_row_id), count(*)"
            f" from {workspace.tlc}.{dataset}_tripdata group by 1 order by 1"
        )
        if [f"{m:%Y-%m}" for m, *_ in found] != sorted(m for d, m in merged if d == dataset):
            problems.append(f"{dataset} has the months {found}")
        problems += [
            f"{dataset} {m:%Y-%m}: {rows - ids} ids repeat" for m, ids, rows in found if ids != rows
        ]
    return problems


def check_marts(workspace: Workspace, merged: dict[Key, Path]) -> list[str]:
    """Compare what the marts count with the files."""
    marts = f"{workspace.tlc}_marts"
    problems = []
    for (dataset, month), path in merged.items():
        rows, of_month = wanted(path, dataset), where(dataset, month)
        zones = [rows[f"{end}_location_id"].to_pylist() for end in ("pickup", "dropoff")]
        hours = [
            t and t.replace(minute=0, second=0, microsecond=0)
            for t in rows["pickup_datetime"].to_pylist()
        ]
        whole = ("1 as one, 2 as two", {(1, 2): len(rows)})
        for mart, (columns, groups) in {
            "hourly_zone_trips": (
                "pickup_hour, pickup_location_id",
                Counter(zip(hours, zones[0], strict=True)),
            ),
            "zone_pairs": (
                "pickup_location_id, dropoff_location_id",
                Counter(zip(*zones, strict=True)),
            ),
            **dict.fromkeys(("monthly_fares", "monthly_trips", "dropoff_hours"), whole),
        }.items():
            found = workspace.query(
                f"select {columns}, sum(trips + reversals) from {marts}.{mart} {of_month}"
                " group by 1, 2"
            )
            if {tuple(group): count for *group, count in found} != groups:
                problems.append(f"{mart} of {dataset} {month} doesn't count the file's trips")
        quality = f"select all_rows from {marts}.month_quality {of_month}"
        if workspace.query(quality) != [(len(rows),)]:
            problems.append(f"month_quality of {dataset} {month} doesn't count the file's trips")
    return problems


def check_records(
    workspace: Workspace,
    merged: dict[Key, Path],
    raw: dict[Key, Path],
    had: dict[Key, int],
) -> list[str]:
    """Compare the ledger and the record of landed files with the files.

    `had` are the rows of months before their newest version, of those that had any.
    """
    problems = []
    for key, path in merged.items():
        rows, digest = wanted(path, key[0]).num_rows, sha256(path)
        entries = workspace.query(
            "select sha256, file_rows, landed_rows, table_rows, rows_added + rows_unchanged,"
            " rows_removed + rows_unchanged"
            f" from {workspace.tlc}.file_ledger {where(*key)} and is_current"
        )
        before = had.get(key, 0)
        if entries != [(digest, rows, rows, rows, rows, before)]:
            problems.append(f"ledger of {' '.join(key)}: {entries}, {rows} rows, {before} before")
    for key, path in (merged | raw).items():
        newest = workspace.query(
            "select sha256, landed_rows, raw_dropped_at is null"
            f" from {workspace.raw}.month_files {where(*key)} order by landed_at desc limit 1"
        )
        if newest != [(sha256(path), wanted(path, key[0]).num_rows, key in raw)]:
            problems.append(f"month_files of {' '.join(key)}: {newest}")
    return problems


def where(dataset: str, month: str) -> str:
    """Name a month in SQL."""
    return f"where dataset = '{dataset}' and file_month = date '{month}-01'"


def check_leftovers(workspace: Workspace, raw: dict[Key, Path], kept: list[str]) -> list[str]:
    """Look for relations, sessions, locks and files that nobody needs any more.

    Raw rows of some months should be there, and some downloads.
    """
    problems = []
    wanted = {f"{dataset}_tripdata_{month.replace('-', '_')}" for dataset, month in raw}
    found = workspace.query(
        "select relname, relispartition from pg_class"
        " where relnamespace::regnamespace::text like 'tlc%%' and relkind in ('r', 'p', 'v', 'm')"
    )
    for name, is_partition in found:
        is_needed = is_partition and name.partition("__")[0] in wanted
        if re.search(r"_tripdata_\d{4}_\d\d__|__dbt_", name) and not is_needed:
            problems.append(f"relation {name} is left")
    missing = wanted - {name.partition("__")[0] for name, is_partition in found if is_partition}
    problems += [f"raw rows of {name} are missing" for name in missing]
    sessions = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and backend_type = 'client backend' and pid != pg_backend_pid()"
    )
    wait_until(lambda: workspace.query(sessions) == [(0,)], "a session is left")
    locks = workspace.query("select objid from pg_locks where locktype = 'advisory'")
    problems += [f"lock {lock} is left" for lock in locks]
    files = sorted(path.name for path in (workspace.local_dir / "downloads").glob("*"))
    if files != sorted(name for n in kept for name in (n, f"{n}.version")):
        problems.append(f"downloads: {files}")
    return problems


def check_dlt(workspace: Workspace) -> list[str]:
    """Look for what dlt has begun and not finished."""
    problems = []
    working = workspace.local_dir / "dlt" / "pipelines" / "nyc_tlc"
    for pattern in ("load/new/*", "load/normalized/*", "normalize/extracted/*"):
        # Packages: a file here is what dlt was writing when it was killed, to be renamed.
        problems += [f"{path} is left" for path in working.glob(pattern) if path.is_dir()]
    # Of an extraction, in a folder with a random name.
    folders = {path.name for path in working.glob("normalize/*") if path.is_dir()}
    problems += [f"normalize/{name} is left" for name in folders - {"extracted"}]
    return problems


def files_of(rig: Rig, plan: Plan) -> dict[Key, Path]:
    """Name the month files of a round."""
    suffix = ".csv.gz" if plan.csv else ".parquet"
    return {
        (plan.dataset, month): rig.source / file_name(plan.dataset, parse_month(month), suffix)
        for month in plan.months
    }


def wanted(path: Path, dataset: str) -> pa.Table:
    """Read a month file as the table should have it."""
    return (expected_of_csv if path.suffix == ".gz" else expected)(path, dataset)


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    """Play rounds; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--power", action="store_true")
    parser.add_argument("--target", choices=("postgres", "bigquery"), default="postgres")
    options = parser.parse_args()
    # In the background of a shell it is ignored, and would be by the commands too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.target == "bigquery":
        from tests import chaos_bigquery

        return chaos_bigquery.main(options.rounds, options.seed)
    struck: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    wrong = 0
    possible = (POWER,) if options.power else FAULTS
    with stocked_rig(loses_power=options.power) as rig:
        for seed in range(options.seed, options.seed + options.rounds):
            plan, began = Plan.of_seed(seed, possible), time.monotonic()
            phases, problems = play(rig, plan)
            struck.update(f"{plan.command}: {phase}" for phase in phases)
            faults.update(fault for fault, _ in plan.disturbances)
            wrong += bool(problems)
            outcome = "; ".join(problems) if problems else "exact"
            seconds = time.monotonic() - began
            print(
                f"seed {seed}: {plan} [{', '.join(phases)}] {outcome} ({seconds:.1f} s)", flush=True
            )
    print("\nstruck while the command was")
    for command, milestones in OF_COMMAND.items():
        for phase in (*(["starting"] if command != "build" else []), *milestones, "ended"):
            name = f"{command}: {phase}"
            print(f"  {name:<24}{struck[name]:>4}  {'#' * struck[name]}")
    print("\nby")
    for fault in possible:
        print(f"  {fault:<28}{faults[fault]:>4}")
    print(f"\n{options.rounds} rounds, {options.rounds - wrong} exact, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
