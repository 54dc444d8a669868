"""The map of zones: by their shapes when a file has them, else as tiles, borough by borough."""

from collections import defaultdict
from typing import Any

import altair as alt

from loader.report.numbers import Numbers
from loader.report.pictures import GRID, SERIES, heading
from loader.report.section import Section
from loader.report.words import sentences, share, whole
from loader.terminal import words

_BOROUGHS = ("Bronx", "Manhattan", "Queens", "Brooklyn", "Staten Island", "EWR")
_FEW = 10


def zone_map(numbers: Numbers, shapes: dict[str, Any] | None) -> Section | None:
    """Show where trips begin.

    Args:
        shapes: GeoJSON of the zones, with a property `zone`; None: a tile for each zone.

    Returns:
        The section; None when no trip has a known zone.
    """
    trips: dict[int, float] = defaultdict(float)
    names: dict[int, tuple[str, str]] = {}
    for row in numbers.zones:
        if not row["is_before"]:
            names[row["pickup_location_id"]] = row["zone_name"], row["borough"]
            trips[row["pickup_location_id"]] += row["trips"]
    if not trips:
        return None
    total, most = sum(trips.values()), max(trips.values())
    manhattan = sum(count for zone, count in trips.items() if names[zone][1] == "Manhattan")
    few = sorted(trips.values(), reverse=True)[:_FEW]
    concentrated = (
        f"{share(sum(few), total)} in the ten busiest of {words.count(len(trips), 'zone')}"
        if len(trips) > _FEW
        else ""
    )
    opacity = alt.Opacity(
        "share:Q", legend=None, scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0.05, 1])
    )

    def draw_tiles(width: int) -> Any:
        across = (width - 100) // 16
        values: list[dict[str, Any]] = []
        for borough in _BOROUGHS:
            zones = sorted(zone for zone in trips if names[zone][1] == borough)
            values += [
                {
                    "borough": borough,
                    "x": place % across,
                    "y": place // across,
                    "share": trips[zone] / most,
                }
                for place, zone in enumerate(zones)
            ]
        charts = []
        for borough in _BOROUGHS:
            own = [value for value in values if value["borough"] == borough]
            if own:
                charts.append(
                    alt.Chart(alt.Data(values=own), title=heading(borough))
                    .mark_rect(color=SERIES[0], stroke=GRID)
                    .encode(
                        x=alt.X("x:O", axis=None, scale=alt.Scale(domain=list(range(across)))),
                        y=alt.Y("y:O", axis=None),
                        opacity=opacity,
                    )
                    .properties(width=16 * across, height=16 * (1 + max(v["y"] for v in own)))
                )
        return alt.vconcat(*charts, spacing=6)

    def draw_shapes(width: int) -> Any:
        features = [
            feature | {"share": trips.get(feature["properties"]["zone"], 0) / most}
            for feature in (shapes or {})["features"]
        ]
        return (
            alt.Chart(alt.Data(values=features))
            .mark_geoshape(fill=SERIES[0], stroke=GRID)
            .encode(opacity=opacity)
            .project(type="mercator")
            .properties(width=width - 20, height=width - 20)
        )

    return Section(
        "map",
        "Zone by zone",
        sentences(
            f"of the trips from a known zone, {share(manhattan, total)} begin in Manhattan"
            + (f", and {concentrated}" if concentrated else ""),
            "the stronger the colour, the more trips",
        ),
        ["zone", "number", "borough", "trips"],
        [
            [names[zone][0], str(zone), names[zone][1], whole(trips[zone])]
            for zone in sorted(trips, key=lambda zone: -trips[zone])
        ],
        draw_shapes if shapes else draw_tiles,
    )
