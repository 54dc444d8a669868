"""What users build on the tables and views stays, or a build says what is in its way and stops."""

from collections.abc import Iterator

import pytest

from tests.conftest import Workspace, publish, succeeded
from tests.faults.test_together import DBT_BUILD, together

RUN_TRIPS = ("run", "--select", "trips")


def run(workspace: Workspace, month: str, rows: int):
    """Publish a month, and run it."""
    publish(workspace.source, "green", month, rows)
    month_of = ("--dataset", "green", "--month", month, "--source", workspace.source)
    return workspace.loader("run", *month_of, "--keep-raw")


@pytest.fixture(scope="module")
def merged(new_workspace) -> Workspace:
    """A workspace with a merged month, and a role that reads."""
    workspace = new_workspace()
    succeeded(run(workspace, "2023-01", 300))
    workspace.query(f"create role {workspace.prefix}reader")
    return workspace


@pytest.fixture
def built(merged) -> Iterator[Workspace]:
    """The same, with a schema for a user's own objects."""
    merged.query(f"create schema {mine(merged)}")
    yield merged
    merged.query(f"drop schema {mine(merged)} cascade")
    merged.query(f"drop index if exists {merged.tlc}.by_pickup")
    merged.query(f"drop owned by {merged.prefix}reader")


def mine(workspace: Workspace) -> str:
    return f"{workspace.prefix}mine"


def trips(workspace: Workspace) -> str:
    return f"{workspace.prefix}tlc_marts.trips"


def build_on_it(workspace: Workspace) -> None:
    """Do what users do: views, also of views, functions, indexes, grants."""
    own, tlc, mart = mine(workspace), workspace.tlc, trips(workspace)
    for statement in (
        f"create view {own}.by_zone as"
        f" select pickup_zone_name, count(*) as trips from {mart} group by 1",
        f"create view {own}.busy as select * from {own}.by_zone where trips > 1",
        f"create materialized view {own}.stored as select * from {mart}",
        f"create view {own}.green as select file_month, fare_amount from {tlc}.green_tripdata",
        f"create view {own}.places as select * from {tlc}.taxi_zones",
        f"create function {own}.trips_of(zone text) returns bigint language sql"
        f" begin atomic select count(*) from {mart} where pickup_zone_name = zone; end",
        f"create index by_pickup on {tlc}.green_tripdata (pickup_datetime)",
        f"grant select on {mart}, {tlc}.green_tripdata, {tlc}.taxi_zones, {tlc}.file_ledger"
        f" to {workspace.prefix}reader",
        f"grant update (pickup_zone_name) on {mart} to {workspace.prefix}reader",
    ):
        workspace.query(statement)


def objects(workspace: Workspace) -> dict[str, list[tuple]]:
    """Describe all that build_on_it makes, so that it shows when one was made again."""
    own, tlc = mine(workspace), workspace.tlc
    return {
        "relations": workspace.query(
            "select relname, oid from pg_class where relkind in ('v', 'm')"
            f" and relnamespace = '{own}'::regnamespace order by 1"
        ),
        "functions": workspace.query(
            f"select proname, oid from pg_proc where pronamespace = '{own}'::regnamespace"
        ),
        "indexes": workspace.query(
            f"select relname from pg_class where oid = to_regclass('{tlc}.by_pickup')"
        ),
        "grants": grants(workspace),
    }


def grants(workspace: Workspace) -> list[tuple]:
    reader = f"'{workspace.prefix}reader'"
    return workspace.query(
        "select table_name, privilege_type, '' from information_schema.role_table_grants"
        f" where grantee = {reader} union all"
        " select table_name, privilege_type, column_name"
        " from information_schema.role_column_grants"
        f" where grantee = {reader} and privilege_type = 'UPDATE' order by 1, 2, 3"
    )


def test_what_users_build_survives_new_months_republished_ones_and_full_refreshes(built):
    build_on_it(built)
    before = objects(built)
    assert [len(found) for found in before.values()] == [5, 1, 1, 5]
    succeeded(run(built, "2023-02", 200))
    assert objects(built) == before
    succeeded(run(built, "2023-01", 250))
    assert objects(built) == before
    succeeded(built.dbt("build", "--full-refresh"))
    assert objects(built) == before
    own = mine(built)
    assert built.query(f"select sum(trips) from {own}.by_zone") == [(450,)]
    # The index is there for each month's partition.
    indexes = (
        f"select count(*) from pg_inherits where inhparent = '{built.tlc}.by_pickup'::regclass"
    )
    assert built.query(indexes) == [(2,)]


