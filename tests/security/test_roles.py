"""Who loads, who builds and who reads can do that, and nothing else: scripts/roles.sql."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest
from psycopg2.errors import InsufficientPrivilege

from loader.embedded import local_server
from tests.conftest import PROJECT_DIR, Workspace, clean_env, publish, succeeded
from tests.processes import ran

GREEN = ("--dataset", "green", "--month")
ROLES = ("loader", "transformer", "reader")


@dataclass(frozen=True)
class Roles:
    """The three roles on a workspace's schemas, each with a password.

    Attributes:
        owner: the workspace as the server's superuser.
    """

    owner: Workspace

    def name(self, role: str) -> str:
        return f"{self.owner.prefix}tlc_{role}"

    def env(self, role: str) -> dict[str, str]:
        return {"PGUSER": self.name(role), "PGPASSWORD": f"pass of {role}"}

    def workspace(self, role: str) -> Workspace:
        return Workspace(self.owner.env | self.env(role), self.owner.local_dir, self.owner.prefix)

    def install(self, **env: str) -> None:
        """Run the script, with passwords for all."""
        passwords = {f"TLC_{r.upper()}_PASSWORD": f"pass of {r}" for r in ROLES}
        program = local_server.psql_command(self.owner.local_dir)[0]
        script = ("--no-psqlrc", "--file", PROJECT_DIR / "scripts" / "roles.sql")
        succeeded(ran(program, *script, env=self.owner.env | passwords | env))

    def refused(self, role: str, sql: str) -> None:
        with pytest.raises(InsufficientPrivilege):
            self.workspace(role).query(sql)


@pytest.fixture(scope="module")
def with_passwords(server) -> Iterator[None]:
    """Have the server ask all but the tests' own user for a password."""
    rules = server / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f'local all "/^t[0-9]+_tlc_" scram-sha-256\n{before}')
    reload = Workspace(clean_env(**local_server.connection_env(server)), server, "").query
    reload("select pg_reload_conf()")
    yield
    rules.write_text(before)
    reload("select pg_reload_conf()")


@pytest.fixture
def roles(with_passwords, workspace) -> Iterator[Roles]:
    made = Roles(workspace)
    made.install()
    yield made
    remove(made)


def remove(made: Roles) -> None:
    for role in ROLES:
        made.owner.query(f"drop owned by {made.name(role)} cascade")
        made.owner.query(f"drop role {made.name(role)}")


def put(workspace: Workspace, rows: int, month: str = "2023-01", seed: int = 0) -> list[float]:
    """Publish a month; return what its trips cost."""
    path = publish(workspace.source, "green", month, rows, seed)
    return sorted(pq.read_table(path)["total_amount"].to_pylist())


def load(roles: Roles, month: str = "2023-01") -> None:
    loader = roles.workspace("loader")
    succeeded(loader.loader("load", *GREEN, month, "--source", roles.owner.source))


def build(roles: Roles, month: str = "2023-01") -> None:
    variables = f"{{dataset: green, month: {month}}}"
    succeeded(roles.workspace("transformer").dbt("build", "--vars", variables))


def amounts(roles: Roles, month: str = "2023-01") -> list[float]:
    """Read a month's trips as the reader."""
    query = f"select total_amount from {roles.owner.tlc}.green_tripdata where file_month = %s"
    rows = roles.workspace("reader").query(f"{query} order by 1", f"{month}-01")
    return [amount for (amount,) in rows]


