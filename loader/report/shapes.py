"""The shapes of TLC's zones, ready to be drawn."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import shapely

from loader.errors import FileRefusedError, UsageError
from loader.warehouse.base import Warehouse

#: What is left out is smaller than a pixel: in degrees of latitude, 45 m.
_TOLERANCE = 0.0004
#: Longitudes and latitudes of New York.
_BOX = (-75, 40, -73, 41.5)

#: By zone, as an SVG path; and the size in which the paths are.
Shapes = tuple[dict[int, str], tuple[int, int]]


def read_shapes(path: Path) -> Shapes:
    """Read shapes of a file.

    Args:
        path: TLC's zip, or GeoJSON whose features have a property LocationID, and longitude and
            latitude as coordinates.

    Raises:
        UsageError: when it isn't that.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--shapes {path}: {error.strerror}") from error
    return _of_zip(path, content) if path.suffix == ".zip" else _of_geojson(path, content)


def _of_zip(path: Path, content: bytes) -> Shapes:
    from loader.source.shapes import parse  # pyproj, which takes its time to import

    try:
        zones = parse(content, str(path)).zones
    except FileRefusedError as error:
        raise UsageError(f"--shapes {error}") from error
    return draw((number, zone.shape) for number, zone in zones.items())


def _of_geojson(path: Path, content: bytes) -> Shapes:
    try:
        features: list[dict[str, Any]] = json.loads(content)["features"]
        named = [
            (int({n.lower(): v for n, v in one["properties"].items()}["locationid"]), one)
            for one in features
        ]
        found = [(zone, shapely.from_geojson(json.dumps(one["geometry"]))) for zone, one in named]
    except (ValueError, KeyError, TypeError, AttributeError, shapely.GEOSException) as error:
        raise UsageError(
            f"--shapes {path}: not a GeoJSON file of zones: each feature needs a LocationID"
        ) from error
    west, south, east, north = shapely.total_bounds([shape for _, shape in found])
    if not (_BOX[0] <= west and _BOX[1] <= south and east <= _BOX[2] and north <= _BOX[3]):
        raise UsageError(
            f"--shapes {path}: coordinates aren't longitude and latitude in New York: write it"
            " again with ogr2ogr -f GeoJSON -t_srs EPSG:4326"
        )
    return draw(found)


def warehouse_shapes(warehouse: Warehouse) -> Shapes | None:
    """Read the shapes that the warehouse has; None when it has none."""
    rows = warehouse.read("select location_id, geometry from {tlc}.taxi_zone_shapes")
    return draw((row["location_id"], _shape(row["geometry"])) for row in rows) if rows else None


def _shape(geometry: str) -> Any:
    """Read a shape: Postgres has GeoJSON, and BigQuery's client writes a geography as WKT."""
    return (shapely.from_geojson if geometry.startswith("{") else shapely.from_wkt)(geometry)


def draw(found: Iterable[tuple[int, Any]]) -> Shapes:
    """Make paths of zones' shapes, in a plane that is right for New York.

    A degree of longitude is shorter than one of latitude, by the cosine of the latitude: over the
    forty kilometres of the city that is wrong by about a pixel.
    """
    zones, shapes = zip(*found, strict=True)
    west, south, east, north = shapely.total_bounds(shapes)
    narrower = math.cos(math.radians((south + north) / 2))
    width = 640
    scale = width / ((east - west) * narrower)

    def plane(points: Any) -> Any:
        return (points - (west, north)) * (scale * narrower, -scale)

    paths: dict[int, str] = {}
    simple = shapely.coverage_simplify(shapes, _TOLERANCE)
    for zone, shape in zip(zones, shapely.transform(simple, plane), strict=True):
        rings = [
            ring for part in shapely.get_parts(shape) for ring in (part.exterior, *part.interiors)
        ]
        for ring in rings:
            points = [(round(x, 1) + 0, round(y, 1) + 0) for x, y in ring.coords[:-1]]
            path = "L".join(f"{x:g} {y:g}" for x, y in points)
            paths[zone] = f"{paths.get(zone, '')}M{path}Z"
    return paths, (width, math.ceil((north - south) * scale))
