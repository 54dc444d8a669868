"""Peers at the landing step: what else brings a Parquet file into Postgres."""

import sys
from pathlib import Path
from typing import Any

from benchmarks.server import BenchmarkError, Server
from tests.conftest import clean_env

#: Peer, the function in `peer.py`, and how many rows it gets: the slow ones get a slice, and their
#: seconds are scaled to the month. None: all rows.
_PEERS: tuple[tuple[str, str, int | None], ...] = (
    ("DuckDB, its Postgres extension", "duckdb_postgres", None),
    ("pyarrow, ADBC", "pyarrow_adbc", None),
    ("polars write_database, ADBC", "polars_adbc", None),
    ("Sling, from a CSV", "sling_csv", 1_000_000),
    ("dlt, its defaults", "dlt_defaults", 500_000),
    ("pandas to_sql", "pandas_to_sql", 100_000),
)
_NOT_RUN = {"ingestr": "its package fetches its program over the internet when it is first used"}


def measure_peers(server: Server, file: Path, rows: int, python: Path) -> list[dict[str, Any]]:
    """Land the month with every peer: its seconds and rows, or why it did not run.

    `python` is that of the environment that has the peers; dlt runs in ours, where no ADBC driver
    changes its defaults.
    """
    found: list[dict[str, Any]] = []
    for name, function, most in _PEERS:
        interpreter = sys.executable if function == "dlt_defaults" else str(python)
        some = min(rows, most or rows)
        server.execute("drop schema if exists peers cascade; create schema peers")
        command = (interpreter, "-m", "benchmarks.peer", function, str(file), str(some))
        try:
            measured = server.timed_process(command, _environment(server))
            landed = server.scalar("select count(*) from peers.landed")
            if landed != some:
                raise BenchmarkError(f"{landed} rows landed of {some}")
        except BenchmarkError as error:
            found.append({"peer": name, "not_run": str(error)})
            continue
        seconds = float(measured.output) * rows / some
        found.append(
            {
                "peer": name,
                "seconds": round(seconds, 3),
                "measured_rows": some,
                "peak_mb": round(measured.peak_mb),
            }
        )
    server.execute(
        "drop schema if exists peers cascade; drop schema if exists peers_staging cascade"
    )
    return found + [{"peer": name, "not_run": reason} for name, reason in _NOT_RUN.items()]


def _environment(server: Server) -> dict[str, str]:
    """Give a peer's environment: what it keeps stays in the run's folder; dlt finds no settings."""
    home = server.local_dir / "peers"
    home.mkdir(exist_ok=True)
    return clean_env(**server.connection_env) | {
        "HOME": str(home),
        "TLC_LOCAL_DIR": str(home),
        "DLT_PROJECT_DIR": str(home),
        "DLT_DATA_DIR": str(home / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
