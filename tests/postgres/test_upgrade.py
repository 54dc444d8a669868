"""A warehouse of an earlier version goes on with this one: nothing is loaded again or lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from loader.settings import PROJECT_DIR
from tests.conftest import Workspace, publish, succeeded
from tests.exact import assert_same, expected, stored
from tests.months import of

pytestmark = [pytest.mark.slow, pytest.mark.empty_warehouse]

#: The last commits of version 0.1.0, and of those whose codes took four bytes.
VERSIONS_BEFORE = ("ee89a65", "3fd1978")
MONTHS = ("2023-01", "2023-02")


@pytest.fixture(scope="module", params=VERSIONS_BEFORE)
def version_before(request, tmp_path_factory) -> Path:
    """The project as it was, from the repository's own history."""
    packed = subprocess.run(
        ["git", "archive", request.param], cwd=PROJECT_DIR, capture_output=True, check=False
    )
    if packed.returncode:
        pytest.skip("the checkout has no history to take earlier versions from")
    folder = tmp_path_factory.mktemp("before")
    # tarfile's own filter is not in the first versions of Python 3.11.
    subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    return folder


def ids(workspace: Workspace) -> list[tuple]:
    return workspace.query(
        f"select file_month, file_row, unique_row_id from {workspace.tlc}.green_tripdata"
        " order by 1, 2"
    )


@pytest.fixture
def made_before(workspace, version_before) -> tuple[str, ...]:
    """Two months of green in a warehouse of that version; gives the options that loaded them."""
    for month in MONTHS:
        publish(workspace.source, "green", month, 3_000)
    options = (*of("green", ":".join(MONTHS)), "--source", str(workspace.source))
    before = subprocess.run(
        [sys.executable, "-m", "loader", "run", *options],
        cwd=version_before,
        env=workspace.env | {"PYTHONPATH": str(version_before)},
        capture_output=True,
        text=True,
    )
    assert before.returncode == 0, before.stderr
    return options


def test_a_warehouse_of_the_version_before_goes_on(workspace, made_before):
    wanted = ids(workspace)
    assert len(wanted) == 6_000
    workspace.query(
        f"create view {workspace.tlc}.mine as select * from {workspace.tlc}.green_tripdata"
    )

    again = succeeded(workspace.loader("run", *made_before))
    assert again.stdout.count("nothing to do") == 2
    assert ids(workspace) == wanted

    # A republished month, and one that is built again.
    path = publish(workspace.source, "green", MONTHS[1], 2_900, seed=1)
    succeeded(workspace.loader("run", *made_before, "--force"))
    assert_same(stored(workspace, "green", MONTHS[1]), expected(path, "green"))
    january = [row for row in wanted if row[0].month == 1]
    assert [row for row in ids(workspace) if row[0].month == 1] == january
    assert workspace.query(f"select count(*) from {workspace.tlc}.mine") == [(5_900,)]


def types_of_codes(workspace: Workspace) -> set[str]:
    """Types of the codes in the trips table, as Postgres has them."""
    codes = ["vendor_id", "passenger_count", "rate_code_id", "payment_type", "trip_type"]
    rows = workspace.query(
        "select data_type from information_schema.columns where table_schema = %s"
        " and table_name = 'green_tripdata' and column_name = any(%s)",
        workspace.tlc,
        [*codes, "pickup_location_id", "dropoff_location_id"],
    )
    return {kind for (kind,) in rows}


def users_objects(workspace: Workspace) -> dict[str, object]:
    """What users built: what it is to Postgres, and what it shows."""
    views = [f"{workspace.tlc}.{name}" for name in ("everything", "by_zone", "of_the_mart")]
    found = {view: sorted(map(str, workspace.query(f"select * from {view}"))) for view in views}
    found["relations"] = workspace.query(
        "select oid, relowner, relacl, reloptions from pg_class"
        " where oid = any(%s::regclass[]) order by oid",
        [*views, f"{workspace.tlc}.green_tripdata"],
    )
    found["columns"] = workspace.query(
        "select attname, atttypid, attcollation from pg_attribute"
        " where attrelid = any(%s::regclass[]) order by attrelid, attnum",
        views,
    )
    found["indexes"] = workspace.query(
        "select indexdef from pg_indexes where schemaname = %s and tablename = 'green_tripdata'",
        workspace.tlc,
    )
    return found


def build_on(workspace: Workspace) -> None:
    tlc = workspace.tlc
    for statement in (
        f"create view {tlc}.everything as select * from {tlc}.green_tripdata",
        f"create view {tlc}.by_zone with (security_barrier=true) as"
        " select pickup_location_id, max(payment_type) as most, sum(passenger_count) as people,"
        f' store_and_fwd_flag collate "C" as flag from {tlc}.green_tripdata group by 1, 4',
        f"create view {tlc}.of_the_mart as"
        f" select pickup_zone_name, count(*) as trips from {tlc}_marts.trips group by 1",
        f"create index on {tlc}.green_tripdata (pickup_datetime)",
        f"grant select on {tlc}.green_tripdata, {tlc}.by_zone to pg_monitor",
    ):
        workspace.query(statement)


def test_an_upgrade_narrows_the_codes_and_keeps_what_users_built(workspace, made_before):
    build_on(workspace)
    before, of_users = ids(workspace), users_objects(workspace)
    relations = workspace.relations()

    told = succeeded(workspace.loader("upgrade", "--dry-run"))
    assert "green_tripdata, months: 2: needs" in told.stdout
    assert workspace.relations() == relations
    assert types_of_codes(workspace) == {"integer"}

    told = succeeded(workspace.loader("upgrade"))
    assert "green 2023-02: copied\n" in told.stdout
    assert types_of_codes(workspace) == {"smallint"}
    assert ids(workspace) == before
    assert users_objects(workspace) == of_users
    for month in MONTHS:
        path = workspace.source / f"green_tripdata_{month}.parquet"
        assert_same(stored(workspace, "green", month), expected(path, "green"))

    told = succeeded(workspace.loader("upgrade"))
    assert told.stdout == "nothing to do: the tables have the shape of this version\n"
    # Months go on: republished, and built by the dbt of this version, which looks at the views too.
    path = publish(workspace.source, "green", MONTHS[1], 2_900, seed=1)
    succeeded(workspace.loader("run", *made_before))
    assert_same(stored(workspace, "green", MONTHS[1]), expected(path, "green"))
    of_mart = workspace.query(f"select sum(trips) from {workspace.tlc}.of_the_mart")
    assert of_mart == [(5_900,)]


def test_an_upgrade_that_something_prevents_changes_nothing(workspace, made_before):
    workspace.query(
        f"create materialized view {workspace.tlc}.counted as"
        f" select payment_type, count(*) from {workspace.tlc}.green_tripdata group by 1"
    )
    relations = workspace.relations()
    process = workspace.loader("upgrade")
    assert process.returncode == 6
    assert "counted" in process.stdout + process.stderr
    error = "error: upgrade_tables failed, and the tables are as they were: see above\n"
    assert process.stderr.endswith(error)
    assert workspace.relations() == relations
    assert types_of_codes(workspace) == {"integer"}