def columns(workspace: Workspace) -> list[str]:
    rows = workspace.query(
        f"select attname from pg_attribute where attrelid = '{trips(workspace)}'::regclass"
        " and attnum > 0 order by attnum"
    )
    return [name for (name,) in rows]


def replace_mart(workspace: Workspace, select: str) -> list[str]:
    """Give the mart the columns that some other version of the project has; return ours."""
    mart, ours = trips(workspace), columns(workspace)
    ((definition,),) = workspace.query(f"select pg_get_viewdef('{mart}'::regclass)")
    workspace.query(f"drop view {mart}")
    workspace.query(f"create view {mart} as select {select} from ({definition[:-1]}) as trips")
    return ours


def test_a_view_with_more_columns_is_replaced_under_what_depends_on_it(built):
    ours = replace_mart(
        built, "dataset, unique_row_id, file_month, file_row, vendor_id, vendor_name"
    )
    built.query(f"create view {mine(built)}.ids as select unique_row_id from {trips(built)}")
    built.query(f"grant select on {trips(built)} to {built.prefix}reader")
    before = objects(built)
    succeeded(built.dbt(*RUN_TRIPS))
    assert columns(built) == ours
    assert objects(built) == before


def test_a_view_with_other_columns_is_replaced_with_its_grants_by_two_builds_at_once(built):
    ours = replace_mart(built, "1 as number, trips.*")
    build_on_it(built)
    for statement in ("drop schema {0} cascade", "create schema {0}"):
        built.query(statement.format(mine(built)))
    before = objects(built)
    two = [
        (built, (*DBT_BUILD, "--select", "trips", "--target-path", built.local_dir / name))
        for name in ("one", "two")
    ]
    outcomes = together(two)
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    assert columns(built) == ours
    assert objects(built) == before


def test_a_view_with_other_columns_isnt_replaced_under_what_depends_on_it(built):
    ours = replace_mart(built, "1 as number, trips.*")
    build_on_it(built)
    before = objects(built)
    refused = built.dbt(*RUN_TRIPS)
    own = mine(built)
    assert refused.returncode != 0
    (line,) = {line for line in refused.stdout.splitlines() if "other columns" in line}
    assert line.strip().startswith(f"{trips(built)}: ")
    for dependent in (
        *(f"view {own}.by_zone", f"view {own}.busy", f"materialized view {own}.stored"),
        f"function {own}.trips_of(text)",
    ):
        assert dependent in line
    assert "dbt run --full-refresh --select trips" in line
    assert objects(built) == before
    assert columns(built) == ["number", *ours]

    dropped = succeeded(built.dbt(*RUN_TRIPS, "--full-refresh"))
    assert f"view {own}.busy" in dropped.stdout
    assert columns(built) == ours
    assert [name for name, _ in objects(built)["relations"]] == ["green", "places"]
    assert objects(built)["grants"] == before["grants"]


def test_a_table_in_a_views_place_is_replaced(built):
    ours = columns(built)
    built.query(f"drop view {trips(built)}")
    built.query(f"create table {trips(built)} as select 1 as number")
    succeeded(built.dbt(*RUN_TRIPS))
    assert columns(built) == ours


def test_what_is_built_on_a_partition_stays_when_its_month_is_published_anew(built):
    own, partition = mine(built), f"{built.tlc}.green_tripdata_2023_01"
    built.query(f"create view {own}.january as select * from {partition}")
    built.query(f"create index on {partition} (pickup_datetime)")
    built.query(f"grant select on {partition} to {built.prefix}reader")
    ((rows,),) = built.query(f"select count(*) from {own}.january")
    before = built.relations().keys(), grants(built)
    succeeded(run(built, "2023-01", rows + 50))
    assert (built.relations().keys(), grants(built)) == before
    assert built.query(f"select count(*) from {own}.january") == [(rows + 50,)]
