"""The run's own embedded server, and how work on it is measured: time, memory, WAL."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg2
from rich.console import Console

from loader.embedded import local_server
from loader.settings import PROJECT_DIR
from tests.conftest import Workspace, clean_env

MB = 1e6

_console = Console(stderr=True)

_SCHEMAS = ("tlc_raw", "tlc_staging", "tlc", "tlc_marts")
_SAMPLE_SECONDS = 0.2


def say(text: str) -> None:
    """Tell on standard error how far the run is."""
    _console.print(text, highlight=False)


class BenchmarkError(Exception):
    """Something didn't run, or came out wrong: the figures would mean nothing."""


@dataclass(frozen=True)
class Measured:
    """What a piece of work took.

    Attributes:
        seconds: wall time.
        wal_mb: WAL that the server wrote meanwhile.
        disk_mb: what the disk wrote meanwhile, and until all of it was there; 0 where the system
            doesn't count it.
        server_seconds: seconds of a core that server processes took which have ended meanwhile.
        room_mb: how much less room the disk had meanwhile, at the most; this and peak_mb are 0 for
            work of the server alone.
        peak_mb: memory of the process and all that it started, added up, at its highest.
        output: what the process said on standard output.
        said: what it said on standard error.
    """

    seconds: float
    wal_mb: float
    disk_mb: float
    server_seconds: float
    room_mb: float = 0
    peak_mb: float = 0
    output: str = ""
    said: str = ""

    @property
    def figures(self) -> dict[str, float]:
        """The figures, rounded, for the result."""
        figures = {name: value for name, value in asdict(self).items() if isinstance(value, float)}
        return {name: round(value, 2) for name, value in figures.items() if value}