def test_each_does_its_part_of_a_month_and_of_its_next_version(roles):
    for seed, rows in ((1, 60), (2, 70)):
        wanted = put(roles.owner, rows, seed=seed)
        load(roles)
        build(roles)
        assert amounts(roles) == wanted
        (count,) = roles.workspace("reader").query(
            f"select count(*) from {roles.owner.prefix}tlc_marts.trips where dataset = 'green'"
        )[0]
        assert count == rows
    # What the loader finds in the ledger: the month is there, and unchanged.
    again = roles.workspace("loader").loader(
        "load", *GREEN, "2023-01", "--source", roles.owner.source
    )
    assert "unchanged" in succeeded(again).stderr
    assert '"merged"' in succeeded(roles.workspace("loader").loader("status", "--json")).stdout
    # Who may only read looks at months, and at what is in them.
    reader = roles.workspace("reader")
    assert '"merged"' in succeeded(reader.loader("status", "--json")).stdout
    page = roles.owner.local_dir / "report.html"
    succeeded(reader.loader("report", "--month", "2023-01", "--out", page))
    assert "January 2023" in page.read_text()
    owners = roles.owner.query(
        "select distinct n.nspname::text, relowner::regrole::text from pg_class"
        " join pg_namespace as n on n.oid = relnamespace"
        " where starts_with(nspname, %s) and relkind in ('r', 'p', 'v')",
        roles.owner.prefix,
    )
    transformer, prefix = roles.name("transformer"), roles.owner.prefix
    built = {(f"{prefix}{s}", transformer) for s in ("tlc", "tlc_staging", "tlc_marts")}
    assert set(owners) == built | {(f"{prefix}tlc_raw", roles.name("loader"))}

    raw, tlc, marts = roles.owner.raw, roles.owner.tlc, f"{roles.owner.prefix}tlc_marts"
    forbidden = {
        "loader": (
            f"create table {tlc}.mine ()",
            f"create table {marts}.mine ()",
            f"delete from {tlc}.file_ledger",
            f"update {tlc}.green_tripdata set total_amount = 0",
            f"drop table {tlc}.green_tripdata",
            f"select * from {marts}.trips",
            f"drop schema {raw} cascade",
        ),
        "transformer": (
            f"create table {raw}.mine ()",
            f"insert into {raw}.month_files select * from {raw}.month_files",
            f"update {raw}.month_files set landed_rows = 0",
            f"delete from {raw}.green_tripdata",
            f"drop table {raw}.green_tripdata",
            f"drop schema {tlc} cascade",
        ),
        "reader": (
            f"select * from {raw}.month_files",
            f"select * from {prefix}tlc_staging.stg_tlc__green_trips",
            f"create table {tlc}.mine ()",
            f"create table {marts}.mine ()",
            f"insert into {tlc}.file_ledger select * from {tlc}.file_ledger",
            f"update {tlc}.green_tripdata set total_amount = 0",
            f"delete from {tlc}.green_tripdata_2023_01",
            f"truncate {tlc}.green_tripdata",
            f"create view {marts}.mine as select 1",
        ),
    }
    before = [roles.owner.relations(schema) for schema in (raw, tlc, marts)]
    for role, statements in forbidden.items():
        for sql in (
            *statements,
            "create schema mine",
            "create table public.mine ()",
            "create role mine",
            "select pg_read_file('PG_VERSION')",
            "copy (select 1) to program 'true'",
            f"grant {roles.name('transformer')} to {roles.name(role)}",
        ):
            roles.refused(role, sql)
    assert [roles.owner.relations(schema) for schema in (raw, tlc, marts)] == before


@pytest.mark.slow
def test_a_database_that_one_user_has_loaded_is_handed_over(with_passwords, workspace):
    put(workspace, 50)
    succeeded(
        workspace.loader("run", *GREEN, "2023-01", "--source", workspace.source, "--keep-raw")
    )
    roles = Roles(workspace)
    roles.install()
    try:
        wanted = put(workspace, 55, seed=3)
        load(roles)
        build(roles)
        assert amounts(roles) == wanted
        # One who does it all: what it makes is the transformer's, and read by the reader.
        workspace.query(f"grant {roles.name('loader')} to {roles.name('transformer')}")
        both = roles.workspace("transformer")
        for month in ("2023-01", "2023-02"):
            wanted = put(workspace, 30, month, seed=4)
            process = both.loader("run", *GREEN, month, "--source", workspace.source)
            assert "merged" in succeeded(process).stdout
            assert amounts(roles, month) == wanted
        assert workspace.query(f"select count(*) from {workspace.raw}.green_tripdata") == [(0,)]
    finally:
        remove(roles)


