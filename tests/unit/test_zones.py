"""The zone of each point is the one that shapely finds, point by point."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from loader.calendar import Month, parse_month
from loader.datasets import datasets, get_dataset
from loader.landing.conform import Conformer
from loader.landing.zones import ZoneGrid, open_grid
from loader.sample import write_month
from loader.settings import Settings
from loader.source.shapes import zone_shapes
from tests.conftest import DATA_DIR
from tests.shapes import NAME, merged, write_shapes, zones_by_shapely

FIRST = Month("yellow", dt.date(2009, 1, 1))
OLD = sorted((DATA_DIR / "old-yellow").glob("*.parquet")) if DATA_DIR else []
COLUMNS = ("pickup_location_id_by_coordinates", "dropoff_location_id_by_coordinates")


def settings_of(tmp_path, place: object) -> Settings:
    return Settings("local", "/no/such/source", tmp_path / "local", "", shapes=str(place))


@pytest.fixture(scope="module", params=["made up", "TLC's own"])
def shapes(request, tmp_path_factory):
    if request.param == "made up":
        return merged()
    if DATA_DIR is None:
        pytest.skip("no real shapes at hand")
    return zone_shapes(settings_of(tmp_path_factory.mktemp("shapes"), DATA_DIR / "zones"))


@pytest.fixture(scope="module")
def grid(shapes):
    return ZoneGrid(shapes)


def assert_found(grid, shapes, points: np.ndarray) -> list[int | None]:
    longitudes, latitudes = (np.ascontiguousarray(each) for each in points.T)
    found = [number or None for number in grid.find(longitudes, latitudes).tolist()]
    wanted = zones_by_shapely(shapes, longitudes, latitudes)
    assert [
        (point, one, other)
        for point, one, other in zip(points.tolist(), found, wanted, strict=True)
        if one != other
    ] == []
    return found


def test_points_anywhere(grid, shapes):
    west, south, east, north = shapely.total_bounds(list(shapes.values()))
    random = np.random.default_rng(1)
    points = random.uniform((west - 0.01, south - 0.01), (east + 0.01, north + 0.01), (9_000, 2))
    found = assert_found(grid, shapes, points)
    assert found.count(None) > 900  # water
    assert len(set(found)) > len(shapes) * 0.8
    assert_found(grid, shapes, points.round(6))
    assert_found(grid, shapes, points.round(2))


def test_shapes_that_overlap(tmp_path):
    """TLC's don't; should a new version do so, a point of two zones is in the lower one."""
    shapes = {
        number: shapely.box(-74 + left, 40.7, -74 + right, 40.8)
        for number, left, right in ((5, 0, 0.06), (3, 0.03, 0.1), (9, 0.0401, 0.0402))
    }
    shapes[4] = shapely.box(-73.99, 40.72, -73.9895, 40.7205)
    random = np.random.default_rng(3)
    points = random.uniform((-74.01, 40.69), (-73.89, 40.81), (20_000, 2))
    points = np.concatenate([points, random.uniform((-73.961, 40.7), (-73.959, 40.8), (5_000, 2))])
    points = np.concatenate(
        [points, random.uniform((-73.991, 40.719), (-73.989, 40.722), (5_000, 2))]
    )
    assert {3, 4, 5, None} <= set(assert_found(ZoneGrid(shapes), shapes, points))


def test_points_on_borders_and_next_to_them(grid, shapes):
    """A point on the border of several zones is in that with the lowest number."""
    random = np.random.default_rng(2)
    lines = [shapely.get_coordinates(ring) for ring in shapely.boundary(list(shapes.values()))]
    corners = np.concatenate(lines)
    corners = corners[random.integers(0, len(corners), 3_000)]
    between = np.concatenate([(line[1:] + line[:-1]) / 2 for line in lines if len(line) > 1])
    between = between[random.integers(0, len(between), 3_000)]
    assert_found(grid, shapes, corners)
    for moved in (0, 1e-12, 1e-9, 1e-6, 1e-4):
        points = np.concatenate([corners, between])
        assert_found(grid, shapes, points + random.uniform(-moved, moved, points.shape))


def test_points_on_the_edges_of_cells(grid, shapes):
    up, across = grid._cells.shape
    random = np.random.default_rng(3)
    cells = random.integers(0, (across + 1, up + 1), (6_000, 2))
    points = (grid._left, grid._bottom) + cells * grid._step
    assert_found(grid, shapes, points)
    assert_found(grid, shapes, np.nextafter(points, points + random.choice([-1, 1], points.shape)))


def test_neighbours_islands_and_parts():
    grid, shapes = ZoneGrid(merged()), merged()
    places = {
        (-74.17, 40.69): 1,
        (-73.97, 40.73): 4,  # the border of 4 and 7
        (-73.97, 40.75): 4,  # a corner of both
        (-73.9699999, 40.73): 7,
        (-74.04, 40.72): 56,
        (-74.01, 40.79): 56,
        (-74.03, 40.76): None,  # between its parts
        (-73.965, 40.77): None,  # the water in 43
        (-73.9735, 40.77): 202,  # the island in the water
        (-73.98, 40.77): 43,  # the shore
        (-73.985, 40.77): 43,
    }
    assert assert_found(grid, shapes, np.array(list(places))) == list(places.values())


@pytest.mark.parametrize(
    "point",
    [
        *((0, 0), (40.73, -73.98), (-73, 40), (-73.98, 0), (0, 40.73), (73.98, 40.73)),
        *((np.nan, np.nan), (-73.98, np.nan), (np.nan, 40.73), (-3e8, 1e300)),
        *((np.inf, 40.73), (-np.inf, 40.73), (-73.98, np.inf), (-73.98, -np.inf)),
    ],
)
def test_what_is_no_place_in_new_york_has_no_zone(point):
    with np.errstate(all="raise"):
        found = ZoneGrid(merged()).find(np.array([point[0], -73.98]), np.array([point[1], 40.73]))
    assert found.tolist() == [0, 4]


def test_no_point_at_all():
    assert ZoneGrid(merged()).find(np.array([]), np.array([])).tolist() == []


# ---- In a file -----------------------------------------------------------------------------------


def landed(path, month: dt.date, grid: ZoneGrid | None) -> tuple[pa.Table, Conformer]:
    conformer = Conformer("yellow", month, path, grid)
    return pa.Table.from_batches(list(conformer.batches()), conformer.schema), conformer


def test_the_months_that_need_shapes_are_those_with_coordinates():
    months = [dt.date(year, month, 1) for year in range(2009, 2025) for month in (1, 12)]
    needing = {(n, m.year) for n in datasets() for m in months if get_dataset(n).needs_shapes(m)}
    assert needing == {("yellow", 2009), ("yellow", 2010)}


@pytest.mark.parametrize("month", ["2009-01", "2010-02"])
def test_zones_land_beside_the_coordinates(tmp_path, month):
    """The generated months have positions of (0, 0) and, in 2010-02, without any."""
    path = tmp_path / f"yellow_tripdata_{month}.parquet"
    write_month(path, "yellow", parse_month(month), 20_000)
    write_shapes(tmp_path / NAME)
    settings = settings_of(tmp_path, tmp_path)
    table, conformer = landed(path, parse_month(month), open_grid(settings, FIRST))
    assert set(COLUMNS) <= set(conformer.filled)
    for column, end in zip(COLUMNS, ("pickup", "dropoff"), strict=True):
        longitudes, latitudes = (
            table[f"{end}_{name}"].to_numpy() for name in ("longitude", "latitude")
        )
        found = table[column].to_pylist()
        assert found == zones_by_shapely(merged(), longitudes, latitudes)
        assert {4, 7, 43, None} < set(found)
    assert table["pickup_location_id"].null_count == len(table)
    without, conformer = landed(path, parse_month(month), None)
    assert not set(COLUMNS) & set(conformer.filled)
    assert [without[column].null_count for column in COLUMNS] == [len(table)] * 2
    assert table.drop(COLUMNS) == without.drop(COLUMNS)


def test_a_month_of_zones_gets_no_grid(tmp_path):
    write_shapes(tmp_path / NAME)
    settings = settings_of(tmp_path, tmp_path)
    assert open_grid(settings, Month("yellow", dt.date(2011, 1, 1))) is None
    assert open_grid(settings, Month("green", dt.date(2023, 1, 1))) is None
    assert open_grid(settings_of(tmp_path, tmp_path / "nowhere"), FIRST) is None
    assert open_grid(settings, FIRST) is open_grid(settings, FIRST)  # made once


@pytest.mark.skipif(not OLD, reason="no real rows of 2009 and 2010 at hand")
def test_real_rows_have_the_zones_that_shapely_gives(tmp_path):
    settings = settings_of(tmp_path, DATA_DIR / "zones")
    shapes = zone_shapes(settings)
    rows = inside = 0
    for path in OLD:
        month = parse_month(path.stem[-7:])
        table, _ = landed(path, month, open_grid(settings, Month("yellow", month)))
        file = pq.read_table(path)
        names = {name.lower(): name for name in file.column_names}
        starts = ("start_lon", "pickup_longitude"), ("start_lat", "pickup_latitude")
        ends = ("end_lon", "dropoff_longitude"), ("end_lat", "dropoff_latitude")
        for column, places in zip(COLUMNS, (starts, ends), strict=True):
            degrees = [
                file[next(names[n] for n in spelled if n in names)].to_numpy() for spelled in places
            ]
            found = table[column].to_pylist()
            assert found == zones_by_shapely(shapes, *degrees)
            rows += sum(degrees[0] != 0)
            inside += len(found) - found.count(None)
    assert inside / rows > 0.99
