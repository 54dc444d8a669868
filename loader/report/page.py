"""The page: sections and their pictures in one HTML file that needs nothing else."""

import datetime as dt
import html
from collections.abc import Iterable

import jinja2

from loader import __version__
from loader.report.history import History, history_sections
from loader.report.numbers import Numbers
from loader.report.section import Section
from loader.report.sections import sections
from loader.report.shapes import Shapes

#: Widths of a picture: on a screen, and on a phone.
_WIDTHS = {"wide": 928, "narrow": 344}


def render(numbers: Numbers, shapes: Shapes | None, runs: list[list[str]], today: dt.date) -> str:
    """Make the page of a month, or of several.

    Args:
        shapes: of the zones; None: tiles instead of a map.
        runs: the table of `nyc-tlc runs`, its headings first.
        today: the date of making.
    """
    months = sorted({m for dataset in numbers.datasets for m in numbers.months(dataset)})
    files = [
        f"{one.month.label} ({row.sha256[:12]})"
        for one in numbers.states
        if (row := one.merged) and one.month.month in months
    ]
    return make_page(
        f"New York's taxi trips, {numbers.title}",
        numbers.notes,
        sections(numbers, shapes, runs),
        f"Files: {', '.join(files)}." if len(files) <= 12 else f"Of {len(files)} files.",
        today,
    )


def render_history(history: History, today: dt.date) -> str:
    """Make the page of all history, with the arguments of `render`."""
    title = "New York's taxi and app trips, since the first month"
    files = f"Of {len(history.months_there)} files."
    return make_page(title, history.notes, history_sections(history), files, today)


def make_page(
    title: str, notes: list[str], shown: Iterable[Section], files: str, today: dt.date
) -> str:
    """Make a page of sections.

    Args:
        notes: what is missing.
        files: of which versions it is, as a sentence.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("loader.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html").render(
        title=title,
        version=__version__,
        today=f"{today:%B} {today.day}, {today.year}",
        notes=notes,
        files=files,
        sections=[(part, _pictures(part)) for part in shown],
    )


def _pictures(section: Section) -> dict[str, str]:
    if section.draw is None:
        return {}
    label = html.escape(f"{section.title}. {section.sentence}", quote=True)
    widths = {"map": 640} if section.is_scaled else _WIDTHS
    found = {}
    for name, width in widths.items():
        drawn = section.draw(width)
        found[name] = (
            f'<svg role="img" aria-label="{label}" viewBox="0 0 {drawn.width} {drawn.height:.0f}">'
            f"{drawn.body}</svg>"
        )
    return found
