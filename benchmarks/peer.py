"""One peer's landing, in a process of its own: `python -m benchmarks.peer NAME FILE ROWS`.

It runs in the peers' environment, so nothing here may import the project. The connection comes
from libpq's variables. On standard output: seconds, without Python's start and the imports.
"""

# Imports are the peers' own, each where it is used, and before its clock starts.
import os
import sys
import time
from pathlib import Path
from urllib.parse import quote


def dlt_defaults(file: str, rows: int) -> float:
    """Load with dlt as it comes: Arrow batches, insert statements."""
    import dlt
    import pyarrow.parquet as pq

    credentials = {
        "host": "localhost",
        "username": os.environ["PGUSER"],
        "password": "none",  # dlt insists on one
        "database": os.environ["PGDATABASE"],
        "query": {"host": os.environ["PGHOST"]},
    }
    started = time.perf_counter()
    pipeline = dlt.pipeline(
        "peer",
        destination=dlt.destinations.postgres(credentials=credentials),
        dataset_name="peers",
    )
    batches = next(pq.ParquetFile(file).iter_batches(batch_size=rows))
    pipeline.run([batches], table_name="landed")
    return time.perf_counter() - started


def pandas_to_sql(file: str, rows: int) -> float:
    """Read a data frame and write it by `to_sql`."""
    import pandas
    import sqlalchemy

    started = time.perf_counter()
    engine = sqlalchemy.create_engine("postgresql+psycopg2://")
    frame = pandas.read_parquet(file).head(rows)
    frame.to_sql("landed", engine, schema="peers", index=False)
    return time.perf_counter() - started


def polars_adbc(file: str, rows: int) -> float:
    """Read a data frame and write it by `write_database`, with its ADBC engine."""
    import polars

    started = time.perf_counter()
    frame = polars.read_parquet(file, n_rows=rows)
    # Its ADBC engine can't write a column without a type.
    frame = frame.with_columns(polars.selectors.by_dtype(polars.Null).cast(polars.Float64))
    frame.write_database("peers.landed", "postgresql://", engine="adbc")
    return time.perf_counter() - started


def pyarrow_adbc(file: str, rows: int) -> float:
    """Stream Arrow batches through the ADBC driver."""
    import adbc_driver_postgresql.dbapi
    import pyarrow.dataset

    started = time.perf_counter()
    reader = pyarrow.dataset.dataset(file).scanner().to_reader()
    with adbc_driver_postgresql.dbapi.connect("postgresql://") as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("landed", reader, db_schema_name="peers")
        connection.commit()
    return time.perf_counter() - started


def duckdb_postgres(file: str, rows: int) -> float:
    """Have DuckDB read the file and write through its Postgres extension."""
    import duckdb
    from duckdb_extensions import import_extension

    import_extension("postgres_scanner")
    started = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute("load postgres_scanner; attach '' as pg (type postgres)")
        connection.execute(f"create table pg.peers.landed as from '{file}'")
    return time.perf_counter() - started


def sling_csv(file: str, rows: int) -> float:
    """Have Sling load a CSV: to read Parquet, it would fetch DuckDB over the internet."""
    import subprocess

    import pyarrow.csv
    import pyarrow.parquet as pq
    import sling_linux_amd64

    csv = Path(file).with_suffix(".peer.csv")
    batch = next(pq.ParquetFile(file).iter_batches(batch_size=rows))
    pyarrow.csv.write_csv(batch, csv)
    program = Path(sling_linux_amd64.__file__).parent / "bin" / "sling-linux-amd64"
    program.chmod(0o755)
    server = f"postgresql:///{os.environ['PGDATABASE']}?host={quote(os.environ['PGHOST'])}"
    command = [program, "run", "--src-stream", f"file://{csv}", "--tgt-conn", "SERVER"]
    started = time.perf_counter()
    subprocess.run(  # noqa: S603 - the wheel's own binary
        [*command, "--tgt-object", "peers.landed", "--mode", "full-refresh"],
        env=os.environ | {"SERVER": f"{server}&user={os.environ['PGUSER']}&sslmode=disable"},
        stdout=sys.stderr,
        check=True,
    )
    seconds = time.perf_counter() - started
    csv.unlink()
    return seconds


if __name__ == "__main__":
    name, file, rows = sys.argv[1:]
    print(globals()[name](file, int(rows)))
