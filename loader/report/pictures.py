"""Pictures as SVG that follows the page: its colours, its font, light or dark."""

import html
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

#: Height of a line of text, in pixels of the picture.
_LINE = 14
#: Widths of characters, of the widest font that a page may have: a label must not be cut.
_CHARACTER, _WIDE_CHARACTER, _CHARACTER_OF_TITLE = 7.2, 11.6, 8.2
#: A chart of more places has no tooltips: they would be most of the page.
_MOST_TIPS = 400
#: More notes than fit into so many rows are lines without a label.
_MOST_ROWS_OF_NOTES = 3
#: Labels of the hours of the day; those between have none.
HOURS = [f"{hour}:00" if hour % 6 == 0 else "" for hour in range(24)]
#: Between pictures beside each other.
_GAP = 24
#: Below this width a picture is for phones, which have no pointer to show tooltips.
_PHONE = 400


@dataclass(frozen=True)
class Picture:
    """The content of an SVG element, and its size in pixels."""

    width: float
    height: float
    body: str


@dataclass(frozen=True)
class Line:
    """A line of a panel, with a gap where places are missing.

    Attributes:
        name: what its end says, where a panel has several lines.
        points: values by place.
        colour: a class of the style sheet.
    """

    name: str
    points: dict[int, float]
    colour: str


@dataclass(frozen=True)
class Panel:
    """A chart over numbered places: days, months or hours. Its axis begins with 0.

    Attributes:
        title: what is shown, with its unit.
        lines: values of the same unit.
        places: the first and the last place.
        ticks: labels by place; those without room are left out.
        name: names a place in a tooltip.
        write: writes a value on the axis.
        most: the largest value of all panels that are compared with this one.
        tell: writes a value in a tooltip; None: as `write`.
        shades: places that have a grey ground.
        notes: what happened, by place.
        height: of the plot, in pixels.
        least_step: the smallest step of the axis: counts have no halves.
    """

    title: str
    lines: Sequence[Line]
    places: tuple[int, int]
    ticks: dict[int, str]
    name: Callable[[int], str]
    write: Callable[[float], str]
    most: float
    tell: Callable[[float], str] | None = None
    shades: Sequence[int] = ()
    notes: dict[int, str] = field(default_factory=dict)
    height: int = 120
    least_step: float = 1

    def draw(self, width: int) -> Picture:
        """Draw it, in so many pixels of width."""
        first, last = self.places
        steps = _steps(self.most, self.least_step)
        left = max(_length(self.write(step)) for step in steps) + 8
        named = [line for line in self.lines if line.points] if len(self.lines) > 1 else []
        right = max((_length(line.name) + 8 for line in named), default=14)
        parts, top = _heading(self.title, width)
        step = (width - left - right) / (last - first + 1)

        def x(place: float) -> float:
            return left + (place - first + 0.5) * step

        # notes that have no room beside the one before are in a row of their own
        notes = {x(place): note for place, note in self.notes.items()}
        for _ in range(_MOST_ROWS_OF_NOTES if notes else 0):
            shown, notes = _row(notes, top - 6 + _LINE, width)
            parts += shown
            top += _LINE + 2 if shown else 0
        bottom = top + self.height

        def y(value: float) -> float:
            return bottom - value / steps[-1] * self.height

        parts += [rect(x(p) - step / 2, top, step, self.height, "shade") for p in self.shades]
        for value in steps:
            parts.append(f'<path class="grid" d="M{left:.1f} {y(value):.1f}H{width - right:.1f}"/>')
            parts.append(text(left - 6, y(value) + 4, self.write(value), "y"))
        ticks = {x(place): label for place, label in self.ticks.items()}
        parts += _row(ticks, bottom + 16, width)[0]
        parts += [f'<path class="note" d="M{x(p):.1f} {top - 4}V{bottom}"/>' for p in self.notes]
        for line in self.lines:
            for _, run in groupby(sorted(line.points), runs_of(line.points).get):
                points = [(x(place), y(line.points[place])) for place in run]
                if len(points) == 1:
                    ((across, up),) = points
                    parts.append(
                        f'<circle class="{line.colour}" cx="{across:.1f}" cy="{up:.1f}" r="2.5"/>'
                    )
                else:
                    way = " ".join(f"{across:.1f},{up:.1f}" for across, up in points)
                    parts.append(f'<polyline class="{line.colour}" points="{way}"/>')
        ends = sorted((y(line.points[max(line.points)]), n) for n, line in enumerate(named))
        for place, n in zip(_apart([end for end, _ in ends], bottom), ends, strict=True):
            line = named[n[1]]
            parts.append(text(width - right + 6, place + 4, line.name, f"name {line.colour}"))
        if width >= _PHONE:
            parts += self._tips(lambda place: x(place) - step / 2, top, step)
        return Picture(width, bottom + _LINE + 8, "".join(parts))

    def _tips(self, x: Callable[[int], float], top: float, step: float) -> Iterator[str]:
        tell = self.tell or self.write
        there = sorted({place for line in self.lines for place in line.points})
        for place in there if len(there) <= _MOST_TIPS else ():
            own = [line for line in self.lines if place in line.points]
            said = ", ".join(f"{line.name} {tell(line.points[place])}".strip() for line in own)
            yield rect(x(place), top, step, self.height, "tip", f"{self.name(place)}: {said}")


