"""A dataset is a declaration: a made-up one lands and merges without a change anywhere else."""

import datetime as dt
import hashlib
import re
import shutil
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.datasets import datasets
from loader.settings import PROJECT_DIR
from tests.conftest import succeeded

SOURCE = """version: 2
sources:
  - name: tlc_raw
    schema: "{{ env_var('TLC_SCHEMA_PREFIX', '') }}tlc_raw"
    tables:
      - name: ferry_tripdata
        config:
          meta: {first_month: "2020-01"}
        columns:
          - {name: pier, data_type: text, config: {meta: {key: 1, spellings: [PierCode]}}}
          - {name: left_at, data_type: timestamp, config: {meta: {key: 2, spellings: [departure]}}}
          - {name: fare, data_type: double, config: {meta: {tie_breaker: 1, spellings: [Fare]}}}
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
    {{ contract_columns('ferry') | join(', ') }}
from {{ ref('stg_tlc__ferry_trips') }}
where {{ is_version_to_merge('ferry') }}
"""
TRIPS_YML = """version: 2
models:
  - name: ferry_tripdata
    data_tests: [rows_reconcile, unusual_values: {arguments: {never_null: [pier]}}]
    columns:
      - {name: unique_row_id, data_type: uuid, data_tests: [unique_rows]}
      - {name: file_month, data_type: date}
      - {name: file_row, data_type: integer}
      - {name: pier, data_type: text}
      - {name: left_at, data_type: timestamp}
      - {name: fare, data_type: float}
"""
#: The second repeats the first one's key; the last three hold what the ids' texts are made with.
ROWS = [
    ("B01", dt.datetime(2020, 1, 1, 8), 2.75),
    ("B01", dt.datetime(2020, 1, 1, 8), 1.35),
    ('B"1|', dt.datetime(2020, 1, 2, 8), 2.75),
    ("", dt.datetime(2020, 1, 2, 8), 2.75),
    ("~", dt.datetime(2020, 1, 2, 8), 2.75),
]


@pytest.fixture
def copy(tmp_path):
    """A copy of the project that declares one more dataset."""
    folder = tmp_path / "project"
    for name in ("loader", "models", "macros", "seeds", "tests/sql", ".dlt"):
        shutil.copytree(PROJECT_DIR / name, folder / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT_DIR / name, folder)
    (folder / "models/sources/ferry.yml").write_text(SOURCE)
    (folder / "models/staging/stg_tlc__ferry_trips.sql").write_text(STAGING)
    (folder / "models/trips/ferry_tripdata.sql").write_text(TRIPS)
    (folder / "models/trips/ferry_tripdata.yml").write_text(TRIPS_YML)
    return folder


def expected_id(pier: str, left_at: dt.datetime, ordinal: int) -> str:
    """Work out an id as docs/datasets.md and the macros describe it."""
    month = (dt.date(2020, 1, 1) - dt.date(1970, 1, 1)).days
    seconds = int((left_at - dt.datetime(1970, 1, 1)).total_seconds())
    quoted = '"' + pier.replace('"', '""') + '"'
    text = f"ferry|{month}|{quoted}|{seconds}|{ordinal}"
    return str(uuid.UUID(hashlib.md5(text.encode()).hexdigest()))


def test_a_declaration_and_two_models_are_a_dataset(workspace, copy):
    piers, times, fares = zip(*ROWS, strict=True)
    columns = {
        "PierCode": pa.array(piers),
        "departure": pa.array(times, pa.timestamp("us")),
        "Fare": fares,
    }
    pq.write_table(pa.table(columns), workspace.source / "ferry_tripdata_2020-01.parquet")
    months = ("--dataset", "ferry", "--month", "2020-01", "--source", workspace.source)
    run = succeeded(workspace.loader("run", *months, cwd=copy, PYTHONPATH=str(copy)))
    assert "merged" in run.stdout
    found = workspace.query(
        "select unique_row_id::text, pier, left_at, fare"
        f" from {workspace.tlc}.ferry_tripdata order by file_row"
    )
    ordinals = (2, 1, 1, 1, 1)
    assert found == [
        (expected_id(pier, time, ordinal), pier, time, fare)
        for (pier, time, fare), ordinal in zip(ROWS, ordinals, strict=True)
    ]
    ((reconciled,),) = workspace.query(
        f"select file_rows = table_rows from {workspace.tlc}.file_ledger where dataset = 'ferry'"
    )
    assert reconciled
    again = succeeded(workspace.loader("run", *months, cwd=copy, PYTHONPATH=str(copy)))
    assert "nothing to do" in again.stdout


def test_code_names_no_dataset():
    names = re.compile(rf"""["'](?:{"|".join(datasets())})["']""")
    paths = [*(PROJECT_DIR / "loader").rglob("*.py"), *(PROJECT_DIR / "macros").rglob("*.sql")]
    assert len(paths) > 40
    naming = {
        path.name
        for path in paths
        if path.parent.name != "sample" and names.search(path.read_text())
    }
    assert naming == set()
