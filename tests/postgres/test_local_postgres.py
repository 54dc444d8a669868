"""The embedded server, for real, in temporary folders."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from loader.embedded import local_server, postmaster, wheel
from loader.errors import WarehouseError
from loader.settings import PROJECT_DIR
from tests.conftest import Workspace

START = "import sys; from pathlib import Path; from loader.embedded.local_server import start;"
START += "print(start(Path(sys.argv[1])))"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@contextmanager
def local_dirs():
    """Give fresh folders (of mode 0700, as mkdtemp makes them); end their servers afterwards."""
    made = []

    def make():
        # Not pytest's tmp_path: it is in a folder that is closed already.
        folder = Path(tempfile.mkdtemp(prefix="test_local_postgres-"))
        made.append(folder)
        return folder / ".local"

    try:
        yield make
    finally:
        for folder in made:
            local_server.stop(folder / ".local")
            shutil.rmtree(local_server.socket_dir(folder / ".local"), ignore_errors=True)
            shutil.rmtree(folder)


@pytest.fixture
def new_local_dir():
    with local_dirs() as make:
        yield make


@pytest.fixture
def local_dir(new_local_dir):
    return new_local_dir()


@pytest.fixture
def started(local_dir):
    """Give the folder of a server of the test's own."""
    local_server.start(local_dir)
    return local_dir


@pytest.fixture(scope="module")
def running():
    """Give the folder of a server that tests share, as they only look at it."""
    with local_dirs() as make:
        local_dir = make()
        local_server.start(local_dir)
        yield local_dir


def connect(local_dir):
    env = local_server.connection_env(local_dir)
    return Workspace(env, local_dir, "").connect()


