"""TLC's shapes of its taxi zones: gets the file once, keeps it, reads and checks it.

Import this only where shapes are needed: its packages take a third of a second.
"""

import datetime as dt
import hashlib
import io
import json
import zipfile
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyproj
import shapefile
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from loader.errors import FileRefusedError, LoaderError, SourceError
from loader.settings import Settings
from loader.source.folder import path_of
from loader.source.published import redact
from loader.source.whole import Version, is_remote, read_whole, version_fields

NAME = "taxi_zones.zip"
#: Records of TLC's file, and the zones that they are of: 56 has two records, 103 has three.
KNOWN_RECORDS, KNOWN_ZONES = 263, 260
#: Decimals of degrees in GeoJSON: 10 cm.
DECIMALS = 6

_MOST_BYTES = 100_000_000
_METRES_A_MILE = 1609.344
#: Longitudes and latitudes around New York: a file elsewhere names the wrong coordinate system.
_AROUND = shapely.box(-75.5, 39.5, -72.5, 42)
_FIELDS = {"locationid": "LocationID", "zone": "zone", "borough": "borough"}


@dataclass(frozen=True)
class Zone:
    """A taxi zone.

    Attributes:
        location_id: its number, as in the trips.
        shape: all of its parts, in degrees (WGS 84), not rounded.
    """

    location_id: int
    name: str
    borough: str
    shape: BaseGeometry

    def row(self) -> dict[str, Any]:
        """Return what the warehouse has of it."""
        centroid = self.shape.centroid
        square_metres, _ = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(
            shapely.orient_polygons(self.shape)
        )
        return {
            "location_id": self.location_id,
            "zone_name": self.name,
            "borough": self.borough,
            "geometry": geojson(self.shape),
            "longitude": round(centroid.x, DECIMALS),
            "latitude": round(centroid.y, DECIMALS),
            "area_square_miles": round(abs(square_metres) / _METRES_A_MILE**2, DECIMALS),
        }


@dataclass(frozen=True, eq=False)
class Shapes(Version):
    """TLC's file of shapes, checked.

    Attributes:
        zones: by number, in order.
        records: of the file: a zone may have several.
    """

    table: ClassVar[str] = "taxi_zone_shapes"
    zones: dict[int, Zone]
    records: int

    def rows(self) -> list[dict[str, object]]:
        """Return a row for each zone."""
        return [{**zone.row(), **self.about()} for zone in self.zones.values()]


def zone_shapes(settings: Settings) -> dict[int, BaseGeometry]:
    """Return the shapes of all zones by number, in degrees (WGS 84), not rounded.

    Raises:
        LoaderError: when they aren't here and can't be had.
    """
    shapes = kept(settings) or fetch(settings)
    return {number: zone.shape for number, zone in shapes.zones.items()}


def kept(settings: Settings) -> Shapes | None:
    """Return the shapes that are on this machine, without a request; None when there are none."""
    address = settings.shapes
    if not is_remote(address):
        with suppress(LoaderError):
            return fetch(settings)
        return None
    path = _kept_path(settings)
    with suppress(OSError, ValueError, LookupError, FileRefusedError):
        content, note = path.read_bytes(), json.loads(_note_path(path).read_text("utf-8"))
        if note["url"] == redact(address) and note["sha256"] == hashlib.sha256(content).hexdigest():
            modified = note["last_modified"]
            return parse(
                content,
                note["url"],
                note["etag"],
                dt.datetime.fromisoformat(modified) if modified else None,
            )
    return None


def fetch(settings: Settings) -> Shapes:
    """Get the shapes, unless the source still has the version that is kept, and keep them.

    Raises:
        NotPublishedError: when the source has none, or refuses us.
        SourceError: when they can't be had whole.
        FileRefusedError: when the file can't be right; what is kept stays.
        LoaderError: when they can't be kept.
    """
    address = settings.shapes
    before = kept(settings) if is_remote(address) else None
    if not is_remote(address):
        with suppress(OSError):
            address = str(path_of(address) / NAME) if path_of(address).is_dir() else address
    found = read_whole(address, before.etag if before else None, "TLC_SHAPES")
    if found is None and before:
        return before
    if found is None:
        raise SourceError(f"{redact(address)} answers 304 to a plain request; run again later")
    shapes = parse(*found)
    if is_remote(address):
        _keep(_kept_path(settings), found.content, shapes)
    return shapes


