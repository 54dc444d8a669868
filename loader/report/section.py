"""A part of the report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loader.report.pictures import Picture

Place = TypeVar("Place")


@dataclass(frozen=True)
class Mark:
    """What a cell of a table looks like.

    Attributes:
        colour: a class of the style sheet.
        share: length of a bar, 0 to 1; None: the cell is filled.
    """

    colour: str
    share: float | None = None


@dataclass(frozen=True)
class Card:
    """Large numbers of a dataset.

    Attributes:
        name: of the dataset, which is a class of the style sheet, too.
        title: how people call it.
        numbers: what it is, the number, and what to know of it.
    """

    name: str
    title: str
    numbers: Sequence[tuple[str, str, Sequence[str]]]


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
        marks: of the cells by row and column: the table itself is the picture.
        legends: what is counted, and the classes of the style sheet with what they stand for.
        cards: large numbers, before all else.
        is_scaled: the picture has no text, and is drawn once for all screens.
        is_folded: the sentence is enough, and the table is for those who ask.
    """

    name: str
    title: str
    sentence: str
    columns: Sequence[str]
    rows: list[list[str]]
    draw: Callable[[int], Picture] | None = None
    marks: dict[tuple[int, int], Mark] | None = None
    legends: Sequence[tuple[str, Sequence[tuple[str, str]]]] = ()
    cards: Sequence[Card] = ()
    is_scaled: bool = False
    is_folded: bool = False


def table_of(
    heading: str,
    columns: Mapping[str, Mapping[Place, float]],
    places: Iterable[Place],
    label: Callable[[Place], str],
    write: Callable[[float], str],
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of a table: a row a place, a column for each of the names.

    Args:
        columns: values by place, where there are any, by name.
        label: names a place in the first column.
    """
    rows = [
        [label(place), *(write(own[place]) if place in own else "" for own in columns.values())]
        for place in places
    ]
    return [heading, *columns], rows
