"""Shapes and zones of coordinates on BigQuery: as on Postgres, with geographies."""

import pyarrow.parquet as pq
import pytest
import shapely

from tests.conftest import NO_TESTS, publish, succeeded
from tests.emulator.workspace import BigQueryWorkspace, workspace_on
from tests.shapes import NAME, merged, write_shapes, zones_by_shapely

pytestmark = pytest.mark.slow

PREFIX, MONTH = "shapes_", "2009-01"
ZONES = "pickup_location_id_by_coordinates, dropoff_location_id_by_coordinates"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    publish(folder, "yellow", MONTH, 600)
    write_shapes(folder / NAME)
    return folder


@pytest.fixture(scope="module")
def on_bigquery(rig, source, tmp_path_factory) -> BigQueryWorkspace:
    settings = {"TLC_SCHEMA_PREFIX": PREFIX, "TLC_SHAPES": str(source), "TLC_BUCKET": ""}
    workspace = workspace_on(rig, tmp_path_factory.mktemp("bigquery"), **settings, **NO_TESTS)
    command = ("run", "--dataset", "yellow", "--month", MONTH, "--source", source)
    told = succeeded(workspace.loader(*command))
    assert "TLC's zone shapes  landed: 7 records of 6 zones" in told.stderr
    return workspace


def test_zones_and_ids_are_those_of_postgres_and_of_shapely(on_bigquery, source, new_workspace):
    file = pq.read_table(source / f"yellow_tripdata_{MONTH}.parquet")
    wanted = [
        zones_by_shapely(merged(), file[f"{end}_Lon"].to_numpy(), file[f"{end}_Lat"].to_numpy())
        for end in ("Start", "End")
    ]
    rows = f"select unique_row_id, {ZONES} from {{}}tlc.yellow_tripdata order by file_row"
    found = on_bigquery.query(rows.format(PREFIX))
    assert [row[1:] for row in found] == list(zip(*wanted, strict=True))
    shown = on_bigquery.query(
        "select pickup_location_id, dropoff_location_id, is_zone_by_coordinates"
        f" from {PREFIX}tlc_marts.trips order by file_row"
    )
    assert shown == [(*zones, any(zones)) for zones in zip(*wanted, strict=True)]
    workspace = new_workspace()
    workspace.env["TLC_SHAPES"] = str(source)
    command = ("run", "--dataset", "yellow", "--month", MONTH, "--source", source)
    succeeded(workspace.loader(*command))
    assert workspace.query(rows.format(workspace.prefix)) == found


def test_shapes_are_geographies(on_bigquery, tmp_path):
    table = on_bigquery.client().get_table(f"{PREFIX}tlc.taxi_zone_shapes")
    assert {field.name: field.field_type for field in table.schema}["geometry"] == "GEOGRAPHY"
    rows = on_bigquery.query(
        "select location_id, st_asgeojson(geometry), st_area(geometry), area_square_miles"
        f" from {PREFIX}tlc.taxi_zone_shapes order by location_id"
    )
    assert [row[0] for row in rows] == sorted(merged())
    for number, geometry, square_metres, square_miles in rows:
        drawn = shapely.from_geojson(geometry)
        assert drawn.symmetric_difference(merged()[number]).area < 1e-7
        assert square_metres == pytest.approx(square_miles * 1609.344**2, rel=0.005)
    succeeded(on_bigquery.loader("export", "--out", tmp_path))
    for zone in pq.read_table(tmp_path / "taxi_zone_shapes.parquet").to_pylist():
        drawn = shapely.from_geojson(zone["geometry"])  # as on Postgres
        assert drawn.symmetric_difference(merged()[zone["location_id"]]).area < 1e-7
    covered = on_bigquery.query(
        f"select count(*) from {PREFIX}tlc.yellow_tripdata as trips"
        f" inner join {PREFIX}tlc.taxi_zone_shapes as zones"
        " on trips.pickup_location_id_by_coordinates = zones.location_id"
        " where not st_covers("
        "zones.geometry, st_geogpoint(trips.pickup_longitude, trips.pickup_latitude))"
    )
    assert covered == [(0,)]
