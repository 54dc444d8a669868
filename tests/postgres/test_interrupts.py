"""Ctrl-C and SIGTERM, in each stage: told what is done, at once, and the same command goes on.

Commands run in a session of their own, as on a terminal. What they wait for when they are struck,
a server that sends nothing more or a lock, is there until they have ended.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from loader.calendar import file_name, parse_month
from loader.settings import PROJECT_DIR
from tests.cdn import cdn, stall, status
from tests.conftest import Workspace, publish, succeeded
from tests.exact import assert_same, expected, landed, stored
from tests.months import load, of

__all__ = ["cdn"]

pytestmark = pytest.mark.empty_warehouse

GREEN = ("--dataset", "green", "--month")
GO_ON = "nothing half-done; run the same command again to go on"
#: Far less than what commands are held up for: a stalled body, a lock.
SECONDS = 20


class Command:
    """A command that runs, and what it has said on standard error so far."""

    def __init__(
        self, workspace: Workspace, *arguments: object, python: str = sys.executable
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "loader", *map(str, arguments)],
            cwd=PROJECT_DIR,
            env=workspace.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, words: str) -> str:
        """Read standard error up to a line with these words."""
        said = ""
        for line in self.process.stderr:
            said += line
            if words in line:
                return said
        raise AssertionError(f"{words!r} is not in {said!r}")

    def press_ctrl_c(self) -> None:
        """Do what a terminal does: SIGINT to its process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self, seconds: float = SECONDS) -> tuple[int, str, list[str]]:
        """Wait for the end; return the exit code, standard output and the lines of the rest."""
        stdout, stderr = self.process.communicate(timeout=seconds)
        return self.process.returncode, stdout, stderr.splitlines()


@pytest.fixture
def running(workspace) -> Iterator[Callable[..., Command]]:
    """Starts commands, and kills what a failed test leaves of them."""
    commands = []

    def start(*arguments: object) -> Command:
        commands.append(Command(workspace, *arguments))
        return commands[-1]

    yield start
    for command in commands:
        if command.process.poll() is None:
            command.process.kill()
        command.process.communicate()


def put(folder: Path, month: str, rows: int = 3_000) -> Path:
    return publish(folder, "green", month, rows)


@contextmanager
def locked(workspace: Workspace, table: str, mode: str) -> Iterator[Callable[[], None]]:
    """Hold a table's lock; gives a function that returns when somebody waits for it."""
    waiting = "select count(*) from pg_locks where not granted and relation = %s::regclass"
    with closing(workspace.connect()) as holder, holder.cursor() as cursor:
        cursor.execute(f"begin; lock {table} in {mode} mode")
        yield lambda: wait_until(lambda: workspace.query(waiting, table) != [(0,)])


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def backends(workspace: Workspace, program: str) -> int:
    """Count a program's sessions on the server."""
    query = "select count(*) from pg_stat_activity where application_name = %s"
    return workspace.query(query, program)[0][0]


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_in_a_download(workspace, running, cdn, tmp_path):
    paths = {month: put(cdn.folder, month) for month in ("2023-01", "2023-02", "2023-03")}
    cdn.script(paths["2023-02"].name, [stall(70_000)])
    summary = tmp_path / "summary.md"
    command = ("run", *GREEN, "2023-01", "--to", "2023-03", "--source", cdn.url)
    run = running(*command, "--json", "--summary", summary)

    run.wait_for("1 of 3 months")
    assert cdn.asked("GET", paths["2023-02"].name)
    run.press_ctrl_c()

    code, stdout, stderr = run.ended()
    assert (code, stdout) == (130, "")
    assert stderr == [
        f"stopped: 1 of 3 months done (green 2023-01); green 2023-02 and 2023-03 not done, {GO_ON}"
    ]
    told = summary.read_text().splitlines()
    assert told[0] == "**Stopped.**"
    *rows, report = (line for line in told[4:] if line)
    assert [line.split(" | ")[0] for line in rows] == ["| green 2023-01"]
    assert report == "To look at them: `nyc-tlc report --month 2023-01`"
    assert_same(stored(workspace, "green", "2023-01"), expected(paths["2023-01"], "green"))

    again = succeeded(workspace.loader(*command))
    assert re.fullmatch(r"3 months, 9,000 rows, [0-9.]+ s", again.stdout.splitlines()[-1])
    for month, path in paths.items():
        assert_same(stored(workspace, "green", month), expected(path, "green"))


def test_while_a_failed_month_is_not_reported_yet(workspace, running, cdn):
    (cdn.folder / file_name("green", parse_month("2023-01"))).write_bytes(b"<html>")
    path = put(cdn.folder, "2023-02")
    cdn.script(path.name, [stall(70_000)])
    run = running("run", *GREEN, "2023-01", "--to", "2023-02", "--source", cdn.url)
    run.wait_for("1 of 2 months")
    run.process.terminate()
    code, _, stderr = run.ended()
    assert code == 143
    assert [line[:20] for line in stderr] == ["error: green 2023-01", "stopped: 0 of 2 mont"]


