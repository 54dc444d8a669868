"""A dataset is a declaration: a made-up one lands and merges without a change anywhere else."""

import datetime as dt
import functools
import hashlib
import re
import uuid
from collections import defaultdict
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.datasets import datasets
from loader.settings import PROJECT_DIR
from tests.conftest import DATA_TESTS, succeeded
from tests.copies import copy_project, in_copy

pytestmark = pytest.mark.slow

SOURCE = """version: 2
sources:
  - name: tlc_raw
    schema: "{{ env_var('TLC_SCHEMA_PREFIX', '') }}tlc_raw"
    tables:
      - name: ferry_tripdata
        config:
          meta: {first_month: "2020-01"}
        columns:
          - name: pier
            data_type: text
            config: {meta: {key: 1, spellings: [PierCode]}}
          - name: pickup_datetime
            data_type: timestamp
            config: {meta: {key: 2, spellings: [left_at]}}
          - name: dropoff_datetime
            data_type: timestamp
            config: {meta: {spellings: [arrived_at]}}
          - name: pickup_location_id
            data_type: smallint
            config: {meta: {spellings: [from_zone]}}
          - name: dropoff_location_id
            data_type: smallint
            config: {meta: {spellings: [to_zone]}}
          - name: trip_distance
            data_type: double
            config: {meta: {spellings: [Miles]}}
          - name: fare_amount
            data_type: double
            config: {meta: {tie_breaker: 1, spellings: [Fare]}}
          - {name: _file_month, data_type: date}
          - {name: _file_row, data_type: integer}
          - {name: _dlt_load_id, data_type: text}
"""
STAGING = """
select
    _file_month as file_month,
    _file_row as file_row,
    _dlt_load_id as load_id,
    {{ typed_columns('ferry') | join(', ') }}
from {{ source('tlc_raw', 'ferry_tripdata') }}
"""
TRIPS = """
select
    {{ row_id(row_key('ferry'), '1') }} as unique_row_id,
    file_month,
    file_row,
    {{ trip_columns('ferry') | join(', ') }}
from {{ ref('stg_tlc__ferry_trips') }}
where {{ is_version_to_merge('ferry') }}
"""
TRIPS_YML = """version: 2
anchors:
  - &time "timestamp"
models:
  - name: ferry_tripdata
    data_tests: [rows_reconcile, unusual_values: {arguments: {never_null: [pier]}}]
    columns: # written by scripts/columns.py
      - {name: unique_row_id, data_type: uuid, data_tests: [unique_rows]}
      - {name: file_month, data_type: date}
      - {name: file_row, data_type: integer}
"""
COLUMNS = ("PierCode", "left_at", "arrived_at", "from_zone", "to_zone", "Miles", "Fare")
EIGHT, NINE = dt.datetime(2020, 1, 1, 8), dt.datetime(2020, 1, 1, 9)
#: The second repeats the first one's key; the last three hold what the ids' texts are made with.
ROWS = [
    ("B01", EIGHT, EIGHT + dt.timedelta(minutes=30), 4, 12, 5.5, 2.75),
    ("B01", EIGHT, EIGHT + dt.timedelta(minutes=15), 4, 12, 0.25, 1.35),
    ('B"1|', NINE, NINE + dt.timedelta(hours=20), 4, 7, 3.0, 2.75),
    ("", NINE, None, 7, 4, None, 2.75),
    ("~", NINE, NINE + dt.timedelta(minutes=6), None, 4, 1.0, -2.75),
]
MONTHS = ("2020-01", "2020-02")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project that declares one more dataset."""
    folder = copy_project(tmp_path_factory.mktemp("copy") / "project")
    (folder / "models/sources/ferry.yml").write_text(SOURCE)
    (folder / "models/staging/stg_tlc__ferry_trips.sql").write_text(STAGING)
    (folder / "models/trips/ferry_tripdata.sql").write_text(TRIPS)
    (folder / "models/trips/ferry_tripdata.yml").write_text(TRIPS_YML)
    succeeded(in_copy(folder, "scripts/columns.py"))
    return folder


def expected_id(pier: str, left_at: dt.datetime, ordinal: int) -> str:
    """Work out an id as docs/datasets.md and the macros describe it."""
    month = (dt.date(2020, 1, 1) - dt.date(1970, 1, 1)).days
    seconds = int((left_at - dt.datetime(1970, 1, 1)).total_seconds())
    quoted = '"' + pier.replace('"', '""') + '"'
    text = f"ferry|{month}|{quoted}|{seconds}|{ordinal}"
    return str(uuid.UUID(hashlib.md5(text.encode()).hexdigest()))


@pytest.fixture(scope="module")
def ferry(new_workspace, copy):
    """A workspace with two months of the dataset, which declares no kind, and what was printed."""
    workspace = new_workspace(marts=True)
    table = pa.table(dict(zip(COLUMNS, map(list, zip(*ROWS, strict=True)), strict=True)))
    for month in MONTHS:
        pq.write_table(table, workspace.source / f"ferry_tripdata_{month}.parquet")
    loader = functools.partial(workspace.loader, cwd=copy, PYTHONPATH=str(copy), **DATA_TESTS)
    months = ("--dataset", "ferry", "--month", MONTHS[0], "--to", MONTHS[1])
    runs = [loader("run", *months, "--source", workspace.source) for _ in range(2)]
    return workspace, loader, runs


def test_a_declaration_and_two_models_are_a_dataset(ferry):
    workspace, loader, (run, again) = ferry
    assert succeeded(run).stdout.count("merged") == 2
    found = workspace.query(
        "select unique_row_id::text, pier, pickup_datetime, fare_amount"
        f" from {workspace.tlc}.ferry_tripdata where file_month = '2020-01-01' order by file_row"
    )
    ordinals = (2, 1, 1, 1, 1)
    assert found == [
        (expected_id(pier, time, ordinal), pier, time, fare)
        for (pier, time, *_, fare), ordinal in zip(ROWS, ordinals, strict=True)
    ]
    reconciled = workspace.query(
        f"select file_rows = table_rows from {workspace.tlc}.file_ledger where dataset = 'ferry'"
    )
    assert reconciled == [(True,), (True,)]
    assert succeeded(again).stdout.count("nothing to do") == 2
    succeeded(loader("dbt", "build"))
    assert "without their marts" not in succeeded(loader("status")).stdout


def test_a_dataset_with_a_kind_has_marts(ferry, copy):
    """The kind, and one line for dbt, which has to know the tables of a view before all else."""
    workspace, loader, _ = ferry
    for path, text, other in (
        ("models/sources/ferry.yml", "meta: {first_month", "meta: {kind: taxi, first_month"),
        (
            "models/intermediate/int_trips_described.sql",
            "-- depends_on:",
            "-- depends_on: {{ ref('ferry_tripdata') }},",
        ),
    ):
        before = (copy / path).read_text()
        assert text in before
        (copy / path).write_text(before.replace(text, other))
    assert "without their marts: 2" in succeeded(loader("status")).stdout
    assert succeeded(loader("marts")).stdout == "2 months built\n"
    assert "without their marts" not in succeeded(loader("status")).stdout

    marts = f"{workspace.tlc}_marts"
    lacking = "payment_type, total_amount, airport_fee, vendor_name"
    found = workspace.query(
        "select pickup_location_id, trip_distance, fare_amount, is_reversal, is_in_null_block,"
        f" {lacking} from {marts}.trips"
        " where dataset = 'ferry' and file_month = '2020-02-01' order by file_row"
    )
    assert found == [
        (zone, miles, fare, fare < 0, True, *[None] * 4) for *_, zone, _, miles, fare in ROWS
    ]
    groups = defaultdict(list)
    for _, left_at, _, zone, _, miles, fare in ROWS:
        groups[left_at, zone].append((miles, fare))
    for month in MONTHS:
        found = workspace.query(
            "select pickup_hour, pickup_location_id, trips, reversals, fare_amount,"
            " coalesce(miles, 0), payment_type, total_amount, passengers"
            f" from {marts}.hourly_zone_trips"
            f" where dataset = 'ferry' and file_month = '{month}-01'"
        )
        assert {row[:2]: row[2:] for row in found} == {
            key: (
                sum(fare >= 0 for _, fare in trips),
                sum(fare < 0 for _, fare in trips),
                sum(Decimal(str(fare)) for _, fare in trips),
                sum(Decimal(str(miles or 0)) for miles, fare in trips if fare >= 0),
                *[None] * 3,
            )
            for key, trips in groups.items()
        }
    for mart, rows in (
        ("zone_pairs", "sum(trips + reversals)"),
        ("monthly_fares", "sum(trips + reversals)"),
        ("monthly_trips", "sum(trips + reversals)"),
        ("dropoff_hours", "sum(trips + reversals)"),
        ("month_quality", "sum(all_rows)"),
        ("monthly_zone_revenue", "sum(total_monthly_trips) + 2"),
    ):
        found = workspace.query(f"select {rows} from {marts}.{mart} where dataset = 'ferry'")
        assert found == [(2 * len(ROWS),)], mart


def test_code_names_no_dataset():
    names = re.compile(rf"""["'](?:{"|".join(datasets())})["']""")
    paths = [*(PROJECT_DIR / "loader").rglob("*.py"), *(PROJECT_DIR / "macros").rglob("*.sql")]
    assert len(paths) > 40
    # What the demo makes, and whose trips a report of TLC's counts.
    named = {path.name for path in paths if names.search(path.read_text())}
    assert named == {"demo.py", "figures.py"}
