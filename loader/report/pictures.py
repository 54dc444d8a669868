"""Charts as SVG that follows the page: its colours, its font, light or dark."""

import json
import re
from typing import Any

import altair as alt
import vl_convert

from loader.datasets import datasets

#: Vega writes colours as it is given them, so each stands for a variable of the page's style sheet.
INK, FAINT, GRID, PAPER = "#010001", "#010002", "#010003", "#010004"
COLOURS = {dataset: f"#0200{number:02}" for number, dataset in enumerate(datasets(), 1)}
#: For parts of a whole, which have no colour of their own.
SERIES = [f"#0300{number:02}" for number in range(1, 12)]

_VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    GRID: "--grid",
    PAPER: "--paper",
    **{colour: f"--{dataset}, var(--ink)" for dataset, colour in COLOURS.items()},
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)},
}
_THEME = {
    "background": "transparent",
    "padding": 4,
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        **{"labelColor": INK, "titleColor": INK, "domainColor": FAINT, "tickColor": FAINT},
        **{"gridColor": GRID, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": 400},
        **{"labelLimit": 150, "labelOverlap": "greedy", "labelSeparation": 10},
    },
    "legend": {
        **{"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 11},
        **{"orient": "top", "title": None, "columns": 3, "labelLimit": 150},
    },
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12},
}


def colours(shown: list[str]) -> alt.Color:
    """Colour marks by dataset.

    Args:
        shown: datasets of the chart; a single one needs no legend.
    """
    scale = alt.Scale(domain=shown, range=[COLOURS.get(name, INK) for name in shown])
    legend = alt.Legend() if len(shown) > 1 else None
    return alt.Color("dataset:N", scale=scale, legend=legend)


def heading(text: str) -> alt.Title:
    """Make the heading of a part of a picture."""
    return alt.Title(text, color=INK, fontSize=12, anchor="start", frame="group")


def to_svg(chart: Any, name: str, label: str) -> str:
    """Draw a chart.

    Args:
        chart: an Altair chart.
        name: unique on the page: ids in the SVG begin with it.
        label: what screen readers say.

    Returns:
        An SVG element.
    """
    spec = json.loads(chart.to_json()) | {"config": _THEME}
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(f'"{colour}"', f'"var({variable})"')
    svg = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    # Parts of a chart have labels of their own, which say less than the table below it.
    svg = re.sub(r' (aria-[a-z]+|role)="[^"]*"', "", svg)
    svg = re.sub(r' (width|height)="[^"]*"', "", svg, count=2)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
