"""Charts as SVG that follows the page: its colours, its font, light or dark."""

import json
import re
from typing import Any

import altair as alt
import vl_convert

from loader.datasets import datasets

#: Vega writes colours as it is given them, so each stands for a variable of the page's style sheet.
INK, FAINT, GRID = "#010001", "#010002", "#010003"
COLOURS = {dataset: f"#0200{number:02}" for number, dataset in enumerate(datasets(), 1)}
#: For parts of a whole, which have no colour of their own.
SERIES = [f"#0300{number:02}" for number in range(1, 12)]
#: Parts that are what the others leave.
NOT_RECORDED, DIFFERENCE = "not recorded", "difference"

_VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    GRID: "--grid",
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
        "labelLimit": 150,
    },
    "axisQuantitative": {"labelOverlap": "greedy"},
    "axisTemporal": {"labelOverlap": "greedy", "labelSeparation": 10},
    "legend": {
        **{"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 11},
        **{"orient": "top", "title": None, "columns": 3, "labelLimit": 150, "columnPadding": 24},
    },
}


def colours(shown: list[str]) -> alt.Color:
    """Colour marks by dataset.

    Args:
        shown: datasets of the chart; a single one needs no legend.
    """
    scale = alt.Scale(domain=shown, range=[COLOURS.get(name, INK) for name in shown])
    legend = alt.Legend() if len(shown) > 1 else None
    return alt.Color("dataset:N", scale=scale, legend=legend)


def series(field: str, names: list[str], columns: int = 3) -> alt.Color:
    """Colour marks by the parts of a whole.

    Args:
        field: the field that names a part.
        names: the parts, in their order.
        columns: of the legend.
    """
    shades = [
        FAINT if name in (NOT_RECORDED, DIFFERENCE) else SERIES[place % len(SERIES)]
        for place, name in enumerate(names)
    ]
    scale = alt.Scale(domain=names, range=shades)
    return alt.Color(field, scale=scale, legend=alt.Legend(columns=columns))


def by_hour(values: list[dict[str, Any]], y: alt.Y, colour: alt.Color, width: int) -> alt.Chart:
    """Make lines over the hours of the day, with breaks where hours are missing.

    Args:
        values: with the fields `hour`, `run`, and those of the other arguments.
        colour: which line.
    """
    return (
        alt.Chart(alt.Data(values=values))
        # an hour between two that are missing is a point
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=12))
        .encode(
            x=alt.X("hour:Q", title="hour of the day", axis=alt.Axis(tickCount=8)),
            y=y,
            color=colour,
            detail="run:N",
        )
        .properties(width=width - 60, height=180)
    )


def stacked(values: list[dict[str, Any]], x: alt.X, parts: list[str], width: int) -> alt.Chart:
    """Make a bar for each dataset, of parts in their order.

    Args:
        values: with the fields `dataset`, `part`, and that of `x`.
    """
    bars = len({value["dataset"] for value in values})
    return (
        alt.Chart(alt.Data(values=values))
        .mark_bar()
        .encode(
            x=x,
            y=alt.Y("dataset:N", title=None),
            color=series("part:N", parts, columns=width // 170),
            order=alt.Order("order:Q"),
        )
        .transform_calculate(order=f"indexof({parts}, datum.part)")
        .properties(width=width - 80, height=34 * bars)
    )


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
