"""TLC's shapes: what is read of the file, what refuses it, and when it is asked for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely

from loader.errors import FileRefusedError, NotPublishedError, SourceError
from loader.settings import Settings
from loader.source import shapes
from tests.cdn import close_early, html, status
from tests.conftest import DATA_DIR
from tests.shapes import NAME, ZONES, merged, write_shapes

REAL = DATA_DIR and DATA_DIR / "zones"


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings("local", "/no/such/source", tmp_path / "local", "", shapes=str(tmp_path))


def square(west: float, south: float = 40.7, side: float = 0.01) -> shapely.Polygon:
    return shapely.box(west, south, west + side, south + side)


@pytest.mark.parametrize("system", [4326, 2263])
def test_each_zone_is_read_with_all_its_parts(settings, tmp_path, system):
    path = write_shapes(tmp_path / NAME, system=system)
    found = shapes.fetch(settings)
    assert (found.records, list(found.zones)) == (7, sorted(ZONES))
    assert (found.url, found.file_bytes) == (str(path), path.stat().st_size)
    for number, shape in merged().items():
        zone = found.zones[number]
        assert (zone.name, zone.borough) == (f"Zone {number}", "Queens")
        assert shapely.hausdorff_distance(zone.shape, shape) < 1e-7
    rows = {zone.location_id: zone.row() for zone in found.zones.values()}
    assert json.loads(rows[56]["geometry"])["type"] == "MultiPolygon"
    assert len(json.loads(rows[43]["geometry"])["coordinates"]) == 2  # around water
    for number, row in rows.items():
        drawn = shapely.from_geojson(row["geometry"])
        assert drawn.is_valid
        assert drawn.symmetric_difference(merged()[number]).area < 1e-7
        degrees = shapely.get_coordinates(drawn)
        assert (degrees == np.round(degrees, 6)).all()
        x, y = merged()[number].centroid.coords[0]
        assert (row["longitude"], row["latitude"]) == pytest.approx((x, y), abs=1e-6)
    # of a rectangle, on the sphere that has the earth's area
    across, up = np.radians(0.04) * np.cos(np.radians(40.6925)), np.radians(0.025)
    assert rows[1]["area_square_miles"] == pytest.approx(across * up * 3958.76**2, rel=0.005)


def test_what_rounding_would_break_is_mended():
    neck = shapely.Polygon([(0, 0), (1, 1e-7), (2, 0), (2, 1), (1, 2e-7), (0, 1)])
    drawn = shapely.from_geojson(shapes.geojson(neck))
    assert neck.is_valid
    assert drawn.is_valid
    assert drawn.area == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("zones", "options", "reason"),
    [
        (ZONES, {"left_out": ["prj"]}, "no zip with a shapefile"),
        (ZONES, {"left_out": ["shp"]}, "0 files .shp in it"),
        (ZONES, {"fields": ["LocationID", "zone"]}, "record 1 has no borough"),
        (ZONES, {"fields": ["zone", "borough"]}, "record 1 has no LocationID"),
        ({}, {}, "it has no zone"),
        ({0: [square(-74)]}, {}, "record 1 is of zone 0"),
        ({4: [square(-74), square(-79)]}, {}, "record 2 is not around New York"),
        (
            {4: [shapely.Polygon([(-74, 40.7), (-73.9, 40.8), (-73.9, 40.7), (-74, 40.8)])]},
            {},
            "record 1 has an invalid shape: Self-intersection",
        ),
    ],
)
def test_a_file_that_can_t_be_right_is_refused(settings, tmp_path, zones, options, reason):
    write_shapes(tmp_path / NAME, zones, **options)
    with pytest.raises(FileRefusedError, match=reason) as refused:
        shapes.fetch(settings)
    assert str(refused.value).startswith(f"{NAME}: ")
    assert shapes.kept(settings) is None


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\3\4" + bytes(99)])
def test_what_is_no_zip_is_refused(settings, tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(FileRefusedError, match="no zip with a shapefile of zones: "):
        shapes.fetch(settings)


def test_any_byte_may_be_wrong(settings, tmp_path):
    """It is read as before, or refused."""
    content = write_shapes(tmp_path / NAME).read_bytes()
    for place in range(0, len(content), 7):
        changed = bytes([*content[:place], content[place] ^ 0xFF, *content[place + 1 :]])
        try:
            shapes.parse(changed, NAME)
        except FileRefusedError as refused:
            assert "\n" not in str(refused)


def test_it_may_be_a_zip_or_a_folder_that_holds_it(settings, tmp_path):
    with pytest.raises(SourceError, match=f"can't read {tmp_path / NAME}: No such file"):
        shapes.fetch(settings)
    path = write_shapes(tmp_path / NAME)
    found = [shapes.fetch(replace(settings, shapes=place)) for place in (str(path), path.as_uri())]
    assert {one.sha256 for one in found} == {shapes.kept(settings).sha256}
    assert not settings.local_dir.exists()  # read in place


def test_a_web_address_is_asked_once_and_again_for_a_new_version(settings, cdn, no_waiting):
    settings = replace(settings, shapes=f"http://user:secret@{cdn.host}/misc/{NAME}")
    with pytest.raises(NotPublishedError):
        shapes.fetch(settings)
    path = write_shapes(cdn.folder / NAME)
    first = shapes.fetch(settings)
    assert "secret" not in first.url
    assert (first.etag, len(first.zones)) == (first.etag, 6)
    cdn.requests.clear()
    assert list(shapes.zone_shapes(settings)) == sorted(ZONES)
    assert shapes.kept(settings).about() == first.about()
    assert cdn.requests == []
    cdn.script(NAME, [status(304)])
    assert shapes.fetch(settings).about() == first.about()
    assert cdn.requests[-1].headers["If-None-Match"] == first.etag
    # What is no file of shapes leaves the one that is kept.
    for bad in (html(), close_early(50)):
        cdn.script(NAME, [bad] * 9)
        with pytest.raises((FileRefusedError, SourceError)):
            shapes.fetch(settings)
        assert shapes.kept(settings).about() == first.about()
    cdn.script(NAME, [])
    write_shapes(path, {4: ZONES[4]})
    assert list(shapes.fetch(settings).zones) == [4]
    assert list(shapes.kept(settings).zones) == [4]
    # One that was changed here, and one of another address, are no longer taken.
    assert shapes.kept(replace(settings, shapes=f"http://{cdn.host}/other/{NAME}")) is None
    (settings.local_dir / "shapes" / NAME).write_bytes(b"something else")
    assert shapes.kept(settings) is None
    assert list(shapes.fetch(settings).zones) == [4]


@pytest.mark.skipif(REAL is None, reason="no real shapes at hand")
def test_tlc_s_own_file(settings):
    found = shapes.fetch(replace(settings, shapes=str(REAL)))
    assert (found.records, len(found.zones)) == (shapes.KNOWN_RECORDS, shapes.KNOWN_ZONES)
    assert set(range(1, 266)) - set(found.zones) == {57, 104, 105, 264, 265}
    assert len(found.zones[56].shape.geoms) == 2
    assert len(found.zones[103].shape.geoms) == 3
    rows = [zone.row() for zone in found.zones.values()]
    assert sum(row["area_square_miles"] for row in rows) == pytest.approx(306.15, abs=0.01)
    assert all(shapely.from_geojson(row["geometry"]).is_valid for row in rows)
    assert found.zones[1].shape.covers(shapely.Point(-74.1745, 40.6895))  # Newark's terminals
    assert not any(z.shape.covers(shapely.Point(-74.03, 40.66)) for z in found.zones.values())


@pytest.mark.skipif(REAL is None, reason="no real shapes at hand")
def test_the_district_of_the_congestion_fee_is_what_lies_south_of_60th_street(settings):
    """Streets follow each other at one distance: Central Park reaches from 59th to 110th."""
    seed = Path(shapes.__file__).parents[2] / "seeds" / "taxi_zones.csv"
    lines = [line.split(",") for line in seed.read_text().splitlines()[1:]]
    marked = {int(line[0]) for line in lines if line[-1] == "true"}
    found = shapes.fetch(replace(settings, shapes=str(REAL)))
    to_feet = pyproj.Transformer.from_crs(4326, 2263, always_xy=True)
    uptown = np.array([np.sin(np.radians(29)), np.cos(np.radians(29))])  # where avenues lead

    def streets(number: int) -> np.ndarray:
        feet = shapely.transform(found.zones[number].shape, to_feet.transform, interleaved=False)
        return shapely.get_coordinates(feet) @ uptown

    south, north = streets(43).min(), streets(43).max()
    manhattan = [number for number, zone in found.zones.items() if zone.borough == "Manhattan"]
    ends = {n: 59 + (streets(n) - south) / (north - south) * (110 - 59) for n in manhattan}
    assert marked == {n for n in manhattan if ends[n].max() < 60} - {103}  # the harbour's islands
    crossed = {n for n in manhattan if ends[n].min() < 60 < ends[n].max()}
    assert crossed == {43, 140, 141, 142, 143, 237, 202}
    assert len(marked) == 38
