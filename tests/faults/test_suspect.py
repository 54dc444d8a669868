"""A version that looks broken lands and waits; the table keeps the version before."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loader.errors import UsageError
from loader.settings import load_settings
from tests.conftest import Workspace, publish, succeeded
from tests.exact import assert_same, expected, landed, stored

MONTH = ("--dataset", "green", "--month", "2023-02")
SUSPECT = "suspect: 400 rows where the table holds 1,000"


def put(workspace: Workspace, rows: int) -> None:
    publish(workspace.source, "green", "2023-02", rows)


def file_of(workspace: Workspace) -> Path:
    return workspace.source / "green_tripdata_2023-02.parquet"


@pytest.fixture
def merged(workspace) -> Workspace:
    """A month of 1,000 rows, merged; its source is then published with 400."""
    workspace.env["TLC_SOURCE"] = str(workspace.source)
    put(workspace, 1_000)
    succeeded(workspace.loader("run", *MONTH))
    file_of(workspace).rename(workspace.local_dir / "before.parquet")
    put(workspace, 400)
    return workspace


def assert_keeps_the_old_version(workspace: Workspace) -> None:
    before = expected(workspace.local_dir / "before.parquet", "green")
    assert_same(stored(workspace, "green", "2023-02"), before)


def test_a_version_that_lost_most_rows_waits_until_it_is_accepted(merged):
    refused = merged.loader("run", *MONTH)
    assert refused.returncode == 7
    assert refused.stderr.splitlines()[-1].startswith(f"error: green 2023-02: {SUSPECT}")
    assert "--accept" in refused.stderr
    assert_keeps_the_old_version(merged)
    assert_same(landed(merged, "green", "2023-02"), expected(file_of(merged), "green"))

    # Nothing merges it by the way: the same command again, a build of all, one of the month.
    assert merged.loader("run", *MONTH).returncode == 7
    for options in ((), ("--vars", "{dataset: green, month: 2023-02}")):
        said = succeeded(merged.dbt("build", *options)).stdout
        assert f"green 2023-02: {SUSPECT}; not merged until it is accepted" in said
    assert_keeps_the_old_version(merged)
    (row,) = json.loads(succeeded(merged.loader("status", "--json")).stdout)
    assert row["state"] == "suspect: landed, not merged until --accept"
    assert (row["file_rows"], row["table_rows"]) == (400, 1_000)
    assert row["state"] in succeeded(merged.loader("status")).stdout

    accepted = succeeded(merged.loader("run", *MONTH, "--accept", "--json"))
    (told,) = json.loads(accepted.stdout)
    assert (told["rows"], told["rows_added"] + told["rows_unchanged"]) == (400, 400)
    assert_same(stored(merged, "green", "2023-02"), expected(file_of(merged), "green"))
    assert '"state": "merged"' in succeeded(merged.loader("status", "--json")).stdout
    assert "nothing to do" in succeeded(merged.loader("run", *MONTH)).stdout


def test_a_better_version_needs_no_acceptance_nor_does_the_old_one(merged):
    assert "suspect" not in succeeded(merged.loader("load", *MONTH, TLC_MAX_ROW_DROP="0.6")).stderr
    put(merged, 401)
    said = succeeded(merged.loader("load", *MONTH)).stderr
    assert "green 2023-02  warning: suspect: 401 rows where the table holds 1,000" in said
    assert "next: dbt build" not in said
    old = merged.local_dir / "before.parquet"
    file_of(merged).write_bytes(old.read_bytes())
    succeeded(merged.loader("load", *MONTH))
    assert '"merged"' in succeeded(merged.loader("status", "--json")).stdout
    put(merged, 900)
    succeeded(merged.loader("run", *MONTH))
    assert_same(stored(merged, "green", "2023-02"), expected(file_of(merged), "green"))


@pytest.mark.empty_warehouse
def test_another_months_file_is_suspect(workspace):
    workspace.env["TLC_SOURCE"] = str(workspace.source)
    other = publish(workspace.source, "green", "2023-01", 1_500)
    other.rename(file_of(workspace))
    pickups = pq.read_table(file_of(workspace))["lpep_pickup_datetime"].to_pylist()
    outside = sum((one.year, one.month) != (2023, 2) for one in pickups)
    refused = workspace.loader("run", *MONTH)
    assert refused.returncode == 7
    suspect = f"suspect: {outside:,} of 1,500 pickups are not in 2023-02; landed, and not merged"
    assert refused.stderr.splitlines()[-1].startswith(f"error: green 2023-02: {suspect}")
    assert workspace.relations(workspace.tlc) == {}
    succeeded(workspace.loader("run", *MONTH, "--accept"))
    assert_same(stored(workspace, "green", "2023-02"), expected(file_of(workspace), "green"))


@pytest.mark.parametrize("text", ["half", "-0.1", "1.1", "nan"])
def test_a_threshold_that_cant_be_right_is_told(monkeypatch, text):
    monkeypatch.setenv("TLC_MAX_ROW_DROP", text)
    with pytest.raises(UsageError, match="TLC_MAX_ROW_DROP"):
        load_settings()


def test_an_empty_file_lands_only_when_that_is_wanted(workspace):
    workspace.env["TLC_SOURCE"] = str(workspace.source)
    put(workspace, 100)
    pq.write_table(pq.read_table(file_of(workspace)).slice(0, 0), file_of(workspace))

    for command in ("load", "run"):
        refused = workspace.loader(command, *MONTH)
        assert refused.returncode == 5
        assert "zero rows" in refused.stderr
        assert "--allow-empty" in refused.stderr
    succeeded(workspace.loader("run", *MONTH, "--allow-empty"))
    assert stored(workspace, "green", "2023-02").num_rows == 0
    ledger = f"select file_rows, landed_rows, table_rows from {workspace.tlc}.file_ledger"
    assert workspace.query(ledger) == [(0, 0, 0)]


def test_an_empty_version_of_a_month_with_rows_is_suspect_too(merged):
    pq.write_table(pq.read_table(file_of(merged)).slice(0, 0), file_of(merged))
    assert merged.loader("run", *MONTH, "--allow-empty").returncode == 7
    assert_keeps_the_old_version(merged)
    succeeded(merged.loader("run", *MONTH, "--allow-empty", "--accept"))
    assert stored(merged, "green", "2023-02").num_rows == 0


def test_a_warehouse_without_the_column_goes_on_working(merged):
    merged.query(f"alter table {merged.raw}.month_files drop column suspect")
    assert '"merged"' in succeeded(merged.loader("status", "--json")).stdout
    # The same bytes under a new time: a record is written, and nothing loaded.
    file_of(merged).rename(merged.local_dir / "after.parquet")
    (merged.local_dir / "before.parquet").rename(file_of(merged))
    file_of(merged).touch()
    assert "same bytes" in succeeded(merged.loader("run", *MONTH)).stderr
    (merged.local_dir / "after.parquet").rename(file_of(merged))
    assert merged.loader("run", *MONTH).returncode == 7
    assert "suspect" in succeeded(merged.loader("status")).stdout
