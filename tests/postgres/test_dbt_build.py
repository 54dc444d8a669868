"""`dbt build` and `dbt test` by themselves, as users call them."""

import datetime as dt

from loader.sample import write_month
from tests.conftest import ALL_TESTS, Workspace, succeeded


def scans(workspace: Workspace) -> int:
    """Count how often the month's partition was read; sessions that have ended are in it."""
    ((count,),) = workspace.query(
        "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables"
        " where schemaname = %s and relname = 'green_tripdata_2023_01'",
        workspace.tlc,
    )
    return count


def test_a_month_that_is_merged_and_dropped_is_nothing_to_do_and_can_be_tested(workspace):
    month, rows = ("--vars", "{dataset: green, month: 2023-01}"), 400
    write_month(
        workspace.source / "green_tripdata_2023-01.parquet", "green", dt.date(2023, 1, 1), rows
    )
    run = ("run", "--dataset", "green", "--month", "2023-01", "--source", workspace.source)
    succeeded(workspace.loader(*run))
    before = scans(workspace)

    for options, said in (
        (month, "green 2023-01: merged already, and its raw rows are dropped: nothing to do"),
        ((), "every landed month of yellow and green is merged: nothing to do"),
    ):
        assert said in succeeded(workspace.dbt("build", *options, **ALL_TESTS)).stdout
    assert scans(workspace) == before

    # A test reads the month.
    workspace.query(f"delete from {workspace.tlc}.green_tripdata where file_row = 7")
    failed = workspace.dbt("test", *month, **ALL_TESTS)
    assert failed.returncode == 1
    assert "FAIL 1 rows_reconcile_green" in failed.stdout
    assert "nothing to do" not in failed.stdout
