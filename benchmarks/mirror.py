"""`mirror` beside a plain copy of the same files."""

import datetime as dt
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.server import Server
from loader.calendar import file_name, format_month


def measure_mirror(
    server: Server, source: Path, calendar: list[dt.date], repeats: int
) -> dict[str, Any]:
    """Mirror some months from a folder to another, and copy them, in turns.

    Args:
        server: the server, for the surroundings of a process; mirror doesn't ask it anything.
        source: the folder of month files.
        calendar: file months.
        repeats: how often.

    Returns:
        Seconds of `mirror` (a process, verified copies), of it `again` with nothing to do, and of
        `copy` (verifying nothing).
    """
    found: dict[str, Any] = {"mirror": [], "again": [], "copy": []}
    files = [source / file_name("yellow", month) for month in calendar]
    copies = source / "copies"
    command = ("mirror", str(copies), "--dataset", "yellow", "--month", format_month(calendar[0]))
    for _ in range(repeats):
        for name in ("mirror", "again"):
            process = server.timed_project(
                *("-m", "loader", *command, "--to", format_month(calendar[-1])), source=source
            )
            found[name].append(round(process.seconds, 3))
        shutil.rmtree(copies)
        copies.mkdir()
        started = time.perf_counter()
        for file in files:
            shutil.copyfile(file, copies / file.name)
        found["copy"].append(round(time.perf_counter() - started, 4))
        shutil.rmtree(copies)
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    return found | {"files": len(files), "megabytes": round(megabytes, 1)}
