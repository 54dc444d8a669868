"""A part of the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        name: unique, for links.
        title: its heading.
        sentence: what the picture shows.
        columns: headings of the table.
        rows: cells of the table, as people read them; none: the sentence is enough.
        draw: makes the picture, for a width in pixels; None: the table is enough.
    """

    name: str
    title: str
    sentence: str
    columns: Sequence[str]
    rows: list[list[str]]
    draw: Callable[[int], Any] | None = None
