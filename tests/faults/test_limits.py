"""The server gives up, dbt dies, a disk is full, tables are of another time: told, and harmless."""

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from loader import __version__
from loader.embedded import local_server
from loader.settings import PROJECT_DIR
from tests.cdn import cdn, close_early, status
from tests.conftest import Workspace, clean_env, publish, succeeded
from tests.exact import assert_same, expected, landed, stored
from tests.processes import ran

__all__ = ["cdn"]

MONTH = ("--dataset", "green", "--month", "2023-02")


def put(workspace: Workspace, rows: int) -> Path:
    workspace.env["TLC_SOURCE"] = str(workspace.source)
    return publish(workspace.source, "green", "2023-02", rows)


def refused(process: subprocess.CompletedProcess[str]) -> str:
    """Return the line with which a command ends that the warehouse refuses."""
    assert process.returncode == 6
    return last_line(process)


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in process.stderr
    line = process.stderr.splitlines()[-1]
    assert line.startswith("error: green 2023-02")
    return line


@pytest.fixture
def hurried(workspace) -> Iterator[str]:
    """A user whose statements the server ends after 20 ms, as it ends those that find no room."""
    workspace.query("create role hurried superuser login")
    workspace.query("alter role hurried set statement_timeout = '20ms'")
    yield "hurried"
    workspace.query("drop owned by hurried cascade")
    workspace.query("drop role hurried")


@pytest.mark.slow
def test_a_statement_that_the_server_ends_changes_nothing(workspace, hurried):
    before = put(workspace, 500)
    succeeded(workspace.loader("run", *MONTH))
    rows = expected(before, "green")
    path = put(workspace, 60_000)

    assert "statement timeout" in refused(workspace.loader("load", *MONTH, PGUSER=hurried))
    succeeded(workspace.loader("load", *MONTH))
    assert_same(landed(workspace, "green", "2023-02"), expected(path, "green"))

    assert "statement timeout" in refused(workspace.loader("run", *MONTH, PGUSER=hurried))
    assert_same(stored(workspace, "green", "2023-02"), rows)

    succeeded(workspace.loader("run", *MONTH))
    assert_same(stored(workspace, "green", "2023-02"), expected(path, "green"))


