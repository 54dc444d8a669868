"""`nyc-tlc export`: what the files hold is what the warehouse and the month files hold."""

import hashlib
import json
import subprocess
import sys
from decimal import Decimal

import duckdb
import pyarrow.parquet as pq
import pytest

from loader import __version__
from loader.settings import PROJECT_DIR
from tests import environments
from tests.conftest import publish, succeeded
from tests.exact import assert_same, expected, ids_of
from tests.months import run

MONTHS = {"green": ["2023-01", "2023-02"], "fhvhv": ["2023-01"]}
#: Tables with a file a month, and columns that sort their rows.
BY_MONTH = {
    "hourly_zone_trips": "pickup_hour, pickup_location_id, payment_type, company",
    "monthly_trips": "hour_of_day, pickup_borough, payment_type, company",
    "dropoff_hours": "hour_of_day, dropoff_location_id",
    "zone_pairs": "pickup_location_id, dropoff_location_id",
    "monthly_fares": "payment_type",
    "month_quality": "dataset",
}


@pytest.fixture(scope="module")
def loaded(new_workspace):
    """A warehouse with months of two datasets, a company's name with odd signs, and an export."""
    workspace = new_workspace(marts=True)
    for dataset, months in MONTHS.items():
        for month in months:
            publish(workspace.source, dataset, month, 700)
        run(workspace, dataset, f"{months[0]}:{months[-1]}")
    workspace.query(f"update {workspace.tlc}.bases set company = '' where base_num = 'B00001'")
    odd = "'say \"yes\",' || chr(10) || ' then é'"
    workspace.query(f"update {workspace.tlc}.bases set company = {odd} where base_num = 'B00008'")
    out = workspace.local_dir / "out"
    options = ("--dataset", "green", "--month", "2023-01", "--to", "2023-02", "--trips")
    succeeded(workspace.loader("export", "--out", out, *options))
    succeeded(workspace.loader("export", "--out", out, "--dataset", "fhvhv"))
    return workspace, out


def described(out):
    package = json.loads((out / "datapackage.json").read_text())
    return {resource["path"]: resource for resource in package["resources"]}


def rows_of(workspace, out, table, dataset, month, order):
    """Read a month of a table in the export, and in the warehouse."""
    found = pq.read_table(out / table / dataset / f"{month}.parquet")
    place = f"{workspace.tlc}_marts.{table}"
    wanted = workspace.query(
        f"select {', '.join(found.column_names)} from {place}"
        f" where dataset = %s and file_month = %s order by {order}",
        dataset,
        f"{month}-01",
    )
    return [tuple(row.values()) for row in found.to_pylist()], wanted


def test_trips_are_those_of_the_month_files(loaded):
    workspace, out = loaded
    for month in MONTHS["green"]:
        table = expected(workspace.source / f"green_tripdata_{month}.parquet", "green")
        found = pq.read_table(out / "green_tripdata" / "green" / f"{month}.parquet")
        assert found["unique_row_id"].to_pylist() == ids_of(table, "green", month)
        wanted = table.cast(found.select(table.column_names).schema)
        assert_same(found.select(table.column_names), wanted)
    assert not (out / "fhvhv_tripdata").exists()


@pytest.mark.parametrize("table", BY_MONTH)
def test_marts_are_those_of_the_warehouse(loaded, table):
    workspace, out = loaded
    for dataset, months in MONTHS.items():
        for month in months:
            found, wanted = rows_of(workspace, out, table, dataset, month, BY_MONTH[table])
            assert found
            assert found == wanted, (table, dataset, month)


def test_tables_of_codes_keep_null_empty_text_and_line_breaks(loaded):
    workspace, out = loaded
    found = pq.read_table(out / "bases.parquet").to_pylist()
    wanted = workspace.query(f"select base_num, base_name, company from {workspace.tlc}.bases")
    assert {tuple(row.values()) for row in found} == set(wanted)
    companies = {row["base_num"]: row["company"] for row in found}
    assert companies["B00001"] == ""
    assert companies["B00008"] == 'say "yes",\n then é'
    assert None in companies.values()


def test_everything_is_described(loaded):
    _, out = loaded
    resources = described(out)
    written = {str(path.relative_to(out)) for path in out.rglob("*.parquet")}
    assert set(resources) == written
    ledger = pq.read_table(out / "file_ledger" / "green" / "2023-01.parquet").to_pylist()
    for path, resource in resources.items():
        content = (out / path).read_bytes()
        assert resource["bytes"] == len(content)
        assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        file = pq.ParquetFile(out / path)
        assert resource["table_rows"] == file.metadata.num_rows
        fields = json.loads((out / resource["schema"]).read_text())["fields"]
        assert [field["name"] for field in fields] == file.schema_arrow.names
        assert all(field["description"] for field in fields), path
        told = file.schema_arrow.metadata
        assert told[b"nyc_tlc"].decode() == __version__
        if path.endswith("green/2023-01.parquet"):
            assert resource["source_sha256"] == ledger[0]["sha256"]
            assert told[b"source_sha256"].decode() == ledger[0]["sha256"]
    page = (out / "README.md").read_text()
    assert "| hourly_zone_trips | 3 |" in page
    assert "| green_tripdata | 2 |" in page


