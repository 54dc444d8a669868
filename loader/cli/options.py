"""What commands share: their options, and the settings and connection of a command."""

import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loader.calendar import Month, month_range, parse_month
from loader.cli.log import log_to_file, showing_retries
from loader.datasets import check_supported, datasets, get_dataset
from loader.settings import TARGETS, Settings, load_settings
from loader.source.published import redact
from loader.terminal import interrupts
from loader.terminal.commands import remember
from loader.terminal.progress import Reporter
from loader.warehouse.base import Warehouse
from loader.warehouse.connect import connect_warehouse

DatasetOption = Annotated[
    str,
    typer.Option("--dataset", help="green, yellow, …", autocompletion=lambda: list(datasets())),
]
OneOrAllOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="green, yellow, …; with --all, default all",
        autocompletion=lambda: list(datasets()),
    ),
]
AnyDatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="green, yellow, …; default all",
        autocompletion=lambda: list(datasets()),
    ),
]
AnyMonthOption = Annotated[
    str | None, typer.Option("--month", help="file month, YYYY-MM; default all")
]
MonthOption = Annotated[str, typer.Option("--month", help="file month, YYYY-MM")]
ToOption = Annotated[str | None, typer.Option("--to", help="last month of a range, YYYY-MM")]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="base URL, folder or bucket; default TLC's CDN")
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="local, postgres or bigquery; default local",
        autocompletion=lambda: list(TARGETS),
    ),
]
AllowEmptyOption = Annotated[
    bool, typer.Option("--allow-empty", help="take a file with zero rows, which is refused")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="land and merge again, even what is unchanged")
]


class WhenMarts(StrEnum):
    """When the marts of a month are built."""

    now = "now"
    later = "later"


MartsOption = Annotated[
    WhenMarts,
    typer.Option("--marts", help="later: leave the marts to `nyc-tlc marts`, for a backfill"),
]
SummaryOption = Annotated[
    Path | None,
    typer.Option("--summary", help="append a table for people to this file, in Markdown"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]


#: What messages suggest for a start.
A_MONTH = shlex.split("--dataset green --month 2023-01")


@dataclass(frozen=True)
class Session:
    """What a command works with."""

    settings: Settings
    warehouse: Warehouse
    reporter: Reporter


def settings_of(target: str | None, source: str | None) -> Settings:
    """Read the settings, and remember the options for the commands that messages print."""
    remember(target, redact(source) if source else None)
    return load_settings(target, source)


@contextmanager
def session(target: str | None, source: str | None) -> Iterator[Session]:
    """Connect to the warehouse, and report progress, while a command runs."""
    settings = settings_of(target, source)
    with reporting(settings) as reporter, closing(connect_warehouse(settings)) as warehouse:
        yield Session(settings, warehouse, reporter)


@contextmanager
def reporting(settings: Settings) -> Iterator[Reporter]:
    """Report progress and write the log while a command runs."""
    log_to_file(settings)
    reporter = Reporter(Console(stderr=True))
    with showing_retries(reporter), interrupts.at_stop(reporter.stop):
        yield reporter


def months_of(dataset: str, month: str, to: str | None) -> list[Month]:
    """Check the options that name the dataset and its months."""
    get_dataset(dataset)
    first = parse_month(month)
    months = month_range(first, parse_month(to) if to else first)
    check_supported(dataset, first)
    return [Month(dataset, one) for one in months]