def over_hours(
    title: str,
    lines: Sequence[Line],
    write: Callable[[float], str],
    most: float,
    tell: Callable[[float], str] | None = None,
    height: int = 120,
) -> Panel:
    """Make a panel over the hours of the day; arguments as of `Panel`."""
    ticks = {hour: label for hour, label in enumerate(HOURS) if label}
    return Panel(title, lines, (0, 23), ticks, "{}:00".format, write, most, tell, height=height)


def panels(shown: Sequence[Callable[[int], Picture]], width: int, columns: int = 1) -> Picture:
    """Draw pictures, each for its width, beside and below each other; on a phone, below."""
    columns = min(columns if width >= _PHONE else 1, len(shown))
    each = (width - _GAP * (columns - 1)) // columns
    return beside([draw(each) for draw in shown], width, columns)


def beside(drawn: Sequence[Picture], width: int, columns: int) -> Picture:
    """Put pictures into rows of so many columns."""
    parts, y = [], 0.0
    for start in range(0, len(drawn), columns):
        row = drawn[start : start + columns]
        for place, one in enumerate(row):
            x = place * (width + _GAP) / columns
            parts.append(f'<g transform="translate({x:.1f} {y:.1f})">{one.body}</g>')
        y += max(one.height for one in row) + 14
    return Picture(width, y - 14, "".join(parts))


@dataclass(frozen=True)
class Scale:
    """Classes of values, about as many values in each: the colours of maps and tables.

    Attributes:
        ends: the largest value of each class.
    """

    ends: Sequence[float]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Scale":
        """Make at most six classes of the values above 0."""
        ordered = sorted(value for value in values if value > 0)
        ends = (
            {ordered[math.ceil(len(ordered) * n / 6) - 1] for n in range(1, 7)} if ordered else {}
        )
        return cls(sorted(ends))

    def colour(self, value: float) -> str:
        """Return the class of the style sheet of a value: q0 for none, up to q6."""
        if value <= 0:
            return "q0"
        place = sum(value > end for end in self.ends)
        return f"q{6 - len(self.ends) + 1 + min(place, len(self.ends) - 1)}"

    def legend(self, write: Callable[[float], str]) -> list[tuple[str, str]]:
        """List the classes with what they stand for."""
        starts = ["", *(write(end) for end in self.ends[:-1])]
        return [
            (self.colour(end), f"over {start} to {write(end)}" if start else f"up to {write(end)}")
            for start, end in zip(starts, self.ends, strict=True)
        ]


