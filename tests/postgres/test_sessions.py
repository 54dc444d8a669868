"""Servers, poolers and roles that a load can't work with: told before anything is downloaded."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loader.embedded.owner import server_user
from tests.conftest import Workspace, publish, succeeded
from tests.exact import assert_same, expected, stored

MONTH = ("--dataset", "green", "--month", "2023-02")


@pytest.fixture
def role(server, workspace) -> Iterator[str]:
    """A superuser of the test's own, whom anybody may be."""
    rules = server / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all visitor trust\n{before}")
    workspace.query("create role visitor superuser login")
    workspace.query("select pg_reload_conf()")
    yield "visitor"
    rules.write_text(before)
    workspace.query("select pg_reload_conf()")
    workspace.query("drop owned by visitor cascade")
    workspace.query("drop role visitor")


def refusal(workspace: Workspace, **env: str) -> str:
    """Try doctor, and commands that write; return their message, which is the same."""
    nothing = workspace.local_dir / "none"  # a source that would be missed, if it were asked
    nothing.mkdir(exist_ok=True)
    messages = set()
    for command in (("doctor",), ("load", *MONTH), ("run", *MONTH)):
        process = workspace.loader(*command, "--source", nothing, **env)
        assert process.returncode == 6, process.stderr
        assert "Traceback" not in process.stderr
        (line,) = (
            line
            for line in (process.stdout + process.stderr).splitlines()
            if line.startswith(("error: ", "FAIL  target"))
        )
        messages.add(line.partition(": ")[2])
    (message,) = messages
    return message


@pytest.fixture
def pooler(role, server, workspace, tmp_path) -> Callable[..., Iterator[dict[str, str]]]:
    """Starts pgbouncer before the server; gives the variables that lead to it."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no pooler is between loader and server: install pgbouncer")

    @contextmanager
    def start(pool_mode: str, ignored: str) -> Iterator[dict[str, str]]:
        user = server_user(server / "postgres").pw_name
        sockets = Path(workspace.env["PGHOST"])
        configuration = tmp_path / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={sockets} port={workspace.env['PGPORT']} user={role}\n"
            f"[pgbouncer]\nunix_socket_dir = {sockets}\nlisten_port = 6432\nauth_type = any\n"
            f"pool_mode = {pool_mode}\nignore_startup_parameters = {ignored}\n"
        )
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        command = [program, "-u", user, configuration]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            next(line for line in process.stderr if "process up" in line)
            yield {"PGPORT": "6432", "PGUSER": role}
            process.terminate()

    return start


def test_a_pooler_that_shares_sessions_is_refused_and_one_that_keeps_them_works(pooler, workspace):
    path = publish(workspace.source, "green", "2023-02", 500)
    with pooler("transaction", "options") as env:
        assert "set pool_mode = session" in refusal(workspace, **env)
    with pooler("session", "") as env:
        assert "unsupported startup parameter" in refusal(workspace, **env)
    with pooler("session", "options") as env:
        options = ("--source", workspace.source)
        succeeded(workspace.loader("doctor", *options, **env))
        succeeded(workspace.loader("run", *MONTH, *options, **env))
    assert_same(stored(workspace, "green", "2023-02"), expected(path, "green"))


def test_sessions_that_only_read_are_refused(workspace, role):
    workspace.query(f"alter role {role} set default_transaction_read_only = on")
    assert "set default_transaction_read_only = off" in refusal(workspace, PGUSER=role)


def test_another_encoding_is_refused(workspace):
    workspace.query("create database latin encoding 'LATIN1' template template0")
    try:
        assert "has the encoding LATIN1" in refusal(workspace, PGDATABASE="latin")
    finally:
        workspace.query("drop database latin")


def test_limits_on_statements_are_told_and_those_on_idle_sessions_dont_matter(workspace, role):
    path = publish(workspace.source, "green", "2023-02", 500)
    workspace.query(f"alter role {role} set statement_timeout = '9min'")
    for idle in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
        workspace.query(f"alter role {role} set {idle} = '5s'")
    advice = f"after 540 s, and those of a large month take minutes: alter role {role} set"
    options = ("--source", workspace.source)
    assert advice in succeeded(workspace.loader("doctor", *options, PGUSER=role)).stdout
    assert advice in succeeded(workspace.loader("run", *MONTH, *options, PGUSER=role)).stderr
    assert_same(stored(workspace, "green", "2023-02"), expected(path, "green"))