@lru_cache(1)
def parse(
    content: bytes, url: str, etag: str | None = None, last_modified: dt.datetime | None = None
) -> Shapes:
    """Read shapes: a zip with one shapefile and its coordinate system.

    Raises:
        FileRefusedError: when it is no such zip, a field is missing, a zone has no number, a shape
            isn't a valid polygon, or lies elsewhere than around New York.
    """
    label = url.rpartition("/")[2]
    try:
        records, system = _read(content)
        to_degrees = pyproj.Transformer.from_crs(system, 4326, always_xy=True)
        parts: defaultdict[int, list[BaseGeometry]] = defaultdict(list)
        names: dict[int, tuple[str, str]] = {}
        for row, record in enumerate(records, 1):
            values = {name.lower(): value for name, value in record.record.as_dict().items()}
            for field, name in _FIELDS.items():
                if values.get(field) is None:
                    raise FileRefusedError(f"{label}: record {row} has no {name}")
            part = shapely.transform(shape(record.shape), to_degrees.transform, interleaved=False)
            if part.geom_type not in ("Polygon", "MultiPolygon") or part.is_empty:
                raise FileRefusedError(f"{label}: record {row} has no polygon")
            if not _AROUND.contains(part):
                raise FileRefusedError(f"{label}: record {row} is not around New York")
            if not part.is_valid:
                reason = shapely.is_valid_reason(part)
                raise FileRefusedError(f"{label}: record {row} has an invalid shape: {reason}")
            number = int(values["locationid"])
            if not 1 <= number <= 999:
                raise FileRefusedError(f"{label}: record {row} is of zone {number}")
            parts[number].append(part)
            names.setdefault(number, (values["zone"], values["borough"]))
    except FileRefusedError:
        raise
    except Exception as error:  # zipfile, pyshp and pyproj have errors of any type for bad bytes
        raise FileRefusedError(
            f"{label}: no zip with a shapefile of zones: {str(error) or type(error).__name__}"
        ) from error
    if not parts:
        raise FileRefusedError(f"{label}: it has no zone")
    zones = {n: Zone(n, *names[n], shapely.union_all(parts[n])) for n in sorted(parts)}
    return Shapes(zones, len(records), **version_fields(content, url, etag, last_modified))


def geojson(geometry: BaseGeometry) -> str:
    """Write GeoJSON (RFC 7946) of rounded coordinates: valid, rings outside counter-clockwise."""
    rounded = shapely.transform(geometry, lambda degrees: np.round(degrees, DECIMALS))
    if not rounded.is_valid:  # a neck that is thinner than what is rounded
        rounded = shapely.set_precision(geometry, 10.0**-DECIMALS)
        rounded = shapely.transform(rounded, lambda degrees: np.round(degrees, DECIMALS))
    return shapely.to_geojson(shapely.orient_polygons(rounded))


def _read(content: bytes) -> tuple[list[Any], pyproj.CRS]:
    """Return the records of a zip's shapefile, and their coordinate system."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(one.file_size for one in archive.infolist()) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES // 1_000_000} MB")
        stems = [name[:-4] for name in archive.namelist() if name.lower().endswith(".shp")]
        if len(stems) != 1:
            raise ValueError(f"{len(stems)} files .shp in it")
        files = {kind: io.BytesIO(archive.read(f"{stems[0]}.{kind}")) for kind in ("shp", "dbf")}
        system = archive.read(f"{stems[0]}.prj").decode()
    with shapefile.Reader(**files) as reader:
        return list(reader.iterShapeRecords()), pyproj.CRS.from_wkt(system)


def _kept_path(settings: Settings) -> Path:
    return settings.local_dir / "shapes" / NAME


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _keep(path: Path, content: bytes, shapes: Shapes) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        # One that isn't of these bytes is ignored, whatever comes first.
        note = {"url": shapes.url, "etag": shapes.etag, "sha256": shapes.sha256}
        modified = shapes.last_modified.isoformat() if shapes.last_modified else None
        _note_path(path).write_text(json.dumps(note | {"last_modified": modified}), "utf-8")
        part.replace(path)
    except OSError as error:
        raise LoaderError(
            f"can't write to {path.parent}: {error.strerror or error}; make room or choose another"
            " place with TLC_LOCAL_DIR"
        ) from error
