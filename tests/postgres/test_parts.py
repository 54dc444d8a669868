"""Files of several parts on Postgres: every row lands, in one row group or many; or none does."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.calendar import file_name, parse_month
from loader.landing.postgres_copy import PART_ROWS
from tests.conftest import Workspace, publish
from tests.exact import assert_same, expected, landed
from tests.months import load, of

MONTH = "2019-01"
NAME = file_name("yellow", parse_month(MONTH))
ROWS = 2 * PART_ROWS + 1


@pytest.fixture(scope="module")
def trips(tmp_path_factory) -> pa.Table:
    """A month that takes more than two parts, the last of which isn't full."""
    return pq.read_table(publish(tmp_path_factory.mktemp("parts"), "yellow", MONTH, ROWS))


def parts(workspace: Workspace) -> list[tuple[str, int, int, bool]]:
    """List the parts that are there: table, first and last row by name, whether it is attached."""
    found = workspace.query(
        "select relname, relispartition from pg_class where relkind = 'r'"
        " and relnamespace = %s::regnamespace and relname like 'yellow%%\\_\\_%%'",
        workspace.raw,
    )
    rows = [(name, *map(int, name.split("_")[-2:]), attached) for name, attached in found]
    return sorted(rows, key=lambda row: row[1])


@pytest.mark.parametrize(("row_group", "cores"), [(ROWS, 1), (70_000, 8)])
def test_a_file_of_several_parts_lands_row_for_row(workspace, trips, row_group, cores):
    path = workspace.source / NAME
    pq.write_table(trips, path, row_group_size=row_group)
    load(workspace, "yellow", MONTH, TLC_CORES=str(cores))
    assert_same(landed(workspace, "yellow", MONTH), expected(path, "yellow"))
    found = parts(workspace)
    assert len(found) > 2
    assert all(attached for *_, attached in found)
    assert found[0][1] == 1
    assert [first for _, first, *_ in found[1:]] == [last + 1 for _, _, last, _ in found[:-1]]
    for name, first, last, _ in found:
        told = f'select min(_file_row), max(_file_row), count(*) from {workspace.raw}."{name}"'
        assert workspace.query(told) == [(first, last, last - first + 1)]


def test_a_file_that_is_refused_at_its_last_row_leaves_the_version_before(workspace, trips):
    path = workspace.source / NAME
    pq.write_table(trips.slice(0, 1_000), path)
    load(workspace, "yellow", MONTH)
    before = workspace.relations(workspace.raw)

    passengers = pa.chunked_array([[0.0] * (ROWS - 1) + [1.5]])
    index = trips.schema.get_field_index("passenger_count")
    pq.write_table(trips.set_column(index, "passenger_count", passengers), path)
    process = workspace.loader("load", *of("yellow", MONTH), "--source", workspace.source)
    assert process.returncode == 5
    line = next(line for line in process.stderr.splitlines() if line.startswith("error"))
    assert f"yellow {MONTH}: {NAME}, column passenger_count: " in line
    assert "1.5" in line
    assert workspace.relations(workspace.raw) == before
    count = f"select count(*) from {workspace.raw}.yellow_tripdata"
    assert workspace.query(count) == [(1_000,)]
    # Nothing of it stands in the way of the next.
    pq.write_table(trips.slice(0, 2_000), path)
    load(workspace, "yellow", MONTH)
    assert workspace.query(count) == [(2_000,)]
