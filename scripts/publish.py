#!/usr/bin/env python3
"""Bring exported marts up to date where no warehouse lasts: load what is new, export it, report.

    scripts/publish.py FOLDER [--since 2024-01] [--to 2024-12] [--dataset green]

Compares the source with the months that FOLDER has, as `nyc-tlc sync` compares it with a warehouse.
Each month that is new or was published again is loaded into the embedded server, exported to FOLDER
and taken out again, so that the disk has to hold one month. Then the reports of these months, and
the page of all history, are written to FOLDER/reports from the marts that FOLDER has.
"""

import io
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import psycopg2
import pyarrow.csv as pv
import pyarrow.parquet as pq
import typer

from loader.calendar import Month, add_months, format_month, parse_month
from loader.datasets import datasets
from loader.embedded import local_server
from loader.months.due import RunOptions, compare, is_due, reason, window
from loader.months.state import MonthState
from loader.report.export import tables
from loader.settings import Settings, load_settings
from loader.warehouse.versions import FileVersion

LEDGERS = ("file_ledger", "marts_ledger")
#: What the page of all history reads; the other marts are for the report of a month.
OF_HISTORY = (*LEDGERS, "month_quality", "monthly_fares", "monthly_trips", "dropoff_hours")


def main(
    folder: Annotated[Path, typer.Argument(help="what `nyc-tlc export` writes; may be empty")],
    since: Annotated[str | None, typer.Option(help="first month, YYYY-MM")] = None,
    to: Annotated[str | None, typer.Option(help="last month, YYYY-MM")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="default all")] = None,
) -> None:
    """Load, export and report on what the source has new."""
    settings = load_settings("local")
    due = list(months_due(settings, folder, dataset or list(datasets()), since, to))
    if not due:
        print("nothing new")
        return
    nyc_tlc("dbt", "--quiet", "build", "--select", *LEDGERS)
    failed = [state.month for state in due if not publish(settings, folder, state)]
    (folder / "reports").mkdir(parents=True, exist_ok=True)
    for month in sorted({state.month.month for state in due}):
        beside = {month, add_months(month, -1), add_months(month, -12)}
        restore(settings, folder, [table.name for table in tables()], beside)
        page = folder / "reports" / f"{format_month(month)}.html"
        nyc_tlc("report", "--month", format_month(month), "--out", str(page))
    restore(settings, folder, OF_HISTORY, None)
    nyc_tlc("report", "--all", "--out", str(folder / "reports" / "history.html"))
    if failed:
        sys.exit(f"error: not published, see above: {', '.join(one.label for one in failed)}")


def publish(settings: Settings, folder: Path, state: MonthState) -> bool:
    """Load a month, export it, and take it out again; tell whether it went well."""
    print(f"{state.month.label}  {reason(state)}", flush=True)
    # The versions that it had: the ledger goes on.
    restore(settings, folder, LEDGERS, {state.month.month})
    options = state.month.options
    done = nyc_tlc("run", *options) and nyc_tlc("export", "--out", str(folder), *options)
    return nyc_tlc("remove", *options) and done


def months_due(
    settings: Settings, folder: Path, names: Collection[str], since: str | None, to: str | None
) -> Iterator[MonthState]:
    """Return the months whose file is another than the exported one, oldest first."""
    here = {month: MonthState(month, None, merged) for month, merged in exported(folder).items()}
    first, last = (parse_month(text) if text else None for text in (since, to))
    for name in names:
        months = window(here, name, settings.today, first, last)
        states = compare(settings, here, [Month(name, one) for one in months])
        yield from (state for state in states if is_due(state, RunOptions()))


def exported(folder: Path) -> dict[Month, FileVersion]:
    """Read the exported version of each month, and which version of the marts it has."""
    ledger, built = (
        [
            row
            for path in folder.glob(f"{name}/*/*.parquet")
            for row in pq.read_table(path).to_pylist()
        ]
        for name in LEDGERS
    )
    key = ("dataset", "file_month", "merged_at")
    of_marts = {tuple(row[name] for name in key): row["marts_version"] for row in built}
    versions = [
        FileVersion.of_row(row | {"marts_version": of_marts.get(tuple(row[name] for name in key))})
        for row in ledger
        if row["is_current"]
    ]
    return {version.month: version for version in versions}


def restore(
    settings: Settings, folder: Path, names: Collection[str], months: Collection[object] | None
) -> None:
    """Put rows of exported tables back into the embedded server: of some file months, or of all."""
    local_server.start(settings.local_dir)
    env = local_server.connection_env(settings.local_dir)
    place = {name: env[f"PG{name.upper()}"] for name in ("host", "port", "user", "password")}
    with closing(psycopg2.connect(**place, dbname=env["PGDATABASE"])) as connection:
        for table in tables():
            if table.name not in names or table.is_view or table.kind == "trips":
                continue
            name = table.place.format(tlc=settings.schema, marts=settings.marts_schema)
            for path in folder.glob(f"{table.name}/*/*.parquet"):
                month = Month(path.parent.name, parse_month(path.stem))
                if months is not None and month.month not in months:
                    continue
                rows, text = pq.read_table(path), io.BytesIO()
                pv.write_csv(rows, text, pv.WriteOptions(include_header=False))
                text.seek(0)
                with connection, connection.cursor() as cursor:
                    cursor.execute(
                        f"delete from {name} where dataset = %s and file_month = %s", month
                    )
                    columns = ", ".join(rows.column_names)
                    cursor.copy_expert(
                        f"copy {name} ({columns}) from stdin with (format csv)", text
                    )


def nyc_tlc(*arguments: str) -> bool:
    """Run a command of the program; tell whether it went well."""
    command = [sys.executable, "-m", "loader", *arguments]
    return not subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    typer.run(main)
