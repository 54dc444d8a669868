"""The command export."""

from pathlib import Path
from typing import Annotated

import typer

from loader.calendar import Month, name_months, parse_month
from loader.cli.app import app
from loader.cli.options import (
    A_MONTH,
    AnyDatasetOption,
    AnyMonthOption,
    TargetOption,
    ToOption,
    session,
)
from loader.datasets import get_dataset
from loader.errors import UsageError
from loader.report.export import export
from loader.terminal import words
from loader.terminal.commands import nyc_tlc


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="folder to write to")] = Path("export"),
    dataset: AnyDatasetOption = None,
    month: AnyMonthOption = None,
    to: ToOption = None,
    trips: Annotated[
        bool, typer.Option("--trips", help="write the trips of the months, too")
    ] = False,
    target: TargetOption = None,
) -> None:
    """Write the marts as Parquet files, with a description of every column.

    A file for each table, dataset and month, and one for each table of codes. `datapackage.json`
    lists them with their sha256 (Frictionless Data); any tool reads them, without a warehouse. What
    the folder has of other months stays, so a folder grows by a month at a time.
    """
    if dataset:
        get_dataset(dataset)
    if to and not month:
        raise UsageError("--to goes with --month, the first month")
    if trips and not month:
        raise UsageError("--trips goes with --month: choose the months")
    first = parse_month(month) if month else None
    last = parse_month(to) if to else first

    def is_chosen(one: Month) -> bool:
        is_in_range = not (first and last) or first <= one.month <= last
        return is_in_range and dataset in (None, one.dataset)

    with session(target, None) as context:
        done = export(context.warehouse, context.reporter, out, is_chosen, with_trips=trips)
    if done.without_marts:
        left_out = name_months(done.without_marts)
        print(f"left out, without their marts: {left_out}; to build them: {nyc_tlc('marts')}")
    elif not done.months:
        asked = " of those that were asked for" if month or dataset else ""
        print(f"no month{asked} is merged: try {nyc_tlc('run', *A_MONTH)}")
    if done.months:
        months, files = words.count(len(done.months), "month"), words.count(done.files, "file")
        print(f"{out}: {months}, {files}, {done.file_bytes / 1e6:,.1f} MB")
