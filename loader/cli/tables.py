"""What commands print: tables for people, on a terminal or in Markdown, and JSON for programs."""

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from loader.settings import TLC_CDN

#: A row of a table: its values by heading.
Row = Mapping[str, Any]


def print_table(rows: Sequence[Row]) -> None:
    """Print rows under their headings; columns of numbers to the right."""
    headings, *cells = grid(rows)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading, is_number in zip(headings, _numbers(cells), strict=True):
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    # A pipe has no width: the table takes what it needs, so that no cell is cut.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def markdown(rows: Sequence[Row]) -> str:
    """Write rows under their headings as a table in Markdown."""
    headings, *cells = grid(rows)
    aligned = "|".join("--:" if is_number else ":--" for is_number in _numbers(cells))
    lines = [f"| {' | '.join(map(harmless, row))} |" for row in (headings, *cells)]
    return "\n".join([lines[0], f"|{aligned}|", *lines[1:], ""])


def harmless(text: str) -> str:
    """Return a text for Markdown: what a message quotes mustn't become a column, link or tag."""
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), ("|", "&#124;"), ("[", "&#91;")):
        text = text.replace(sign, escaped)
    return " ".join(text.split())


def grid(rows: Sequence[Row]) -> list[list[str]]:
    """Return the headings, and the cells of each row as people read them."""
    return [list(rows[0]) if rows else [], *(list(map(_cell, row.values())) for row in rows)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _numbers(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Return of each column whether it holds numbers, and else nothing."""
    columns = ([cell for cell in column if cell] for column in zip(*rows, strict=True))
    signs = str.maketrans("", "", ",.")
    return [bool(col) and all(cell.translate(signs).isdigit() for cell in col) for col in columns]


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