def query(local_dir, *statements):
    with closing(connect(local_dir)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


def start_elsewhere(local_dir, *prefix):
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", START, str(local_dir)],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def as_user(name):
    group = pwd.getpwnam(name).pw_gid
    prefix = ["setpriv", f"--reuid={name}", f"--regid={group}", "--clear-groups"]
    imports = [*prefix, sys.executable, "-c", "import loader.embedded.local_server, psycopg2"]
    if subprocess.run(imports, cwd=PROJECT_DIR, capture_output=True).returncode:
        pytest.skip(f"user {name} can't run this Python or can't read the project")
    return prefix


def kill_server(local_dir):
    """Kill the postmaster; wait until its children have noticed."""
    pid = local_server.status(local_dir).pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(postmaster.command_line(process) for process in [str(pid), *children]):
        assert time.monotonic() < deadline, "the killed server's processes don't end"


def name_process(pid_file, pid):
    """Have the file of a dead server name another process."""
    pid_file.write_text("\n".join([str(pid), *pid_file.read_text().split("\n")[1:]]))


def capabilities(local_dir):
    pid = local_server.status(local_dir).pid
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {int(line.split()[1], 16) for line in lines if line.startswith(("CapEff", "CapPrm"))}


def test_first_start_creates_and_second_finds(local_dir):
    assert local_server.start(local_dir) is True
    assert local_server.start(local_dir) is False

    status = local_server.status(local_dir)
    assert status.running
    assert status.data_dir == local_dir / "postgres"
    assert status.socket_dir == local_server.socket_dir(local_dir)
    assert status.version.startswith("18.")
    assert status.size_bytes > 10_000_000
    assert os.getsid(status.pid) == status.pid  # Ctrl-C in our terminal doesn't reach it
    assert status.socket_dir.stat().st_mode & 0o777 == 0o700
    assert query(local_dir, "select current_database(), current_user") == [("nyc_taxi", "postgres")]


def test_settings(running):
    expected = {
        "data_checksums": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "lc_collate": "C",
        "log_timezone": "UTC",
        "server_encoding": "UTF8",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "wal_level": "minimal",
    }
    collation = "select datcollate from pg_database where datname = 'nyc_taxi'"
    found = dict(query(running, "select name, setting from pg_settings"))
    found["lc_collate"] = query(running, collation)[0][0]
    assert {name: found[name] for name in expected} == expected


def test_ten_queries_over_600_months_at_once(running):
    query(
        running,
        """
        create table months (id int, month int) partition by list (month);
        do $$ begin for n in 1..600 loop
            execute format('create table m%s partition of months for values in (%s)', n, n);
            execute format('create unique index on m%s (id)', n);
        end loop; end $$
        """,
    )
    with ExitStack() as connections:
        for _ in range(10):
            cursor = connections.enter_context(closing(connect(running))).cursor()
            cursor.execute("begin")  # each keeps its locks to the end of its transaction
            cursor.execute("select count(*) from months")
            assert cursor.fetchone() == (0,)
    query(running, "drop table months")


def test_two_local_dirs_at_once(new_local_dir):
    one, two = new_local_dir(), new_local_dir()
    local_server.start(one)
    local_server.start(two)
    query(one, "create table only_in_one (i int)")
    assert query(one, "select to_regclass('only_in_one')") == [("only_in_one",)]
    assert query(two, "select to_regclass('only_in_one')") == [(None,)]
    local_server.stop(one)
    assert local_server.status(two).running
    assert query(two, "select 1") == [(1,)]


def test_of_concurrent_starts_one_starts_it_and_the_server_survives_that_process(local_dir):
    starts = [start_elsewhere(local_dir) for _ in range(3)]
    # communicate() returns at all: the server didn't keep the pipes.
    said = [process.communicate(timeout=60) for process in starts]
    assert sorted(said) == [("False\n", ""), ("False\n", ""), ("True\n", "")]
    assert query(local_dir, "select 1") == [(1,)]


def test_committed_data_survive_kill_9(started):
    query(started, "create table t as select 1 as i", "insert into t values (2)")
    kill_server(started)
    assert not local_server.status(started).running
    assert local_server.start(started) is True
    assert query(started, "select i from t order by i") == [(1,), (2,)]


def test_a_page_that_the_disk_returns_otherwise_is_refused(started):
    query(started, "create table t as select generate_series(1, 100) as i")
    ((file,),) = query(started, "select pg_relation_filepath('t')")
    local_server.stop(started)
    path = started / "postgres" / file
    page = bytearray(path.read_bytes())
    page[-8] ^= 1  # of the row that was written first
    path.write_bytes(page)
    local_server.start(started)
    with pytest.raises(psycopg2.errors.DataCorrupted, match="invalid page in block 0"):
        query(started, "select * from t")


def test_another_process_got_the_dead_servers_id(started):
    kill_server(started)
    pid_file = started / "postgres" / "postmaster.pid"
    # As the server's own user: Postgres itself tells other users' processes apart.
    other = subprocess.Popen(["/bin/sleep", "600"], user=pid_file.stat().st_uid)
    try:
        name_process(pid_file, other.pid)
        assert not local_server.status(started).running
        assert local_server.stop(started) is False
        assert local_server.start(started) is True
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_another_server_got_the_dead_servers_id(new_local_dir):
    dead, other = new_local_dir(), new_local_dir()
    for one in (dead, other):
        local_server.start(one)
    kill_server(dead)
    pid = local_server.status(other).pid
    name_process(dead / "postgres" / "postmaster.pid", pid)
    assert local_server.start(dead) is True
    assert query(dead, "select 1") == query(other, "select 1") == [(1,)]
    assert local_server.status(other).pid == pid


def test_stop_and_status(local_dir):
    assert local_server.stop(local_dir) is False
    never = local_server.status(local_dir)
    assert (never.running, never.pid, never.size_bytes) == (False, None, 0)
    assert not local_dir.exists()

    local_server.start(local_dir)
    busy = psycopg2.connect(host=str(local_server.socket_dir(local_dir)), user="postgres")
    busy.cursor().execute("select 1")  # an open transaction doesn't hold the stop up
    assert local_server.stop(local_dir) is True
    busy.close()

    assert local_server.stop(local_dir) is False
    down = local_server.status(local_dir)
    assert (down.running, down.pid) == (False, None)
    assert down.size_bytes > 10_000_000
    with pytest.raises(psycopg2.OperationalError):
        query(local_dir, "select 1")


def test_socket_deleted_under_the_server(started):
    query(started, "create table t (i int)")
    shutil.rmtree(local_server.socket_dir(started))
    assert local_server.start(started) is True
    assert query(started, "select count(*) from t") == [(0,)]


def test_interrupted_creation_is_done_anew(local_dir):
    (local_dir / "postgres.new" / "base").mkdir(parents=True)
    assert local_server.start(local_dir) is True
    assert not (local_dir / "postgres.new").exists()


def test_user_variables_dont_reach_the_server(local_dir, monkeypatch):
    variables = {"PGDATA": "/nowhere", "PGHOST": "elsewhere.example", "PGPORT": "1"}
    for name, value in (variables | {"PGOPTIONS": "--nonsense"}).items():
        monkeypatch.setenv(name, value)
    assert local_server.start(local_dir) is True
    assert local_server.stop(local_dir) is True


def test_psql(running):
    command = [*local_server.psql_command(running), "-XAtc", "select current_database()"]
    psql = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (psql.stdout, psql.stderr) == ("nyc_taxi\n", "")


def test_connection_env(local_dir):
    env = local_server.connection_env(local_dir)
    assert env["PGHOST"] == str(local_server.socket_dir(local_dir))
    assert env["PGPASSWORD"]
    assert set(env) == {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"}


def test_socket_dir_is_what_profiles_yml_says():
    assert local_server.socket_dir(Path("/x/.local")) == Path("/tmp/nyc_tlc-3fa40c003b41")


def test_local_dir_with_a_space_and_a_long_name(local_dir):
    spaced = local_dir / ("a folder " * 20)
    try:
        assert local_server.start(spaced) is True
        assert query(spaced, "select 1") == [(1,)]
    finally:
        local_server.stop(spaced)
        shutil.rmtree(local_server.socket_dir(spaced))


@needs_root
def test_folders_of_root_alone(running):
    assert running.parent.stat().st_mode & 0o777 == 0o700
    assert capabilities(running) == {1 << 2}  # dac_read_search, nothing else
    assert running.joinpath("postgres").owner() == "nobody"


@needs_root
def test_no_privilege_where_none_is_needed(local_dir):
    local_dir.parent.chmod(0o755)
    if any(not f.stat().st_mode & 1 for f in wheel.program_path("postgres").resolve().parents):
        pytest.skip("the Python packages are in a folder of root's alone")
    local_server.start(local_dir)
    assert capabilities(local_dir) == {0}


@needs_root
def test_nobody_cant_connect(running):
    path = str(local_server.socket_dir(running))
    code = "import psycopg2, sys; psycopg2.connect(host=sys.argv[1], user='postgres')"
    command = [*as_user("nobody"), sys.executable, "-c", code, path]
    tried = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True)
    assert "Peer authentication failed" in tried.stderr


@needs_root
def test_as_a_normal_user(local_dir):
    shutil.chown(local_dir.parent, "daemon", "daemon")
    daemon = as_user("daemon")
    assert start_elsewhere(local_dir, *daemon).communicate(timeout=60) == ("True\n", "")
    assert start_elsewhere(local_dir, *daemon).communicate(timeout=60) == ("False\n", "")
    assert local_dir.joinpath("postgres").owner() == "daemon"
    # Root may take over, as the data's owner.
    assert query(local_dir, "select 1") == [(1,)]
    assert local_server.stop(local_dir) is True
    assert local_server.start(local_dir) is True
    assert local_dir.joinpath("postgres").owner() == "daemon"
    assert start_elsewhere(local_dir, *daemon).communicate(timeout=60) == ("False\n", "")


@needs_root
def test_another_users_data_are_refused(local_dir):
    local_dir.parent.chmod(0o755)
    local_server.start(local_dir)
    _, stderr = start_elsewhere(local_dir, *as_user("daemon")).communicate(timeout=60)
    assert "belongs to another user" in stderr.splitlines()[-1]


@needs_root
def test_setpriv_missing(local_dir, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(WarehouseError, match="run as a normal user, or use --target postgres"):
        local_server.start(local_dir)


@needs_root
def test_somebody_elses_socket_dir_is_refused(local_dir):
    path = local_server.socket_dir(local_dir)
    path.mkdir(mode=0o755)
    shutil.chown(path, "daemon")
    with pytest.raises(WarehouseError, match="belongs to another user"):
        local_server.start(local_dir)
    assert path.owner() == "daemon"


def test_symlink_as_socket_dir_is_refused(local_dir, tmp_path):
    path = local_server.socket_dir(local_dir)
    path.symlink_to(tmp_path)
    try:
        with pytest.raises(WarehouseError, match="not a folder of ours"):
            local_server.start(local_dir)
        assert not list(tmp_path.iterdir())
    finally:
        path.unlink()


def test_failed_start_tells_the_logs_reason(started):
    local_server.stop(started)
    with (started / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    with pytest.raises(WarehouseError) as failure:
        local_server.start(started)
    message = str(failure.value)
    assert message.startswith("embedded Postgres: pg_ctl failed: ")
    assert "contains errors" in message
    assert message.endswith(f"(log: {started / 'postgres.log'})")
    assert "\n" not in message


def test_folder_that_cant_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="Not a directory"):
        local_server.start(tmp_path / "file" / ".local")
