"""The map of zones: by their shapes where there are any, else as tiles, borough by borough."""

from loader.report.numbers import Numbers
from loader.report.pictures import Picture, Scale, beside, text, tip
from loader.report.section import Section
from loader.report.shapes import Shapes
from loader.report.words import change, names_of, sentences, share, whole
from loader.terminal import words

_BOROUGHS = ("Bronx", "Manhattan", "Queens", "Brooklyn", "Staten Island", "EWR")
_FEW = 10
#: Width and height of a tile.
_TILE = 26, 20


def changes_of(numbers: Numbers, months_back: int) -> dict[int, str]:
    """Return how the trips a day of zones have changed, of the datasets that are comparable."""
    compared, backs = numbers.comparable(months_back), (0, months_back)
    now, before = (numbers.zone_trips(compared, back) for back in backs)
    if not before:
        return {}
    days, days_before = (len(numbers.days(compared[0], back)) for back in backs)
    return {z: change(now[z] / days, before[z] / days_before) for z in now | before}


def zone_map(numbers: Numbers, shapes: Shapes | None) -> Section | None:
    """Show where trips begin, by shapes or else by tiles; None when no trip has a known zone."""
    trips = numbers.zone_trips(numbers.datasets)
    if not trips:
        return None
    names = {r["pickup_location_id"]: (r["zone_name"], r["borough"]) for r in numbers.zones}
    total = trips.total()
    manhattan = sum(count for zone, count in trips.items() if names[zone][1] == "Manhattan")
    begin = f"of the trips from a known zone, {share(manhattan, total)} begin in Manhattan"
    if len(trips) > _FEW:
        busiest = share(sum(count for _, count in trips.most_common(_FEW)), total)
        begin += f", and {busiest} in the ten busiest of {words.count(len(trips), 'zone')}"
    changes = changes_of(numbers, 12)
    scale = Scale.of(trips.values())

    def said(zone: int) -> str:
        changed = changes.get(zone) if trips[zone] else ""
        to = f", {changed} a day to a year before" if changed else ""
        zone_name = names[zone][0] if zone in names else f"Zone {zone}"
        return f"{zone_name} ({zone}): {words.count(trips[zone], 'trip')}{to}"

    def draw_shapes(width: int) -> Picture:
        paths, (across, down) = shapes or ({}, (0, 0))
        drawn = (
            f'<path class="zone {scale.colour(trips[zone])}" d="{path}">{tip(said(zone))}</path>'
            for zone, path in paths.items()
        )
        return Picture(across, down, "".join(drawn))

    def draw_tiles(width: int) -> Picture:
        across, down = _TILE
        columns = width // across
        drawn = []
        for borough in _BOROUGHS:
            zones = [zone for zone in trips if names[zone][1] == borough]
            if not zones:
                continue
            zones.sort(key=lambda zone: names[zone][0])
            parts = [text(0, 12, borough, "title")]
            for place, zone in enumerate(zones):
                x, y = place % columns * across, 20 + place // columns * down
                colour = scale.colour(trips[zone])
                parts.append(
                    f'<g class="tile {colour}"><rect x="{x}" y="{y}" width="{across - 1}"'
                    f' height="{down - 1}"/>{text(x + across / 2, y + 14, str(zone), "x")}'
                    f"{tip(said(zone))}</g>"
                )
            height = 20 + (len(zones) - 1) // columns * down + down
            drawn.append(Picture(width, height, "".join(parts)))
        return beside(drawn, width, 1)

    return Section(
        "map",
        "Zone by zone",
        sentences(
            begin,
            f"changes are by day, to a year before, of {names_of(numbers.comparable(12))}"
            if changes
            else "",
            "" if shapes else "each tile is a zone, with its number",
        ),
        ["zone", "number", "borough", "trips", *(["change a day"] if changes else [])],
        [
            [
                *(names[zone][0], str(zone), names[zone][1], whole(trips[zone])),
                *([changes.get(zone, "")] if changes else []),
            ]
            for zone in sorted(trips, key=lambda zone: -trips[zone])
        ],
        draw_shapes if shapes else draw_tiles,
        legends=[("trips that begin in a zone", scale.legend(whole))],
        is_scaled=bool(shapes),
    )
