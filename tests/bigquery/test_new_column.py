"""A new column of a dataset, on BigQuery: see tests/postgres/test_new_column.py."""

import pytest

from tests.conftest import NO_TESTS
from tests.emulator.workspace import BigQueryWorkspace, workspace_on
from tests.postgres.test_new_column import (
    assert_new_column_loads,
    rows_without_column,
    run_without_column,
)


@pytest.mark.slow
def test_a_warehouse_without_the_column_gets_it(rig, tmp_path):
    # by the one whose first run makes the datasets, with the roles that the docs name for that
    who = {"BIGQUERY_ACCESS_TOKEN": "first", "TLC_SCHEMA_PREFIX": "column_"}
    env = workspace_on(rig, tmp_path, **who, **NO_TESTS).env
    workspace = BigQueryWorkspace(env, tmp_path, "column_", marts=False)
    run_without_column(workspace)
    assert_new_column_loads(workspace, tmp_path / "copy")
    assert rows_without_column(workspace) == [(500, 0)]