@pytest.mark.slow
def test_a_dbt_that_dies_fails_its_month_and_the_next_gets_another(workspace):
    put(workspace, 500)
    succeeded(workspace.loader("run", *MONTH))
    for month in ("2023-03", "2023-04"):
        publish(workspace.source, "green", month, 600)
    months = ("--dataset", "green", "--month", "2023-03", "--to", "2023-04")
    process = subprocess.Popen(
        [sys.executable, "-m", "loader", "run", *months],
        cwd=PROJECT_DIR,
        env=workspace.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    with closing(workspace.connect()) as reader, reader.cursor() as cursor:
        # Nothing can be attached to the table meanwhile: dbt is there when it is struck.
        cursor.execute(f"begin; lock {workspace.tlc}.green_tripdata in share row exclusive mode")
        waiting = "select 1 from pg_locks where not granted and relation = %s::regclass"
        while not workspace.query(waiting, f"{workspace.tlc}.green_tripdata"):
            assert process.poll() is None
        (dbt,) = children(process.pid)
        os.kill(dbt, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 6
    assert "error: green 2023-03: dbt build failed" in said
    months = f"select file_month::text, count(*) from {workspace.tlc}.green_tripdata group by 1"
    assert sorted(workspace.query(months)) == [("2023-02-01", 500), ("2023-04-01", 600)]
    succeeded(workspace.loader("run", *MONTH[:2], "--month", "2023-03"))
    path = workspace.source / "green_tripdata_2023-03.parquet"
    assert_same(stored(workspace, "green", "2023-03"), expected(path, "green"))


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@pytest.mark.empty_warehouse
def test_a_full_local_disk_is_told_and_changes_nothing(workspace, cdn):
    path = publish(cdn.folder, "green", "2023-02", 40_000)
    workspace.env["TLC_SOURCE"] = cdn.url
    room = 300_000
    assert path.stat().st_size > room  # the download meets the end of the disk

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    command = (sys.executable, "-m", "loader", "load", *MONTH)
    process = ran(*command, env=workspace.env, preexec_fn=no_room)
    assert process.returncode not in (0, -25)
    assert "File too large" in last_line(process)
    assert workspace.relations(workspace.raw) == {}
    succeeded(workspace.loader("load", *MONTH))
    assert_same(landed(workspace, "green", "2023-02"), expected(path, "green"))


def test_tables_of_an_earlier_version_get_the_columns_that_are_new(workspace):
    put(workspace, 500)
    succeeded(workspace.loader("run", *MONTH))
    for schema in (workspace.raw, workspace.tlc):
        workspace.query(f"alter table {schema}.green_tripdata drop column ehail_fee cascade")
    path = put(workspace, 600)
    succeeded(workspace.loader("run", *MONTH))
    assert_same(stored(workspace, "green", "2023-02"), expected(path, "green"))


@pytest.mark.empty_warehouse
def test_a_column_of_another_type_is_refused(workspace):
    put(workspace, 500)
    succeeded(workspace.loader("load", *MONTH))
    before = landed(workspace, "green", "2023-02")
    workspace.query(f"alter table {workspace.raw}.green_tripdata alter trip_type type bigint")
    put(workspace, 600)
    assert "insufficient data left in message" in refused(workspace.loader("load", *MONTH))
    assert_same(landed(workspace, "green", "2023-02"), before)


def test_a_warehouse_of_a_newer_version_is_refused(workspace):
    path = put(workspace, 500)
    succeeded(workspace.loader("load", *MONTH))
    workspace.query(
        f"update {workspace.raw}.month_files set loader_version = '{__version__}.post1'"
    )
    succeeded(workspace.loader("run", *MONTH))
    rows = expected(path, "green")
    workspace.query(f"update {workspace.raw}.month_files set loader_version = '10.4.1'")
    put(workspace, 600)
    process = workspace.loader("run", *MONTH)
    assert process.returncode == 6
    assert "nyc_tlc 10.4.1 has loaded this warehouse, and this is" in process.stderr
    assert_same(stored(workspace, "green", "2023-02"), rows)
    assert "changed" not in succeeded(workspace.loader("status")).stdout


def test_files_that_a_loss_of_power_emptied_or_a_kill_left_are_made_anew(workspace, cdn):
    """dlt's, dbt's and those of a download, which is the source's first answer cut short."""
    workspace.env["TLC_SOURCE"] = cdn.url
    publish(cdn.folder, "green", "2023-02", 500)
    succeeded(workspace.loader("run", *MONTH, "--keep-files"))
    path = publish(cdn.folder, "green", "2023-02", 600)
    cdn.script(path.name, [close_early(2_000), status(404)])
    assert workspace.loader("run", *MONTH).returncode == 4
    unfinished = workspace.local_dir / "dlt/pipelines/nyc_tlc/load/new/1795635372.476843"
    unfinished.mkdir(parents=True)
    left = [one for one in workspace.local_dir.rglob("*") if one.is_file()]
    assert {one.name for one in left} >= {
        "state.json", "nyc_tlc.schema.json", "manifest.json", "partial_parse.msgpack",
        f"{path.name}.part", f"{path.name}.part.etag", path.name, f"{path.name}.version",
    }  # fmt: skip
    for one in left:
        os.truncate(one, 0)
    succeeded(workspace.loader("run", *MONTH))
    assert_same(stored(workspace, "green", "2023-02"), expected(path, "green"))


@pytest.fixture
def machine() -> Iterator[Workspace]:
    """A warehouse on a server of its own, which may crash."""
    local_dir = Path(tempfile.mkdtemp(prefix="nyc_tlc-crash-"))
    local_server.start(local_dir)
    connection = local_server.connection_env(local_dir)
    env = clean_env(TLC_TARGET="local", TLC_LOCAL_DIR=str(local_dir), **connection)
    try:
        yield Workspace(env, local_dir, "", marts=False)
    finally:
        local_server.stop(local_dir)
        shutil.rmtree(local_server.socket_dir(local_dir), ignore_errors=True)
        shutil.rmtree(local_dir)


def crash(machine: Workspace) -> None:
    """End the server as a power cut does, and start it again."""
    pid = int((machine.local_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGQUIT)
    select.select([end], [], [])
    os.close(end)
    local_server.start(machine.local_dir)


@pytest.mark.slow
def test_a_landing_that_a_crash_takes_away_lands_again_by_itself(machine):
    before = put(machine, 500)
    succeeded(machine.loader("run", *MONTH))
    rows = expected(before, "green")
    path = put(machine, 600)
    machine.query(
        "alter table tlc.green_tripdata add constraint mine check (file_row <= 500) not valid"
    )
    assert "mine" in last_line(machine.loader("run", *MONTH))
    count = "select count(*) from tlc_raw.green_tripdata"
    assert machine.query(count) == [(600,)]

    crash(machine)
    assert machine.query(count) == [(0,)]
    assert_same(stored(machine, "green", "2023-02"), rows)
    # dbt alone can't land it, and says who can.
    built = machine.dbt("build", "--vars", "{month: 2023-02}", "--target", "local")
    assert built.returncode == 1
    assert "600 rows landed, 0 built; nothing was changed" in built.stdout
    again = "nyc-tlc run --dataset green --month 2023-02 --target local --source"
    assert f"land the month again: {again}" in built.stdout
    (state,) = json.loads(succeeded(machine.loader("status", "--json")).stdout)
    assert (state["state"], state["table_rows"]) == ("merged", 500)

    machine.query("alter table tlc.green_tripdata drop constraint mine")
    succeeded(machine.loader("run", *MONTH))
    assert_same(stored(machine, "green", "2023-02"), expected(path, "green"))
    assert machine.query(count) == [(0,)]


@pytest.mark.parametrize("command", [("load",), ("run", "--keep-raw")])
@pytest.mark.slow
def test_raw_rows_that_were_asked_for_outlive_a_crash(machine, command):
    path = put(machine, 500)
    succeeded(machine.loader(*command, *MONTH))
    crash(machine)
    assert_same(landed(machine, "green", "2023-02"), expected(path, "green"))
    succeeded(machine.loader("run", *MONTH))
    assert_same(stored(machine, "green", "2023-02"), expected(path, "green"))


def test_a_crash_after_the_merge_leaves_nothing_to_do(machine):
    path = put(machine, 500)
    succeeded(machine.loader("run", *MONTH, "--keep-raw"))
    # As when the run is killed before it drops the rows.
    machine.query(
        """do $$ begin
            execute (
                select string_agg(format('alter table %s set unlogged', inhrelid::regclass), '; ')
                from pg_inherits where inhparent = 'tlc_raw.green_tripdata'::regclass
            );
        end $$"""
    )
    crash(machine)
    assert "nothing to do" in succeeded(machine.loader("run", *MONTH)).stdout
    assert_same(stored(machine, "green", "2023-02"), expected(path, "green"))
    unfinished = "select count(*) from tlc_raw.month_files where raw_dropped_at is null"
    assert machine.query(unfinished) == [(0,)]
    assert machine.query(
        "select count(*) from pg_inherits where inhparent = 'tlc_raw.green_tripdata'::regclass"
    ) == [(0,)]
