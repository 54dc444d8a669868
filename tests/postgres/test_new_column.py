"""A new column of a dataset is an entry of its declaration, and what scripts/columns.py writes."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Workspace, publish, succeeded
from tests.copies import copy_project, declare_new_column, in_copy
from tests.months import run

pytestmark = pytest.mark.slow

MONTH = "2026-06"
#: All of a month's columns and ids, compared in the copy, which knows the new one.
COMPARE = f"""
import os, sys
from pathlib import Path
from tests import exact
from tests.conftest import Workspace
workspace = Workspace(dict(os.environ), Path(), os.environ["TLC_SCHEMA_PREFIX"])
wanted = exact.expected(Path(sys.argv[1]), "green")
found = exact.stored(workspace, "green", "{MONTH}", "unique_row_id")
exact.assert_same(found, wanted)
assert found["unique_row_id"].to_pylist() == exact.ids_of(wanted, "green", "{MONTH}")
"""


def assert_new_column_loads(workspace: Workspace, copy: Path) -> Path:
    """Declare the column in a copy of the project, and run a month that has it.

    Returns:
        The month's file.
    """
    copy_project(copy)
    declare_new_column(copy)
    succeeded(in_copy(copy, "scripts/columns.py"))
    month = ("--dataset", "green", "--month", MONTH)
    succeeded(in_copy(copy, "-m", "loader.sample", *month, "--rows", 2_000, workspace.source))
    run(workspace, "green", MONTH, cwd=copy, PYTHONPATH=str(copy))

    path = workspace.source / f"green_tripdata_{MONTH}.parquet"
    values = pq.read_table(path)["TipJar"].to_pylist()
    assert len(set(values)) > 2
    found = workspace.query(
        f"select tip_jar from {workspace.tlc}.green_tripdata"
        f" where file_month = date '{MONTH}-01' order by file_row"
    )
    assert [value for (value,) in found] == values
    return path


def run_without_column(workspace: Workspace) -> None:
    """Run the month before, by the project as it is."""
    publish(workspace.source, "green", "2026-05", rows=500)
    run(workspace, "green", "2026-05")


def rows_without_column(workspace: Workspace) -> list[tuple]:
    """Count the rows of that month, and those of them that have a value."""
    return workspace.query(
        f"select count(*), count(tip_jar) from {workspace.tlc}.green_tripdata"
        " where file_month = date '2026-05-01'"
    )


@pytest.mark.parametrize("is_older", [False, True], ids=["new_warehouse", "older_warehouse"])
def test_a_new_column_is_one_entry(workspace, tmp_path, is_older):
    if is_older:
        run_without_column(workspace)
    path = assert_new_column_loads(workspace, tmp_path / "copy")
    succeeded(in_copy(tmp_path / "copy", "-c", COMPARE, path, **workspace.env))
    described = workspace.query(
        "select col_description(attrelid, attnum) from pg_attribute"
        f" where attrelid = '{workspace.tlc}.green_tripdata'::regclass and attname = 'tip_jar'"
    )
    assert described == [("What passengers left in the driver's jar.",)]
    assert rows_without_column(workspace) == [(500 * is_older, 0)]
