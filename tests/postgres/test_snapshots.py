"""A backup and a REPEATABLE READ reader see the warehouse as it was, whatever changes meanwhile.

On each version of Postgres that is at hand.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.embedded import local_server
from loader.embedded.wheel import program_path
from loader.settings import PROJECT_DIR
from tests import servers
from tests.conftest import Workspace, publish, succeeded
from tests.exact import assert_same, expected, ids_of, stored

MONTHS = ("2023-01", "2023-02", "2023-03")
ROWS = 1_500


OTHERS = [pytest.param(version, marks=pytest.mark.slow) for version in servers.VERSIONS]


@pytest.fixture(scope="module", params=["embedded", *OTHERS])
def variables(request, server) -> Iterator[dict[str, str]]:
    """Variables of a server, and of the programs of its version."""
    if request.param == "embedded":
        programs = program_path("pg_dump").parent
        yield local_server.connection_env(server) | {"PATH": f"{programs}:{os.environ['PATH']}"}
        return
    programs = servers.programs_of(request.param)
    with servers.server(programs) as of_server:
        yield of_server | {"PATH": f"{programs}:{os.environ['PATH']}"}


@pytest.fixture
def workspace(workspace, variables) -> Workspace:
    return replace(workspace, env=workspace.env | variables)


def run(workspace: Workspace, name: str, month: str, *options: object) -> None:
    source = () if name == "remove" else ("--source", workspace.source)
    month_of = ("--dataset", "green", "--month", month)
    succeeded(workspace.loader(name, *month_of, *source, *options))


def seen(workspace: Workspace, query: Callable[[str], list[tuple]]) -> dict[str, list[tuple]]:
    """Describe what a transaction sees of the trips, the ledger, the marts and the dictionary."""
    tlc, marts = workspace.tlc, f"{workspace.tlc}_marts"
    tables = [f"{tlc}.{name}" for name in ("green_tripdata", "file_ledger", "vendors")]
    if workspace.marts:
        tables += [f"{marts}.{name}" for name in ("hourly_zone_trips", "zone_pairs")]
    values = "count(*), md5(string_agg(one::text, '' order by one::text))"
    return {name: query(f"select {values} from {name} as one") for name in tables}


def tables_of(workspace: Workspace) -> set[str]:
    return {name for name in workspace.relations() if not name.endswith("_idx")}


class Snapshot:
    """A transaction that sees what was there when it began, and has touched no table yet."""

    def __init__(self, workspace: Workspace) -> None:
        self.connection = workspace.connect()
        self.connection.set_session(isolation_level="REPEATABLE READ", autocommit=False)
        ((self.name,),) = self.query("select pg_export_snapshot()")

    def query(self, sql: str) -> list[tuple]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def close(self) -> None:
        self.connection.close()


@contextmanager
def restored(workspace: Workspace, snapshot: Snapshot, folder: Path) -> Iterator[Workspace]:
    """Give a copy of the warehouse, from a backup as docs/backup.md has it."""
    dump, name = folder / "dump", f"{workspace.prefix}restored"
    options = (f"--schema={workspace.prefix}*", f"--exclude-schema={workspace.prefix}tlc_staging")
    options += (f"--exclude-table={workspace.raw}.*_tripdata*",)
    program(workspace, "pg_dump", "-Fc", f"--snapshot={snapshot.name}", f"--file={dump}", *options)
    workspace.query(f"create database {name} template template0")
    try:
        program(workspace, "pg_restore", "--exit-on-error", f"--dbname={name}", str(dump))
        yield replace(workspace, env=workspace.env | {"PGDATABASE": name})
    finally:
        workspace.query(f"drop database {name} with (force)")


def program(workspace: Workspace, name: str, *arguments: str) -> None:
    command = [name, *arguments]
    options = {"capture_output": True, "text": True, "check": False}
    succeeded(subprocess.run(command, env=workspace.env, **options))


def tipped(table: pa.Table, rows: int) -> pa.Table:
    """Change an amount of the first rows."""
    tips = table["tip_amount"].to_pylist()
    changed = pa.array([(tip or 0) + 1 for tip in tips[:rows]] + tips[rows:], pa.float64())
    place = table.schema.get_field_index("tip_amount")
    return table.set_column(place, table.schema.field(place), changed)


#: Versions of a month's file, each from the one before; rows that are added and removed.
VERSIONS: dict[str, tuple[Callable[[pa.Table], pa.Table], tuple[int, int]]] = {
    "a few rows changed": (lambda table: tipped(table, 10), (10, 10)),
    "most rows changed": (lambda table: tipped(table, ROWS - 10), (ROWS - 10, ROWS - 10)),
    "rows gone, so that the others move": (lambda table: table.slice(3), (0, 3)),
    "rows added": (lambda table: pa.concat_tables([table, table.slice(0, 5)]), (5, 0)),
    "half of the rows gone, all others changed": (
        lambda table: tipped(table.slice(0, 800), 800),
        (800, ROWS + 2),
    ),
}


@pytest.mark.slow
def test_what_began_before_a_change_sees_nothing_of_it(workspace, tmp_path):
    workspace = replace(workspace, marts=True)
    for month in MONTHS:
        path = publish(workspace.source, "green", month, ROWS)
    run(workspace, "run", MONTHS[0], "--to", MONTHS[1])
    path = workspace.source / f"green_tripdata_{MONTHS[1]}.parquet"
    before: dict[str, tuple[Snapshot, dict, pa.Table]] = {}

    @contextmanager
    def change(what: str) -> Iterator[None]:
        table = expected(path, "green")
        before[what] = (Snapshot(workspace), seen(workspace, workspace.query), table)
        yield
        assert seen(workspace, before[what][0].query) == before[what][1], what

    try:
        with change("a first merge"):
            run(workspace, "run", MONTHS[2])
        for what, (make, counts) in VERSIONS.items():
            with change(what):
                pq.write_table(make(pq.read_table(path)), path)
                run(workspace, "run", MONTHS[1])
            table = expected(path, "green")
            rows = stored(workspace, "green", MONTHS[1], "unique_row_id", "file_row")
            assert_same(rows.select(table.column_names), table)
            assert rows["file_row"].to_pylist() == list(range(1, len(table) + 1))
            assert rows["unique_row_id"].to_pylist() == ids_of(table, "green", MONTHS[1])
            assert workspace.query(
                f"select rows_added, rows_removed from {workspace.tlc}.file_ledger"
                " where is_current and file_month = %s",
                f"{MONTHS[1]}-01",
            ) == [counts], what
        with change("seeds filled again"):
            succeeded(workspace.dbt("seed"))
        with change("a month removed"):
            run(workspace, "remove", MONTHS[1])
        partition = f"{workspace.tlc}.green_tripdata_{MONTHS[1].replace('-', '_')}"
        size = f"select pg_relation_size('{partition}') > 0"
        assert workspace.query(size) == [(True,)]  # others still see its rows

        for what, (snapshot, was, table) in before.items():
            with restored(workspace, snapshot, tmp_path) as copy:
                assert seen(copy, copy.query) == was, what
                assert_same(stored(copy, "green", MONTHS[1]), table)
                if what == "rows added":  # a restored copy goes on
                    run(copy, "run", MONTHS[1])
                    assert_same(stored(copy, "green", MONTHS[1]), expected(path, "green"))
    finally:
        for snapshot, *_ in before.values():
            snapshot.close()
    run(workspace, "run", MONTHS[1])
    run(workspace, "remove", MONTHS[1])
    assert workspace.query(size) == [(False,)]


def test_the_same_file_again_changes_no_row(workspace):
    publish(workspace.source, "green", MONTHS[0], ROWS)
    run(workspace, "run", MONTHS[0])
    rows = f"select ctid::text, xmin::text, unique_row_id from {workspace.tlc}.green_tripdata"
    before, size = workspace.query(f"{rows} order by 1"), workspace.relations()
    run(workspace, "run", MONTHS[0], "--force")
    assert workspace.query(f"{rows} order by 1") == before
    assert workspace.relations() == size


@pytest.mark.slow
def test_an_upgrade_waits_for_who_began_before(workspace, tmp_path):
    publish(workspace.source, "green", MONTHS[0], ROWS)
    publish(workspace.source, "green", MONTHS[1], ROWS)
    run(workspace, "run", MONTHS[0], "--to", MONTHS[1])
    # As a version before had it.
    workspace.query(f"drop schema {workspace.tlc}_marts cascade")
    code = f"{workspace.tlc}.green_tripdata alter column payment_type"
    workspace.query(f"alter table {code} type integer")
    kind = f"select pg_typeof(payment_type)::text from {workspace.tlc}.green_tripdata limit 1"
    was = seen(workspace, workspace.query)
    tables = tables_of(workspace)

    # An owner who may not look at the sessions of others.
    owner, other = f"{workspace.prefix}owner", f"{workspace.prefix}other"
    workspace.query(f"create role {owner} login in role postgres")
    workspace.query(f"create role {other} superuser login")
    others = replace(workspace, env=workspace.env | {"PGUSER": other})

    def begin_upgrade() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "loader", "upgrade"],
            cwd=PROJECT_DIR,
            env=workspace.env | {"PGUSER": owner},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout
        said = ""
        while "waiting for the transactions of others" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        return process

    with closing(Snapshot(others)) as before:
        killed = begin_upgrade()
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        assert workspace.query(kind) == [("integer",)]
        upgrade = begin_upgrade()
        meanwhile = Snapshot(others)
        with restored(workspace, before, tmp_path) as copy:
            assert seen(copy, copy.query) == was
        assert seen(workspace, before.query) == was
        assert upgrade.poll() is None
    said, _ = upgrade.communicate()
    assert upgrade.returncode == 0, said
    assert workspace.query(kind) == [("smallint",)]
    with closing(meanwhile):
        assert seen(workspace, meanwhile.query) == was
    assert seen(workspace, workspace.query) == was
    assert tables_of(workspace) == tables
