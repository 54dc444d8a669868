"""Shapes of zones that tests make up, in a file like TLC's; its own are not part of the project."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyproj
import shapefile
import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

NAME = "taxi_zones.zip"
#: Zones over half of where generated trips begin and end: neighbours that share a border, one in
#: two parts, one around water with an island in it, and Newark.
ZONES: dict[int, list[BaseGeometry]] = {
    1: [shapely.box(-74.19, 40.68, -74.15, 40.705)],
    4: [shapely.box(-74.01, 40.72, -73.97, 40.75)],
    7: [shapely.Polygon([(-73.97, 40.72), (-73.931, 40.7237), (-73.94, 40.76), (-73.97, 40.75)])],
    56: [shapely.box(-74.05, 40.70, -74.03, 40.74), shapely.box(-74.03, 40.78, -74.0, 40.8)],
    43: [shapely.box(-73.99, 40.76, -73.95, 40.79) - shapely.box(-73.98, 40.765, -73.96, 40.78)],
    202: [shapely.box(-73.975, 40.768, -73.972, 40.775)],
}


def write_shapes(
    path: Path,
    zones: Mapping[int, Sequence[BaseGeometry]] = ZONES,
    *,
    system: int = 4326,
    fields: Sequence[str] = ("LocationID", "zone", "borough"),
    left_out: Sequence[str] = (),
) -> Path:
    """Write a zip with a shapefile, a record for each part.

    Args:
        zones: parts by number, in degrees.
        system: of the file's coordinates, as an EPSG code.
        left_out: kinds of files that the zip lacks.
    """
    to_system = pyproj.Transformer.from_crs(4326, system, always_xy=True)
    files = {kind: io.BytesIO() for kind in ("shp", "shx", "dbf")}
    with shapefile.Writer(**files) as writer:
        writer.field("OBJECTID", "N", 9)
        for name in fields:
            writer.field(name, *(("N", 4) if name == "LocationID" else ("C", 254)))
        for number, parts in zones.items():
            values = {"LocationID": number, "zone": f"Zone {number}", "borough": "Queens"}
            for part in parts:
                moved = shapely.transform(part, to_system.transform, interleaved=False)
                writer.shape(mapping(moved))
                writer.record(1, *(values[name] for name in fields))
    contents = {kind: file.getvalue() for kind, file in files.items()}
    contents["prj"] = pyproj.CRS(system).to_wkt("WKT1_ESRI").encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, content in contents.items():
            if kind not in left_out:
                archive.writestr(f"taxi_zones.{kind}", content)
    return path


def zones_by_shapely(
    shapes: Mapping[int, BaseGeometry], longitudes: np.ndarray, latitudes: np.ndarray
) -> list[int | None]:
    """Find the zone of each point by testing all shapes: the lowest number that covers it."""
    points = shapely.points(np.nan_to_num(longitudes), np.nan_to_num(latitudes))
    found: list[int | None] = [None] * len(points)
    for number in sorted(shapes, reverse=True):
        for place in np.flatnonzero(shapely.covers(shapes[number], points)):
            found[place] = number
    return found


def merged(zones: Mapping[int, Sequence[BaseGeometry]] = ZONES) -> dict[int, BaseGeometry]:
    """Return each zone's shape with all its parts."""
    return {number: shapely.union_all(parts) for number, parts in zones.items()}