class Server:
    """An embedded server in a folder of its own, started as the loader starts the user's."""

    def __init__(self, local_dir: Path) -> None:
        """Start it and connect; use `throwaway_server`."""
        self.local_dir = local_dir
        local_server.start(local_dir)
        self.connection_env = local_server.connection_env(local_dir)
        self.connection = self.connect()

    def workspace(self, prefix: str = "", **env: str) -> Workspace:
        """Return the surroundings in which a user of this server works, with more variables."""
        settings = {
            "TLC_TARGET": "local",
            "TLC_LOCAL_DIR": str(self.local_dir),
            "TLC_SCHEMA_PREFIX": prefix,
            "DBT_TARGET_PATH": str(self.local_dir / "dbt"),
            "DBT_LOG_PATH": str(self.local_dir / "logs"),
        }
        return Workspace(
            clean_env(**settings, **self.connection_env, **env), self.local_dir, prefix
        )

    def connect(self) -> psycopg2.extensions.connection:
        """Open a connection that commits by itself."""
        return self.workspace().connect()

    @property
    def data_dir(self) -> Path:
        """Where the server may write files of its own."""
        return self.local_dir / "postgres"

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run SQL, several statements in one transaction; return its rows, if it gives any."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def scalar(self, statement: str, *values: Any) -> Any:
        """Run a statement and return the first value of its first row."""
        return self.execute(statement, *values)[0][0]

    def timed(self, statement: str) -> Measured:
        """Run a statement, alone on the server, and measure it."""
        with self._alone() as elapsed:
            self.execute(statement)
        return Measured(**elapsed)

    def timed_copy(self, statement: str, file: Path) -> Measured:
        """Send a file through a `copy … from stdin`, and measure it."""
        with (
            file.open("rb") as stream,
            self._alone() as elapsed,
            self.connection.cursor() as cursor,
        ):
            cursor.copy_expert(statement, stream, size=1 << 18)
        return Measured(**elapsed)

    def timed_process(self, command: Sequence[str], env: dict[str, str]) -> Measured:
        """Run a process, and measure it; a BenchmarkError has the last line of one that fails."""
        peak = 0
        with (
            self._alone() as elapsed,
            subprocess.Popen(  # noqa: S603 - the project's programs and its peers'
                command,
                cwd=PROJECT_DIR,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            free = least = self.free_bytes()
            while True:
                with suppress(subprocess.TimeoutExpired):
                    output, said = process.communicate(timeout=_SAMPLE_SECONDS)
                    break
                peak = max(peak, tree_bytes(process.pid))
                least = min(least, self.free_bytes())
        if process.returncode:
            lines = [line for line in (output + said).splitlines() if line.strip()]
            raise BenchmarkError(lines[-1].strip() if lines else f"exit {process.returncode}")
        room = (free - least) / MB
        return Measured(**elapsed, room_mb=room, peak_mb=peak / MB, output=output, said=said)

    def timed_project(self, *arguments: str, source: Path, prefix: str = "") -> Measured:
        """Run Python in the project, as a user of this server would, and measure it."""
        env = self.workspace(prefix, TLC_SOURCE=str(source)).env
        try:
            return self.timed_process((sys.executable, *arguments), env)
        except BenchmarkError as error:
            what = " ".join(argument for argument in arguments if "\n" not in argument)
            raise BenchmarkError(f"python {what}: {error}") from error

    def drop(self, prefix: str) -> None:
        """Drop the schemas of a warehouse: the next run finds it empty."""
        for schema in _SCHEMAS:
            self.execute(f"drop schema if exists {prefix}{schema} cascade")

    def size_mb(self, pattern: str) -> float:
        """Return the size on disk, indexes included, of the tables whose names match."""
        query = (
            "select coalesce(sum(pg_total_relation_size(oid)), 0) / 1e6 from pg_class"
            " where relkind = 'r'"
            " and format('%%s.%%s', relnamespace::regnamespace, relname) like %s"
        )
        return round(float(self.scalar(query, pattern)), 1)

    def free_bytes(self) -> int:
        """Return the room that is left on the disk of the server's folder."""
        return shutil.disk_usage(self.local_dir).free

    @contextmanager
    def _alone(self) -> Iterator[dict[str, float]]:
        """Time what is done inside, after all that was written before has reached the disk."""
        self.execute("checkpoint")
        os.sync()
        elapsed: dict[str, float] = {}
        before, on_disk = self.scalar("select pg_current_wal_lsn()"), self._disk_mb()
        cpu = self._cpu_seconds()
        started = time.perf_counter()
        yield elapsed
        elapsed["seconds"] = time.perf_counter() - started
        written = self.scalar("select pg_wal_lsn_diff(pg_current_wal_lsn(), %s)", before)
        elapsed["wal_mb"] = float(written) / MB
        elapsed["server_seconds"] = self._cpu_seconds() - cpu
        self.execute("checkpoint")
        os.sync()
        elapsed["disk_mb"] = self._disk_mb() - on_disk

    def _cpu_seconds(self) -> float:
        """Return the processor time of the server's processes that have ended."""
        pid = (self.data_dir / "postmaster.pid").read_text().split()[0]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def _disk_mb(self) -> float:
        """Return how much the disk of the server's folder has written since the system started."""
        device = self.local_dir.stat().st_dev
        number = [str(os.major(device)), str(os.minor(device))]
        for line in Path("/proc/diskstats").read_text().splitlines():
            fields = line.split()
            if fields[:2] == number:
                return int(fields[9]) * 512 / MB
        return 0


@contextmanager
def throwaway_server(folder: Path) -> Iterator[Server]:
    """Start a server in a folder; it is removed afterwards, as is what a killed run left there."""
    local_dir = folder / "server"
    _remove(local_dir)
    server = Server(local_dir)
    try:
        yield server
    finally:
        server.connection.close()
        _remove(local_dir)


def _remove(local_dir: Path) -> None:
    local_server.stop(local_dir)
    shutil.rmtree(local_server.socket_dir(local_dir), ignore_errors=True)
    shutil.rmtree(local_dir, ignore_errors=True)


def tree_bytes(pid: int) -> int:
    """Return the resident memory of a process and of all its descendants."""
    total = 0
    with suppress(OSError, ValueError):  # it has just ended
        proc = Path(f"/proc/{pid}")
        total = int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for task in (proc / "task").iterdir():
            for child in (task / "children").read_text().split():
                total += tree_bytes(int(child))
    return total