@pytest.mark.empty_warehouse
def test_the_owner_of_the_database_need_not_be_a_superuser(with_passwords, workspace):
    owner = f"{workspace.prefix}tlc_owner"
    database = workspace.env["PGDATABASE"]
    workspace.query(f"create role {owner} login createrole password 'owner'")
    workspace.query(f"grant create on database {database} to {owner} with grant option")
    workspace.query(f"grant connect, temporary on database {database} to {owner} with grant option")
    roles = Roles(workspace)
    try:
        for _ in range(2):
            roles.install(PGUSER=owner, PGPASSWORD="owner")
        wanted = put(workspace, 20)
        load(roles)
        build(roles)
        assert amounts(roles) == wanted
        roles.install(PGUSER=owner, PGPASSWORD="owner")
        memberships = (
            "select count(*) from pg_auth_members where member = %s::regrole and inherit_option"
        )
        assert workspace.query(memberships, owner) == [(0,)]
    finally:
        workspace.query(f"drop owned by {owner} cascade")
        remove(roles)
        workspace.query(f"drop role {owner}")


def doctor(roles: Roles, role: str, work: str, **env: str) -> str:
    """Ask doctor; return the line on the target, which its exit code agrees with."""
    options = ("--source", roles.owner.source, "--for", work)
    process = roles.workspace(role).loader("doctor", *options, **env)
    assert "Traceback" not in process.stdout + process.stderr
    (line,) = (line for line in process.stdout.splitlines() if " target " in line)
    assert process.returncode == (6 if line.startswith("FAIL") else 0)
    return line


@pytest.mark.slow
def test_doctor_names_the_right_that_is_missing(roles):
    put(roles.owner, 10)
    raw, tlc = roles.owner.raw, roles.owner.tlc
    told = functools.partial(doctor, roles)
    assert told("loader", "load").startswith("ok")
    assert told("transformer", "build").startswith("ok")
    load(roles)
    build(roles)
    assert told("loader", "load").startswith("ok")
    assert told("transformer", "build").startswith("ok")

    assert f"no right CREATE on schema {tlc}" in told("loader", "run")
    assert f"no right CREATE on schema {raw}" in told("transformer", "run")
    assert f"no right CREATE on schema {tlc}" in told("reader", "build")
    assert "password authentication failed" in told("loader", "load", PGPASSWORD="wrong")
    assert "schema none_tlc_raw is missing" in told("loader", "load", TLC_SCHEMA_PREFIX="none_")
    query, (loader, transformer, _) = roles.owner.query, map(roles.name, ROLES)
    query(f"revoke select on {tlc}.file_ledger from {loader}")
    assert f"no right SELECT on {tlc}.file_ledger" in told("loader", "load")
    query(f"revoke select on {raw}.month_files from {transformer}")
    assert f"no right SELECT on {raw}.month_files" in told("transformer", "build")
    query(f"revoke usage on schema {raw} from {transformer}")
    assert f"no right USAGE on schema {raw}" in told("transformer", "build")
    query(f"alter table {tlc}.taxi_zones owner to current_user")
    assert f"{tlc}.taxi_zones belongs to postgres" in told("transformer", "build")
    query(f"revoke create on schema {raw} from {loader}")
    assert f"no right CREATE on schema {raw}" in told("loader", "load")
    # Without doctor: one line too.
    put(roles.owner, 10, "2023-02")
    for role in ("loader", "reader"):
        month = (*GREEN, "2023-02", "--source", roles.owner.source)
        process = roles.workspace(role).loader("load", *month)
        assert process.returncode == 6
        assert process.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in process.stderr
        assert "permission denied" in process.stderr
        assert process.stderr.endswith("; see docs/postgres.md\n")


def test_another_search_path_changes_nothing(roles):
    for role in ("loader", "transformer"):
        name, database = roles.name(role), roles.owner.env["PGDATABASE"]
        roles.owner.query(f"alter role {name} in database {database} set search_path = nowhere")
    wanted = put(roles.owner, 25)
    load(roles)
    build(roles)
    assert amounts(roles) == wanted
