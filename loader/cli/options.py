"""What commands share: their options, and the settings and connection of a command."""

import datetime as dt
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from loader.calendar import Month, month_range, parse_month
from loader.cli.log import log_to_file, showing_retries
from loader.datasets import check_supported, datasets, get_dataset
from loader.errors import UsageError
from loader.settings import TARGETS, Settings, load_settings
from loader.source.published import redact
from loader.terminal import interrupts
from loader.terminal.commands import remember
from loader.terminal.progress import Reporter
from loader.warehouse.base import Warehouse
from loader.warehouse.connect import connect_warehouse


def _dataset(help: str) -> Any:
    return typer.Option("--dataset", help=help, autocompletion=lambda: list(datasets()))


class WhenMarts(StrEnum):
    """When the marts of a month are built."""

    now = "now"
    later = "later"


Dataset = Annotated[str, _dataset("green, yellow, …")]
OneOrAll = Annotated[str | None, _dataset("green, yellow, …; with --all, default all")]
AnyDataset = Annotated[str | None, _dataset("green, yellow, …; default all")]
AnyMonth = Annotated[str | None, typer.Option("--month", help="file month, YYYY-MM; default all")]
OneMonth = Annotated[str, typer.Option("--month", help="file month, YYYY-MM")]
To = Annotated[str | None, typer.Option("--to", help="last month of a range, YYYY-MM")]
ToNow = Annotated[str | None, typer.Option("--to", help="last month; default this month")]
Source = Annotated[
    str | None, typer.Option("--source", help="base URL, folder or bucket; default TLC's CDN")
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="local, postgres or bigquery; default local",
        autocompletion=lambda: list(TARGETS),
    ),
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="take a file with zero rows, which is refused")
]
Force = Annotated[
    bool, typer.Option("--force", help="land and merge again, even what is unchanged")
]
Marts = Annotated[
    WhenMarts,
    typer.Option("--marts", help="later: leave the marts to `nyc-tlc marts`, for a backfill"),
]
SummaryFile = Annotated[
    Path | None,
    typer.Option("--summary", help="append a table for people to this file, in Markdown"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]

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
    months = _range(month, to)
    check_supported(dataset, months[0])
    return [Month(dataset, one) for one in months]


def range_of(month: str | None, to: str | None) -> list[dt.date] | None:
    """List the months of --month and --to; None without --month, which stands for all."""
    if month is None:
        if to:
            raise UsageError("--to goes with --month, the first month")
        return None
    return _range(month, to)


def _range(month: str, to: str | None) -> list[dt.date]:
    first = parse_month(month)
    return month_range(first, parse_month(to) if to else first)
