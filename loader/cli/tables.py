"""Tables and JSON on standard output."""

import datetime as dt
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from loader.settings import TLC_CDN


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print rows under their headings; columns of numbers to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        numeric = all(row[index].replace(",", "").replace(".", "").isdigit() for row in rows)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A pipe has no width: the table takes what it needs, so that no cell is cut.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def print_json(value: Any) -> None:
    """Print a value as JSON, times in UTC as ISO 8601."""
    print(json.dumps(value, default=_as_json, indent=2))


def _as_json(value: object) -> str:
    if isinstance(value, dt.datetime):  # all times of ours are UTC, and naive
        return f"{value.isoformat(timespec='seconds')}Z"
    return str(value)


def place_of(source_url: str | None) -> str:
    """Return where a version came from: TLC's CDN, or a folder's or bucket's address."""
    place = (source_url or "").rpartition("/")[0]
    return "TLC" if place == TLC_CDN else place