def heat(
    title: str,
    columns: Sequence[str],
    rows: Sequence[str],
    cells: dict[tuple[int, int], tuple[str, str]],
    width: int,
    legend: Sequence[tuple[str, str]] = (),
) -> Picture:
    """Draw a grid of coloured cells.

    Args:
        columns: labels below; an empty one has none.
        rows: labels on the left.
        cells: class and tooltip, by row and column.
        legend: classes, and what they stand for.
    """
    left = max(map(_length, rows)) + 8
    step, height = (width - left) / len(columns), 18
    parts, top = _heading(title, width)
    for n, row in enumerate(rows):
        parts.append(text(left - 6, top + n * height + 13, row, "y"))
    for (n, column), (colour, said) in cells.items():
        place = left + column * step, top + n * height
        parts.append(rect(*place, step - 1, height - 1, colour, said if width >= _PHONE else ""))
    bottom = top + len(rows) * height
    labels = {left + (n + 0.5) * step: label for n, label in enumerate(columns) if label}
    parts += _row(labels, bottom + 14, width)[0]
    each = max((_length(said) + 24 for _, said in legend), default=width)
    across = max(1, min(len(legend), int((width - left) // each)))
    for n, (colour, said) in enumerate(legend):
        x, y = left + n % across * each, bottom + 24 + n // across * 16
        parts += [rect(x, y, 14, 10, colour), text(x + 18, y + 9, said, "key")]
    return Picture(width, bottom + 18 + math.ceil(len(legend) / across) * 16 + 6, "".join(parts))


def runs_of(places: Iterable[int]) -> dict[int, int]:
    """Give places that follow each other the same number: a line ends where another begins."""
    return {place: place - rank for rank, place in enumerate(sorted(set(places)))}


def rect(x: float, y: float, width: float, height: float, colour: str, said: str = "") -> str:
    """Write a rectangle; `said` is its tooltip."""
    shape = f'<rect class="{colour}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"'
    return f"{shape}>{tip(said)}</rect>" if said else f"{shape}/>"


def tip(said: str) -> str:
    """Write what a pointer shows."""
    return f"<title>{html.escape(said)}</title>"


def text(x: float, y: float, said: str, colour: str) -> str:
    """Write a text; its class says where it is anchored."""
    return f'<text class="{colour}" x="{x:.1f}" y="{y:.1f}">{html.escape(said)}</text>'


def _heading(title: str, width: float) -> tuple[list[str], float]:
    """Write the title of a picture; return its lines, and where the picture begins."""
    lines = textwrap.wrap(title, int(width / _CHARACTER_OF_TITLE))
    texts = [text(0, 12 + n * _LINE, line, "title") for n, line in enumerate(lines)]
    return texts, 22.0 + (len(lines) - 1) * _LINE


def _length(label: str) -> float:
    """Return how many pixels a label takes, at most."""
    return sum(_WIDE_CHARACTER if one in "MW%m@" else _CHARACTER for one in label)


def _row(labels: dict[float, str], y: float, width: float) -> tuple[list[str], dict[float, str]]:
    """Write labels in a row; return them, and those left out that would touch the one before."""
    end, texts, left_out = -math.inf, [], {}
    for x, label in sorted(labels.items()):
        half = _length(label) / 2
        middle = min(max(x, half), width - half)
        if middle - half >= end:
            end = middle + half + 6
            texts.append(text(middle, y, label, "x"))
        else:
            left_out[x] = label
    return texts, left_out


def _apart(places: Sequence[float], bottom: float) -> list[float]:
    """Move the places of names, in their order, so that no two overlap."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + _LINE) if moved else place)
    for n in range(len(moved) - 1, -1, -1):
        moved[n] = min(moved[n], bottom - _LINE * (len(moved) - 1 - n))
    return moved


def _steps(most: float, least: float) -> list[float]:
    """Return round numbers from 0 to at least `most`, two to five of them."""
    if most <= 0:
        return [0.0, max(least, 1.0)]
    size = 10.0 ** math.floor(math.log10(most))
    step = max(least, next(f * size for f in (0.5, 1, 2, 2.5) if most / (f * size) <= 4))
    return [n * step for n in range(math.ceil(most / step - 1e-9) + 1)]
