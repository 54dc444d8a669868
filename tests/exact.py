"""What a month should look like, told by the file and without the contract that is under test."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.conftest import Workspace

_INT, _DOUBLE, _TEXT, _TIME = pa.int32(), pa.float64(), pa.string(), pa.timestamp("us")
MONEY = [
    *("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge"),
    *("total_amount", "congestion_surcharge", "cbd_congestion_fee"),
]
COLUMNS = {
    "vendor_id": _INT,
    "pickup_datetime": _TIME,
    "dropoff_datetime": _TIME,
    "passenger_count": _INT,
    "trip_distance": _DOUBLE,
    "rate_code_id": _INT,
    "store_and_fwd_flag": _TEXT,
    "pickup_location_id": _INT,
    "dropoff_location_id": _INT,
    "payment_type": _INT,
    "request_source": _TEXT,
    **dict.fromkeys(MONEY, _DOUBLE),
}
OF_DATASET = {
    "yellow": {"airport_fee": _DOUBLE},
    "green": {"ehail_fee": _DOUBLE, "trip_type": _INT},
}
HEADERS = {
    "vendorid": "vendor_id",
    "ratecodeid": "rate_code_id",
    "pulocationid": "pickup_location_id",
    "dolocationid": "dropoff_location_id",
}


def columns_of(dataset: str) -> dict[str, pa.DataType]:
    return COLUMNS | OF_DATASET[dataset]


def header(name: str) -> str:
    plain = name.lower().removeprefix("lpep_").removeprefix("tpep_")
    return HEADERS.get(plain, plain)


def expected(path: Path, dataset: str) -> pa.Table:
    """Read a month file as its rows should stand in the table, in the file's order."""
    file = pq.read_table(path)
    found = {header(name): file[name] for name in file.column_names}
    assert set(found) <= set(columns_of(dataset))
    return pa.table(
        {
            name: found[name].cast(kind) if name in found else pa.nulls(len(file), kind)
            for name, kind in columns_of(dataset).items()
        }
    )


def stored(workspace: Workspace, dataset: str, month: str, *more: str) -> pa.Table:
    """Read a month of a trips table, by file_row; `more` columns come first."""
    kinds = {"unique_row_id": _TEXT, "file_row": _INT, "file_month": pa.date32()}
    kinds = {name: kinds[name] for name in more} | columns_of(dataset)
    return _copied(
        workspace,
        f"select {', '.join(kinds)} from {workspace.tlc}.{dataset}_tripdata"
        f" where file_month = '{month}-01' order by file_row",
        kinds,
    )


def landed(workspace: Workspace, dataset: str, month: str) -> pa.Table:
    """Read a month of a raw table, in the file's order."""
    kinds = columns_of(dataset)
    return _copied(
        workspace,
        f"select {', '.join(kinds)} from {workspace.raw}.{dataset}_tripdata"
        f" where _file_month = '{month}-01' order by _file_row",
        kinds,
    )


def _copied(workspace: Workspace, query: str, kinds: dict[str, pa.DataType]) -> pa.Table:
    out = io.BytesIO()
    connection = workspace.connect()
    with connection.cursor() as cursor:
        cursor.copy_expert(f"copy ({query}) to stdout (format csv)", out)
    connection.close()
    if not out.getvalue():
        return pa.schema(kinds.items()).empty_table()
    return pa_csv.read_csv(
        pa.BufferReader(out.getvalue()),
        pa_csv.ReadOptions(column_names=list(kinds)),
        convert_options=pa_csv.ConvertOptions(
            column_types=kinds,
            null_values=[""],  # quoted, it is a text without characters
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def assert_same(actual: pa.Table, wanted: pa.Table) -> None:
    assert actual.num_rows == wanted.num_rows
    for name in wanted.column_names:
        if not actual[name].equals(wanted[name]):
            rows = zip(actual[name].to_pylist(), wanted[name].to_pylist(), strict=True)
            row, pair = next((n, pair) for n, pair in enumerate(rows, 1) if pair[0] != pair[1])
            pytest.fail(f"{name}, row {row}: {pair[0]!r} in the table, {pair[1]!r} in the file")
