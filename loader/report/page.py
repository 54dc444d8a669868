"""The page: sections and their pictures in one HTML file that needs nothing else."""

import html
import json
from pathlib import Path
from typing import Any

import jinja2

from loader import __version__
from loader.errors import UsageError
from loader.report.numbers import Numbers
from loader.report.pictures import to_svg
from loader.report.section import Section
from loader.report.sections import sections

#: Widths of a picture: on a screen, and on a phone.
_WIDTHS = {"wide": 720, "narrow": 330}


def render(numbers: Numbers, shapes: dict[str, Any] | None, runs: list[list[str]]) -> str:
    """Make the page.

    Args:
        shapes: of the zones, by `read_shapes`; None: tiles instead of a map.
        runs: the table of `nyc-tlc runs`, its headings first.

    Returns:
        HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("loader.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html").render(
        title=f"New York's taxi trips, {numbers.title}",
        version=__version__,
        notes=numbers.notes,
        sections=[(part, _pictures(part)) for part in sections(numbers, shapes, runs)],
    )


def read_shapes(path: Path) -> dict[str, Any]:
    """Read the shapes of zones.

    Args:
        path: a GeoJSON file whose features have a property LocationID, as TLC's.

    Raises:
        UsageError: when it isn't one.
    """
    try:
        shapes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for feature in shapes["features"]:
            number = {n.lower(): v for n, v in feature["properties"].items()}
            feature["properties"] = {"zone": int(number["locationid"])}
    except OSError as error:
        raise UsageError(f"--shapes {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--shapes {path}: not a GeoJSON file of zones: each feature needs a LocationID"
        ) from error
    return shapes


def _pictures(section: Section) -> dict[str, str]:
    if section.draw is None:
        return {}
    label = html.escape(f"{section.title}. {section.sentence}", quote=True)
    return {
        name: to_svg(section.draw(width), f"{section.name}-{name}", label)
        for name, width in _WIDTHS.items()
    }
