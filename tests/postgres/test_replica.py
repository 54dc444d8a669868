"""A replica that is promoted goes on where its primary was, raw rows that weren't logged aside."""

from dataclasses import replace

import pytest

from tests import servers
from tests.conftest import Workspace, publish, succeeded
from tests.exact import assert_same, expected, stored

MERGED, LANDED, STREAMED = "2023-01", "2023-02", "2023-03"
#: As `run` lands them; `load` logs them.
UNLOGGED = "alter table {0}.{1} set unlogged"


@pytest.mark.slow
@pytest.mark.parametrize("version", servers.VERSIONS)
def test_a_promoted_replica_goes_on(workspace, version):
    programs = servers.programs_of(version)
    with servers.server(programs) as of_primary:
        primary = replace(workspace, env=workspace.env | of_primary)
        files = {
            month: publish(workspace.source, "green", month, 500) for month in (MERGED, LANDED)
        }
        month = ("--dataset", "green", "--source", workspace.source, "--month")
        succeeded(primary.loader("run", *month, MERGED))
        succeeded(primary.loader("load", *month, LANDED))
        (part,) = (name for name in primary.relations(primary.raw) if "_2023_02__" in name)
        primary.query(UNLOGGED.format(primary.raw, part))

        with servers.replica(programs, of_primary) as of_replica:
            copy = replace(workspace, env=workspace.env | of_replica)
            refused = copy.loader("run", *month, LANDED)
            assert refused.returncode == 6, refused.stderr
            assert "replica" in refused.stderr

            files[STREAMED] = publish(workspace.source, "green", STREAMED, 500)
            succeeded(primary.loader("run", *month, STREAMED))
            _wait_for(primary, copy)
            servers.promote(programs, of_replica)

            # dbt alone doesn't take the empty part for the month.
            alone = copy.dbt("build", "--select", "green_tripdata")
            assert alone.returncode == 1
            assert "2023-02" in alone.stdout
            merged = f"select distinct file_month::text from {copy.tlc}.green_tripdata order by 1"
            assert copy.query(merged) == [("2023-01-01",), ("2023-03-01",)]
            succeeded(copy.loader("run", *month, LANDED))
            for of_month, path in files.items():
                assert_same(stored(copy, "green", of_month), expected(path, "green"))
            count = f"select count(*) from {copy.tlc}.file_ledger where is_current"
            assert copy.query(count) == [(3,)]


def _wait_for(primary: Workspace, copy: Workspace) -> None:
    """Wait until the replica has replayed what its primary has written."""
    ((position,),) = primary.query("select pg_current_wal_lsn()::text")
    copy.query(f"""
        do $$ begin
            for turn in 1..600 loop
                exit when pg_last_wal_replay_lsn() >= '{position}';
                perform pg_sleep(0.1);
            end loop;
        end $$
    """)
