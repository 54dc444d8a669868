"""Months of a dataset that the replaced flow doesn't have: ours beside the limit."""

import datetime as dt
from pathlib import Path
from typing import Any

from benchmarks.limit import Limit, compiled_row_id
from benchmarks.ours import Ours
from benchmarks.server import Server
from loader.calendar import file_name, format_month
from loader.datasets import get_dataset
from loader.sample import write_month

#: A month with few repeated rows; of fhv also one before it, in which nearly a third are repeats.
MONTHS = (dt.date(2019, 3, 1), dt.date(2018, 12, 1))


def measure_dataset(
    server: Server, source: Path, dataset: str, rows: int, repeats: int
) -> list[dict[str, Any]]:
    """Run each month on an empty warehouse, in turns with the limit.

    Args:
        server: the run's server.
        source: folder for the month files.
        dataset: dataset to measure.
        rows: rows of a month.
        repeats: how often each month is run.

    Returns:
        For each month: medians of seconds (of the run, of the limit), their ratio, the loader's
        peak memory, and bytes a row of the finished month, its index included.
    """
    source.mkdir(parents=True, exist_ok=True)
    months = [month for month in MONTHS if month >= get_dataset(dataset).first_month]
    ours = Ours(server, source, dataset)
    done = []
    for month in months:
        path = source / file_name(dataset, month)
        write_month(path, dataset, month, rows)
        limit, turns = None, []
        for _ in range(repeats):
            server.drop("")
            run = ours.run(month, "")
            if limit is None:
                row_id = compiled_row_id(server, source, dataset)
                limit = Limit(server, f"tlc.{dataset}_tripdata_{month:%Y_%m}", row_id)
            turns.append((run, limit.measure()))
        server.execute("drop schema limits cascade")
        server.drop("")
        path.unlink()
        run, least = sorted(turns, key=lambda turn: turn[0]["seconds"])[len(turns) // 2]
        seconds = least["copy_frozen"] + least["ctas"]
        done.append(
            {
                "dataset": dataset,
                "month": format_month(month),
                "rows": rows,
                "seconds": round(run["seconds"], 2),
                "stages": run["stages"],
                "limit_seconds": round(seconds, 2),
                "ratio_to_limit": round(run["seconds"] / seconds, 2),
                "peak_mb": run["peak_mb"],
                "bytes_a_row": round(run["size_mb"] * 1e6 / rows),
            }
        )
    return done
