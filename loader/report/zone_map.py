"""The map of zones: by their shapes when a file has them, else as tiles, borough by borough."""

from collections import defaultdict
from typing import Any

import altair as alt

from loader.report.numbers import Numbers
from loader.report.pictures import GRID, SERIES, heading
from loader.report.section import Section

_BOROUGHS = ("Bronx", "Manhattan", "Queens", "Brooklyn", "Staten Island", "EWR")


def zone_map(numbers: Numbers, shapes: dict[str, Any] | None) -> Section:
    """Show where trips begin.

    Args:
        numbers: the numbers.
        shapes: GeoJSON of the zones, with a property `zone`; None: a tile for each zone.
    """
    trips: dict[int, float] = defaultdict(float)
    names: dict[int, tuple[str, str]] = {}
    for row in numbers.zones:
        names[row["pickup_location_id"]] = row["zone_name"], row["borough"]
        trips[row["pickup_location_id"]] += 0 if row["is_before"] else row["trips"]
    known = {zone: count for zone, count in trips.items() if names[zone][1] in _BOROUGHS}
    total, most = sum(known.values()) or 1, max(known.values(), default=1) or 1
    manhattan = sum(count for zone, count in known.items() if names[zone][1] == "Manhattan")
    few = sorted(known.values(), reverse=True)[:10]
    opacity = alt.Opacity(
        "share:Q", legend=None, scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0.05, 1])
    )

    def draw_tiles(width: int) -> Any:
        across = (width - 100) // 16
        values: list[dict[str, Any]] = []
        for borough in _BOROUGHS:
            zones = sorted(zone for zone in known if names[zone][1] == borough)
            values += [
                {
                    "borough": borough,
                    "x": place % across,
                    "y": place // across,
                    "share": known[zone] / most,
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
            feature | {"share": known.get(feature["properties"]["zone"], 0) / most}
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
        f"{manhattan / total:.0%} of the trips begin in Manhattan, and"
        f" {sum(few) / total:.0%} in the ten busiest of {len(known)} zones."
        " The darker, the more trips.",
        ["zone", "number", "borough", "trips"],
        [
            [names[zone][0], str(zone), names[zone][1], f"{known[zone]:,.0f}"]
            for zone in sorted(known, key=lambda zone: -known[zone])
        ],
        (draw_shapes if shapes else draw_tiles) if known else None,
    )
