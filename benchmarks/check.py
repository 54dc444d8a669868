"""That the trips table holds the file: every row, every value, by pyarrow on the file itself."""

import datetime as dt
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.server import BenchmarkError, Server
from loader.calendar import format_month

_BATCH_ROWS = 500_000
_INTEGER, _DOUBLE, _TEXT, _TIME = pa.int64(), pa.float64(), pa.string(), pa.timestamp("us")

#: The table's columns: TLC's name, in lower case, and the type to compare in.
_COLUMNS = {
    "vendor_id": ("vendorid", _INTEGER),
    "pickup_datetime": ("tpep_pickup_datetime", _TIME),
    "dropoff_datetime": ("tpep_dropoff_datetime", _TIME),
    "passenger_count": ("passenger_count", _INTEGER),
    "trip_distance": ("trip_distance", _DOUBLE),
    "rate_code_id": ("ratecodeid", _INTEGER),
    "store_and_fwd_flag": ("store_and_fwd_flag", _TEXT),
    "pickup_location_id": ("pulocationid", _INTEGER),
    "dropoff_location_id": ("dolocationid", _INTEGER),
    "payment_type": ("payment_type", _INTEGER),
    "fare_amount": ("fare_amount", _DOUBLE),
    "extra": ("extra", _DOUBLE),
    "mta_tax": ("mta_tax", _DOUBLE),
    "tip_amount": ("tip_amount", _DOUBLE),
    "tolls_amount": ("tolls_amount", _DOUBLE),
    "improvement_surcharge": ("improvement_surcharge", _DOUBLE),
    "total_amount": ("total_amount", _DOUBLE),
    "congestion_surcharge": ("congestion_surcharge", _DOUBLE),
    "airport_fee": ("airport_fee", _DOUBLE),
    "cbd_congestion_fee": ("cbd_congestion_fee", _DOUBLE),
    "request_source": ("request_source", _TEXT),
}


def check_month(server: Server, month: dt.date, file: Path) -> int:
    """Compare a month of the trips table with its file, and check that its ids differ.

    Args:
        server: the server.
        month: file month.
        file: the Parquet file.

    Returns:
        The number of rows, all of them right.

    Raises:
        BenchmarkError: when anything differs.
    """
    where = f"from tlc.yellow_tripdata where file_month = date '{month}'"
    with pq.ParquetFile(file) as parquet:
        rows = parquet.metadata.num_rows
        counts = server.execute(f"select count(*), count(distinct unique_row_id) {where}")
        if counts != [(rows, rows)]:
            raise BenchmarkError(
                f"yellow {format_month(month)}: {rows} rows in the file; rows and ids: {counts[0]}"
            )
        first = 1
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
            table = _read(
                server,
                f"select file_row, {', '.join(_COLUMNS)} {where} and file_row between {first}"
                f" and {first + batch.num_rows - 1} order by file_row",
            )
            for name, expected in _expected(batch, first).items():
                if not table[name].combine_chunks().equals(expected):
                    raise BenchmarkError(
                        f"yellow {format_month(month)}, column {name}: rows {first} to"
                        f" {first + batch.num_rows - 1} differ from the file's"
                    )
            first += batch.num_rows
    return rows


def _read(server: Server, query: str) -> pa.Table:
    csv = io.BytesIO()
    with server.connection.cursor() as cursor:
        cursor.copy_expert(f"copy ({query}) to stdout (format csv, header)", csv)
    csv.seek(0)
    types = {name: kind for name, (_, kind) in _COLUMNS.items()} | {"file_row": _INTEGER}
    return pyarrow.csv.read_csv(
        csv,
        read_options=pyarrow.csv.ReadOptions(block_size=csv.getbuffer().nbytes + 1),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _expected(batch: pa.RecordBatch, first: int) -> dict[str, pa.Array]:
    by_name = {name.lower(): batch.column(i) for i, name in enumerate(batch.schema.names)}
    missing = pa.nulls(batch.num_rows)
    expected = {
        name: by_name.get(header, missing).cast(kind) for name, (header, kind) in _COLUMNS.items()
    }
    return expected | {"file_row": pa.array(range(first, first + batch.num_rows), _INTEGER)}
