"""The command export."""

from pathlib import Path
from typing import Annotated

import typer

import loader.cli.options as options
from loader.calendar import Month, name_months
from loader.cli.app import app
from loader.cli.options import range_of, session
from loader.datasets import get_dataset
from loader.errors import UsageError
from loader.report.export import export
from loader.terminal.commands import nyc_tlc
from loader.terminal.words import count


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="folder to write to")] = Path("export"),
    dataset: options.AnyDataset = None,
    month: options.AnyMonth = None,
    to: options.To = None,
    trips: Annotated[
        bool, typer.Option("--trips", help="write the trips of the months, too")
    ] = False,
    target: options.Target = None,
) -> None:
    """Write the marts as Parquet files, with a description of every column.

    A file for each table, dataset and month, and one for each table of codes. `datapackage.json`
    lists them with their sha256 (Frictionless Data); any tool reads them, without a warehouse. What
    the folder has of other months stays, so a folder grows by a month at a time.
    """
    if dataset:
        get_dataset(dataset)
    months = range_of(month, to)
    if trips and not month:
        raise UsageError("--trips goes with --month: choose the months")

    def is_chosen(one: Month) -> bool:
        return dataset in (None, one.dataset) and (months is None or one.month in months)

    with session(target, None) as context:
        done = export(context.warehouse, context.reporter, out, is_chosen, with_trips=trips)
    if done.without_marts:
        left_out = name_months(done.without_marts)
        print(f"left out, without their marts: {left_out}; to build them: {nyc_tlc('marts')}")
    elif not done.months:
        asked = " of those that were asked for" if month or dataset else ""
        print(f"no month{asked} is merged: try {nyc_tlc('run', *options.A_MONTH)}")
    if done.months:
        written = f"{count(len(done.months), 'month')}, {count(done.files, 'file')}"
        print(f"{out}: {written}, {done.file_bytes / 1e6:,.1f} MB")
