#!/usr/bin/env python3
"""Bring exported marts up to date where no warehouse lasts: load what is new, export it, report.

    scripts/publish.py FOLDER [--since 2024-01] [--to 2024-12] [--dataset green]

Compares the source with the months that FOLDER has, as `nyc-tlc sync` compares it with a warehouse.
Each month that is new or was published again is loaded into the embedded server, exported to FOLDER
and taken out again, so that the disk has to hold one month. Then the reports of these months, and
the page of all history, are written to FOLDER/reports from the marts that FOLDER has.
"""

import datetime as dt
import io
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq
import typer

from loader.calendar import Month, add_months, format_month, parse_month
from loader.cli.tables import grid
from loader.datasets import datasets
from loader.embedded import local_server
from loader.months.due import RunOptions, compare, is_due, reason, window
from loader.months.state import MonthState
from loader.report import page
from loader.report.export import tables
from loader.report.history import read_history
from loader.report.numbers import read_numbers
from loader.report.shapes import warehouse_shapes
from loader.settings import Settings, load_settings
from loader.warehouse.postgres import PostgresWarehouse
from loader.warehouse.versions import FileVersion

#: The ledgers, and what tells a month's rows apart.
LEDGERS = {"file_ledger": "sha256", "marts_ledger": "merged_at"}
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
    failed = [state.month for state in due if not publish(settings, folder, state)]
    if len(failed) < len(due):
        nyc_tlc("shapes")  # without them, a report has tiles
        done = {state.month.month for state in due if state.month not in failed}
        write_reports(settings, folder, sorted(done))
    if failed:
        sys.exit(f"error: not published, see above: {', '.join(one.label for one in failed)}")


def publish(settings: Settings, folder: Path, state: MonthState) -> bool:
    """Load a month, export it, and take it out again; tell whether it went well."""
    print(f"{state.month.label}  {reason(state)}", flush=True)
    options = state.month.options
    if not nyc_tlc("run", *options):
        return False
    add_versions(settings, folder, state.month)
    done = nyc_tlc("export", "--out", str(folder), *options)
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


class Restored(PostgresWarehouse):
    """The embedded server's warehouse, whose marts were restored, and whose trips weren't."""

    def stored_months(self) -> None:
        """Don't ask of which months there are trips."""


def write_reports(settings: Settings, folder: Path, months: Collection[dt.date]) -> None:
    """Write the reports of months, and the page of all history."""
    env = local_server.connection_env(settings.local_dir)
    pages = folder / "reports"
    pages.mkdir(parents=True, exist_ok=True)
    with closing(Restored(settings, env)) as warehouse:
        shapes = warehouse_shapes(warehouse)
        for month in months:
            beside = {month, add_months(month, -1), add_months(month, -12)}
            restore(settings, folder, [table.name for table in tables()], beside)
            numbers = read_numbers(warehouse, month, month)
            text = page.render(numbers, shapes, grid([]), settings.today)
            (pages / f"{format_month(month)}.html").write_text(text, encoding="utf-8")
        restore(settings, folder, OF_HISTORY, None)
        text = page.render_history(read_history(warehouse), settings.today)
        (pages / "history.html").write_text(text, encoding="utf-8")


def add_versions(settings: Settings, folder: Path, month: Month) -> None:
    """Add the versions that were exported before to the ledgers: they go on."""
    with transaction(settings) as cursor:
        for name, key in LEDGERS.items():
            path = folder / name / month.dataset / f"{month.text}.parquet"
            if not path.exists():
                continue
            place = f"{settings.schema}.{name}"
            cursor.execute(
                f"select {key} from {place} where dataset = %s and file_month = %s", month
            )
            rows = pq.read_table(path)
            here = pa.array([value for (value,) in cursor.fetchall()], rows[key].type)
            rows = rows.filter(pc.invert(pc.is_in(rows[key], here)))
            if "is_current" in rows.column_names:
                at, none = rows.column_names.index("is_current"), pa.repeat(False, len(rows))
                rows = rows.set_column(at, "is_current", none)
            copy(cursor, place, rows)


def restore(
    settings: Settings, folder: Path, names: Collection[str], months: Collection[object] | None
) -> None:
    """Put rows of exported tables back into the embedded server: of some file months, or of all."""
    for table in tables():
        if table.name not in names or table.is_view or table.kind == "trips":
            continue
        place = table.place.format(tlc=settings.schema, marts=settings.marts_schema)
        for path in folder.glob(f"{table.name}/*/*.parquet"):
            month = Month(path.parent.name, parse_month(path.stem))
            if months is None or month.month in months:
                with transaction(settings) as cursor:
                    cursor.execute(
                        f"delete from {place} where dataset = %s and file_month = %s", month
                    )
                    copy(cursor, place, pq.read_table(path))


@contextmanager
def transaction(settings: Settings) -> Iterator[Any]:
    """Give a cursor in a transaction on the embedded server."""
    local_server.start(settings.local_dir)
    env = local_server.connection_env(settings.local_dir)
    place = {name: env[f"PG{name.upper()}"] for name in ("host", "port", "user", "password")}
    connection = psycopg2.connect(**place, dbname=env["PGDATABASE"])
    with closing(connection), connection, connection.cursor() as cursor:
        yield cursor


def copy(cursor: Any, table: str, rows: pa.Table) -> None:
    """Add rows to a table."""
    text = io.BytesIO()
    pv.write_csv(rows, text, pv.WriteOptions(include_header=False))
    text.seek(0)
    columns = ", ".join(rows.column_names)
    cursor.copy_expert(f"copy {table} ({columns}) from stdin with (format csv)", text)


def nyc_tlc(*arguments: str) -> bool:
    """Run a command of the program; tell whether it went well."""
    command = [sys.executable, "-m", "loader", *arguments]
    return not subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    typer.run(main)
