"""Ours, as a user runs it: `load` and `dbt build`, and `run`."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.server import Measured, Server
from loader.calendar import format_month

#: `python -m loader`, and the seconds of the command itself: without Python's start and imports.
_LOADER = """
import sys, time
import loader.warehouse.postgres
from loader.cli import main
started = time.perf_counter()
try:
    main()
finally:
    print("inside", time.perf_counter() - started)
"""
_MARTS = ("hourly_zone_trips+", "zone_pairs+", "monthly_fares+", "dropoff_hours+")
# "yellow 2019-01  copy         7,700,000 rows     8.7 s  …"
_STAGE = re.compile(r"^\S+ \S+  (\w+) +\S+ \w+ +([\d,.]+) s", re.MULTILINE)


class Ours:
    """The project's commands on the run's server; `prefix` is a warehouse's TLC_SCHEMA_PREFIX."""

    def __init__(self, server: Server, source: Path, dataset: str = "yellow") -> None:
        """Take note of where the month files are, and of which dataset."""
        self._server = server
        self._source = source
        self._dataset = dataset

    def load(self, month: dt.date, prefix: str) -> dict[str, Any]:
        """Land a month.

        `inside` are the seconds of the command once Python has started: from the file on disk to
        committed rows.
        """
        measured = self._process(prefix, "-c", _LOADER, "load", *self._month(month))
        inside = float(measured.output.split("inside")[-1])
        return measured.figures | {"inside": round(inside, 3), "stages": _stages(measured)}

    def build(self, month: dt.date, prefix: str) -> dict[str, Any]:
        """Merge and test a landed month with dbt itself."""
        variables = json.dumps({"dataset": self._dataset, "month": format_month(month)})
        measured = self._process(
            prefix,
            *("-m", "dbt.cli.main", "--no-use-colors", "build", "--vars", variables),
            *("--exclude", *_MARTS),
        )
        return measured.figures | {"nodes": self._nodes()}

    def run(self, first: dt.date, prefix: str, last: dt.date | None = None) -> dict[str, Any]:
        """Do a month, or several in one command, from the file to the table, without marts."""
        to = ("--to", format_month(last)) if last else ()
        options = ("--marts", "later", "--json")
        measured = self._process(prefix, "-m", "loader", "run", *self._month(first), *to, *options)
        changed = any(done["changed"] for done in json.loads(measured.output))
        return measured.figures | {
            "changed": changed,
            "stages": _stages(measured),
            "nodes": self._nodes() if changed else {},
            "size_mb": self._server.size_mb(f"{prefix}tlc.{self._dataset}_tripdata_{first:%Y_%m}"),
        }

    def marts(self, month: dt.date, prefix: str) -> dict[str, Any]:
        """Build the marts of a merged month."""
        measured = self._process(prefix, "-m", "loader", "marts", *self._month(month))
        return measured.figures | {"stages": _stages(measured)}

    def scan(self, month: dt.date, prefix: str) -> dict[str, float]:
        """Read all rows of a month, as the first query after its `run` does.

        `dirtied` is the share of the month's pages that it changed, to note which rows are visible.
        """
        found = self._explain(
            f"select sum(total_amount) from {prefix}tlc.{self._dataset}_tripdata_{month:%Y_%m}"
        )
        plan = found["Plan"]
        pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        dirtied = plan["Shared Dirtied Blocks"] / pages
        return {"seconds": found["Execution Time"] / 1000, "dirtied": dirtied}

    def official(self, month: dt.date, prefix: str) -> dict[str, float]:
        """Do what `month_quality` does for TLC's own count and for hours without trips.

        It counts zones in any case, and hours in the same scan: they cost what that adds.
        """
        of_month = f"where dataset = '{self._dataset}' and file_month = '{month}'"
        scan = (
            f"select count(*) from (select 1 from {prefix}tlc_marts.hourly_zone_trips {of_month}"
            " group by grouping sets ({})) as counted"
        )
        zones = "(dataset, file_month, pickup_location_id)"
        queries = {
            "verdict": f"select * from {prefix}tlc.official_verdicts {of_month}",
            "zones": scan.format(zones),
            "both": scan.format(f"{zones}, (dataset, file_month, pickup_hour)"),
        }
        took = {name: self._explain(sql)["Execution Time"] for name, sql in queries.items()}
        hours = took["both"] - took["zones"]
        return {"verdict_ms": took["verdict"], "hours_ms": hours, "ms": took["verdict"] + hours}

    def _explain(self, query: str) -> dict[str, Any]:
        explained = self._server.scalar(f"explain (analyze, buffers, format json) {query}")
        found: dict[str, Any] = explained[0]
        return found

    def _month(self, month: dt.date) -> tuple[str, ...]:
        return ("--dataset", self._dataset, "--month", format_month(month))

    def _process(self, prefix: str, *arguments: str) -> Measured:
        return self._server.timed_project(*arguments, prefix=prefix, source=self._source)

    def _nodes(self) -> dict[str, float]:
        """Read how long dbt's nodes took: the trips, and the others by what they are."""
        written = (self._server.local_dir / "dbt").glob("run_results*.json")
        newest = max(written, key=lambda path: path.stat().st_mtime_ns)
        results = json.loads(newest.read_text())
        seconds: dict[str, float] = {}
        for result in results["results"]:
            kind, _, name = result["unique_id"].split(".")[:3]
            key = name if name == f"{self._dataset}_tripdata" else f"{kind}s"
            seconds[key] = seconds.get(key, 0) + result["execution_time"]
        return {name: round(value, 2) for name, value in seconds.items()}


def _stages(measured: Measured) -> dict[str, float]:
    return {name: float(seconds) for name, seconds in _STAGE.findall(measured.said)}
