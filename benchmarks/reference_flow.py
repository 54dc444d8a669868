"""The replaced flow: its SQL steps for a yellow month, written anew, on the same server.

As in its Kestra flow: a CSV goes by COPY into a staging table, an UPDATE gives each row its MD5 and
file name, a MERGE inserts the rows whose MD5 the table doesn't have. No index, `work_mem` as in its
image; all else is our server's, which is tuned for bulk loads. Its download, and ours, don't count.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.server import Server
from loader.calendar import file_name, month_number

_STAGING, _TABLE = "replaced_flow.yellow_tripdata_staging", "replaced_flow.yellow_tripdata"

#: Columns of its CSV, in the file's order.
_DOUBLE = "double precision"
_COLUMNS = {
    "VendorID": "text",
    "tpep_pickup_datetime": "timestamp",
    "tpep_dropoff_datetime": "timestamp",
    "passenger_count": "integer",
    "trip_distance": _DOUBLE,
    **dict.fromkeys(("RatecodeID", "store_and_fwd_flag", "PULocationID", "DOLocationID"), "text"),
    "payment_type": "integer",
    **dict.fromkeys(("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount"), _DOUBLE),
    **dict.fromkeys(("improvement_surcharge", "total_amount", "congestion_surcharge"), _DOUBLE),
}
_KEY = (
    *("VendorID", "tpep_pickup_datetime", "tpep_dropoff_datetime", "PULocationID"),
    *("DOLocationID", "fare_amount", "trip_distance"),
)
#: What the real CSV shows: codes without a point, times without a fraction.
_CSV_TYPES = {
    "timestamp": pa.timestamp("s"),
    _DOUBLE: pa.float64(),
    **dict.fromkeys(("text", "integer"), pa.int64()),
}


class ReferenceFlow:
    """The flow's two tables, and what it does to them each month."""

    def __init__(self, server: Server, source: Path, first: dt.date) -> None:
        """Make the tables; `first` is the first month that it is going to load."""
        self._server = server
        self._source = source
        self._first = first
        columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        server.execute("create schema replaced_flow")
        for table in (_STAGING, _TABLE):
            server.execute(f"create table {table} (unique_row_id text, filename text, {columns})")

    def load(self, month: dt.date) -> dict[str, Any]:
        """Load a month, and time the flow's steps."""
        csv = self._csv(month)
        server = self._server
        names = ", ".join(_COLUMNS)
        server.execute("set work_mem = '4MB'")
        server.execute(f"truncate {_STAGING}")
        steps = {
            "copy": server.timed_copy(
                f"copy {_STAGING} ({names}) from stdin (format csv, header)", csv
            ),
            "update": server.timed(
                f"update {_STAGING} set"
                f" unique_row_id = {_md5({name: name for name in _KEY})},"
                f" filename = '{_csv_name(month)}'"
            ),
            "merge": server.timed(
                f"merge into {_TABLE} as t using {_STAGING} as s"
                " on t.unique_row_id = s.unique_row_id when not matched then"
                f" insert (unique_row_id, filename, {names})"
                f" values (s.unique_row_id, s.filename, s.{', s.'.join(_COLUMNS)})"
            ),
        }
        server.execute("reset work_mem")
        csv.unlink()
        return {
            "seconds": round(sum(step.seconds for step in steps.values()), 3),
            **{name: round(step.seconds, 3) for name, step in steps.items()},
            "wal_mb": round(sum(step.wal_mb for step in steps.values()), 1),
            "size_mb": server.size_mb("replaced_flow.%"),
        }

    def fill(self, months: list[dt.date]) -> None:
        """Put further months into the table, the quick way: the first month's trips, moved in time.

        Untimed. So the months that are timed find the rows that they would have found; and the
        table is vacuumed, as autovacuum does in the month between two runs.
        """
        shifted = {
            name: f"{name} + month * interval '31 days'" if name.endswith("datetime") else name
            for name in _COLUMNS
        }
        for month in months:
            number = month_number(month) - month_number(self._first)
            columns = ", ".join(shifted.values())
            self._server.execute(
                f"insert into {_TABLE} select {_md5(shifted)}, '{_csv_name(month)}', {columns}"
                f" from {_TABLE}, (values ({number})) as months (month)"
                f" where filename = '{_csv_name(self._first)}'"
            )
        self._server.execute(f"vacuum (analyze) {_TABLE}")

    def _csv(self, month: dt.date) -> Path:
        """Write a month's file as the CSV that the flow loads."""
        path = self._source / _csv_name(month)
        types = {name: _CSV_TYPES[kind] for name, kind in _COLUMNS.items()}
        schema = pa.schema(types | {"store_and_fwd_flag": pa.string()})
        with (
            pq.ParquetFile(self._source / file_name("yellow", month)) as file,
            pyarrow.csv.CSVWriter(path, schema) as writer,
        ):
            for batch in file.iter_batches(columns=list(_COLUMNS)):
                writer.write(pa.Table.from_batches([batch]).cast(schema))
        return path


def _md5(columns: dict[str, str]) -> str:
    """Write the flow's id: seven fields as text, one behind the other, without a separator."""
    fields = (f"coalesce(cast({columns[name]} as text), '')" for name in _KEY)
    return f"md5({' || '.join(fields)})"


def _csv_name(month: dt.date) -> str:
    return file_name("yellow", month).replace(".parquet", ".csv")