def test_duckdb_adds_the_months_up_as_the_page_says(loaded):
    workspace, out = loaded
    page = (out / "README.md").read_text()
    query = page.partition("```sql\n")[2].partition("```")[0]
    assert "'hourly_zone_trips/*/*.parquet'" in query
    query = query.replace("'hourly", f"'{out}/hourly")
    wanted = workspace.query(
        f"select dataset, sum(trips) from {workspace.tlc}_marts.hourly_zone_trips group by dataset"
    )
    found = duckdb.sql(query).fetchall()
    assert {name: Decimal(trips) for name, trips in found} == dict(wanted)


def test_a_republished_month_replaces_its_files_and_leaves_the_others(loaded, tmp_path):
    workspace, _ = loaded
    out = tmp_path / "out"
    months = ("--dataset", "green", "--month", "2023-01")
    succeeded(workspace.loader("export", "--out", out, "--dataset", "green"))
    before = described(out)
    path = workspace.source / "green_tripdata_2023-01.parquet"
    kept = path.read_bytes()
    pq.write_table(pq.read_table(path).slice(1), path)
    try:
        run(workspace, "green", "2023-01")
        succeeded(workspace.loader("export", "--out", out, *months))
        after = described(out)
        assert set(after) == set(before)
        other = "zone_pairs/green/2023-02.parquet"
        assert after[other] == before[other]
        place = "month_quality/green/2023-01.parquet"
        assert after[place]["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert pq.read_table(out / place)["all_rows"].to_pylist() == [699]
    finally:
        path.write_bytes(kept)
        run(workspace, "green", "2023-01")


def test_a_month_without_marts_is_said_and_one_that_changes_is_refused(loaded, tmp_path):
    workspace, _ = loaded
    month = "dataset = 'fhvhv' and file_month = '2023-01-01'"

    def move(table, by):
        workspace.query(
            f"update {table} set merged_at = merged_at {by} interval '1 hour' where {month}"
        )

    move(f"{workspace.tlc}_marts.zone_pairs", "+")
    changed = workspace.loader("export", "--out", tmp_path, "--dataset", "fhvhv")
    move(f"{workspace.tlc}_marts.zone_pairs", "-")
    assert changed.returncode == 7
    assert "fhvhv 2023-01 changed while it was exported; export it again" in changed.stderr

    move(f"{workspace.tlc}.marts_ledger", "+")
    without = succeeded(workspace.loader("export", "--out", tmp_path, "--dataset", "fhvhv"))
    move(f"{workspace.tlc}.marts_ledger", "-")
    said = "left out, without their marts: fhvhv 2023-01; to build them: nyc-tlc marts\n"
    assert without.stdout == said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_wrong_use_is_one_line(loaded, tmp_path):
    workspace, _ = loaded
    blocked = tmp_path / "a file"
    blocked.write_text("")
    for options, said in (
        (("--out", blocked), f"error: can't write to {blocked}: File exists"),
        (("--trips",), "error: --trips goes with --month: choose the months"),
        (("--to", "2023-02"), "error: --to goes with --month, the first month"),
    ):
        refused = workspace.loader("export", *options)
        assert (refused.returncode, refused.stderr.strip()) == (2, said)
    (tmp_path / "datapackage.json").write_text("{")
    refused = workspace.loader("export", "--out", tmp_path)
    assert refused.returncode == 2
    assert "datapackage.json isn't one of ours" in refused.stderr
    none = workspace.loader("export", "--out", tmp_path / "none", "--month", "2010-01")
    assert (none.returncode, none.stdout.partition(":")[0]) == (
        0,
        "no month of those that were asked for is merged",
    )
    assert not (tmp_path / "none" / "datapackage.json").exists()


@pytest.mark.slow
def test_frictionless_finds_no_fault(loaded):
    _, out = loaded
    constraints = PROJECT_DIR / "tests" / "postgres" / "frictionless_constraints.txt"
    folder = PROJECT_DIR / ".local" / "frictionless-venv"
    python = environments.install(folder, sys.executable, constraints)
    command = [python, "-m", "frictionless", "validate", "datapackage.json"]
    options = {"cwd": out, "capture_output": True, "text": True, "check": False}
    succeeded(subprocess.run(command, **options))
    file = out / "vendors.parquet"
    kept = file.read_bytes()
    file.write_bytes(kept[:-1] + b"?")
    try:
        assert subprocess.run(command, **options).returncode == 1
    finally:
        file.write_bytes(kept)