@pytest.mark.parametrize(
    ("mode", "stage"), [("access exclusive", "copying"), ("share", "publishing")]
)
def test_in_a_landing(workspace, running, mode, stage):
    first = put(workspace.source, "2022-12")
    load(workspace, "green", "2022-12")
    paths = {month: put(workspace.source, month) for month in ("2023-01", "2023-02")}
    command = ("load", *of("green", "2023-01:2023-02"), "--source", workspace.source)
    with locked(workspace, f"{workspace.raw}.green_tripdata", mode) as somebody_waits:
        landing = running(*command)
        somebody_waits()
        landing.process.terminate()
        code, stdout, stderr = landing.ended()
        # The locks on the month are given back, though the one on the table is waited for.
        wait_until(lambda: backends(workspace, "nyc_tlc") == 0)
    assert (code, stdout) == (143, "")
    shown = any("green 2023-01  copy " in line for line in stderr)
    assert shown == (stage == "publishing")
    wanted = f"stopped: 0 of 2 months landed; green 2023-01 and 2023-02 not landed, {GO_ON}"
    assert stderr[-1] == wanted
    assert_same(landed(workspace, "green", "2022-12"), expected(first, "green"))
    assert landed(workspace, "green", "2023-01").num_rows == 0

    succeeded(workspace.loader(*command))
    for month, path in paths.items():
        assert_same(landed(workspace, "green", month), expected(path, "green"))


@pytest.mark.slow
def test_in_a_build(workspace, running):
    put(workspace.source, "2023-01", rows=2_000)
    command = ("run", *GREEN, "2023-01", "--source", workspace.source)
    succeeded(workspace.loader(*command))
    before = stored(workspace, "green", "2023-01")
    path = put(workspace.source, "2023-01")

    # A merge can't change the partition's rows.
    with locked(workspace, f"{workspace.tlc}.green_tripdata_2023_01", "share") as somebody_waits:
        for number in (signal.SIGINT, signal.SIGTERM):
            run = running(*command)
            somebody_waits()
            (dbt,) = children(run.process.pid)
            os.killpg(run.process.pid, number)
            code, stdout, stderr = run.ended()
            assert not Path(f"/proc/{dbt}").exists()
            wait_until(lambda: backends(workspace, "dbt") == 0)
            assert (code, stdout) == (128 + number, "")
            assert not [line for line in stderr if "merge" in line]
            assert stderr[-1] == f"stopped: green 2023-01 not done, {GO_ON}"

        run = running(*command)
        somebody_waits()
        (dbt,) = children(run.process.pid)
        os.kill(dbt, signal.SIGSTOP)  # dbt takes its time to cancel its queries
        run.press_ctrl_c()
        run.wait_for("stopped: ")
        run.press_ctrl_c()
        assert run.process.wait(SECONDS) == -signal.SIGINT
        os.kill(dbt, signal.SIGCONT)
        wait_until(lambda: backends(workspace, "dbt") == 0)

    assert_same(stored(workspace, "green", "2023-01"), before)
    succeeded(workspace.loader(*command))
    assert_same(stored(workspace, "green", "2023-01"), expected(path, "green"))


def test_in_a_mirror(workspace, running, cdn, tmp_path):
    paths = {month: put(cdn.folder, month) for month in ("2023-01", "2023-02", "2023-03")}
    cdn.script(paths["2023-02"].name, [stall(70_000)])
    months = ("2023-01", "--to", "2023-03", "--source", cdn.url)
    command = ("mirror", *GREEN, *months, tmp_path / "copy")
    mirror = running(*command)
    for _ in range(2):
        mirror.wait_for("  mirrored ")
    mirror.press_ctrl_c()
    code, stdout, stderr = mirror.ended()
    assert (code, stdout) == (130, "")
    assert stderr == [
        "stopped: 2 of 3 months mirrored (green 2023-01, 2023-03); green 2023-02 not mirrored,"
        f" {GO_ON}"
    ]
    succeeded(workspace.loader(*command))
    for path in paths.values():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "command",
    [("available", "--dataset", "green"), ("sync",), ("doctor",)],
    ids=lambda command: command[0],
)
def test_while_the_source_is_asked(running, command):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        asking = running(*command, "--source", f"http://{host}")
        connection, _ = silent.accept()
        asking.press_ctrl_c()
        code, _, stderr = asking.ended()
        connection.close()
    assert (code, stderr) == (130, ["stopped: nothing was changed"])


def test_while_a_retry_is_waited_for(running, cdn, tmp_path):
    cdn.script(put(cdn.folder, "2023-01").name, [status(503, Retry_After="60")], method="HEAD")
    mirror = running("mirror", *GREEN, "2023-01", "--source", cdn.url, tmp_path / "copy")
    mirror.wait_for("trying again in 60 s")
    mirror.press_ctrl_c()
    code, _, stderr = mirror.ended()
    assert (code, stderr) == (130, [f"stopped: green 2023-01 not mirrored, {GO_ON}"])


def test_a_command_in_the_background_goes_on(workspace, cdn, tmp_path):
    # A shell without job control has its background commands ignore SIGINT.
    path = put(cdn.folder, "2023-01")
    command = ("mirror", *GREEN, "2023-01", "--source", cdn.url, tmp_path / "copy")
    cdn.script(path.name, [status(503, Retry_After="1")], method="HEAD")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        mirror = Command(workspace, *command)
    finally:
        signal.signal(signal.SIGINT, before)
    mirror.wait_for("trying again")
    mirror.press_ctrl_c()
    assert mirror.ended()[0] == 0
    assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()
