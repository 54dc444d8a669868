"""TLC's shapes in the warehouse, and the zones of trips that have coordinates."""

import csv
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import shapely

from loader.settings import PROJECT_DIR
from tests.cdn import cdn, status
from tests.conftest import ALL_TESTS, DATA_DIR, Workspace, publish, succeeded
from tests.months import load, run
from tests.shapes import NAME, merged, write_shapes, zones_by_shapely

__all__ = ["cdn"]

MONTHS = ("2009-12", "2010-01")
ENDS = ("pickup", "dropoff")
LANDED = "TLC's zone shapes  landed: "


def zones_in(folder: Path, month: str, shapes: dict[int, shapely.Geometry]) -> list[tuple]:
    """Find the zones of a month file's trips by shapely."""
    file = pq.read_table(folder / f"yellow_tripdata_{month}.parquet")
    spelled = [("Start_Lon", "Start_Lat"), ("End_Lon", "End_Lat")]
    if spelled[0][0] not in file.column_names:
        spelled = [(f"{end}_longitude", f"{end}_latitude") for end in ENDS]
    found = [
        zones_by_shapely(shapes, file[longitude].to_numpy(), file[latitude].to_numpy())
        for longitude, latitude in spelled
    ]
    return list(zip(*found, strict=True))


def zones(workspace: Workspace, month: str, table: str = "tlc.yellow_tripdata") -> list[tuple]:
    suffix = "_by_coordinates" if table.startswith("tlc.") else ""
    columns = ", ".join(f"{end}_location_id{suffix}" for end in ENDS)
    return workspace.query(
        f"select {columns} from {workspace.prefix}{table}"
        f" where file_month = '{month}-01' order by file_row"
    )


def ids(workspace: Workspace) -> list[tuple]:
    return workspace.query(
        f"select file_month, file_row, unique_row_id from {workspace.tlc}.yellow_tripdata"
        " order by file_month, file_row"
    )


@pytest.fixture(scope="module")
def seed() -> dict[int, dict[str, str]]:
    with (PROJECT_DIR / "seeds" / "taxi_zones.csv").open(newline="") as file:
        return {int(row["location_id"]): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Real months and TLC's own shapes, or generated ones and shapes that we made up."""
    folder = tmp_path_factory.mktemp("source")
    for month in MONTHS:
        name = f"yellow_tripdata_{month}.parquet"
        if DATA_DIR:
            (folder / name).symlink_to(DATA_DIR / "old-yellow" / name)
        else:
            publish(folder, "yellow", month, 1_500)
    if DATA_DIR:
        (folder / NAME).symlink_to(DATA_DIR / "zones" / NAME)
    else:
        write_shapes(folder / NAME)
    return folder


@pytest.fixture(scope="module")
def shapes(source) -> dict[int, shapely.Geometry]:
    from loader.source.shapes import parse

    found = parse((source / NAME).read_bytes(), NAME).zones
    return {number: zone.shape for number, zone in found.items()}


@pytest.fixture(scope="module")
def wanted(source, shapes) -> dict[str, list[tuple]]:
    """The zones of each trip, as shapely finds them in the files."""
    return {month: zones_in(source, month, shapes) for month in MONTHS}


@pytest.fixture(scope="module")
def loaded(new_workspace, source) -> Workspace:
    """Both months, landed first without shapes, then run again with them."""
    workspace = new_workspace(marts=True)
    both = ("yellow", ":".join(MONTHS))
    told = run(workspace, *both, source=source)
    warnings = [line for line in told.stderr.splitlines() if "zone shapes" in line]
    assert len(warnings) == 1
    assert "warning: can't read /no/such/shapes: No such file or directory" in warnings[0]
    assert "nyc-tlc shapes later, and then the months with --force" in warnings[0]
    for month in MONTHS:
        assert set(zones(workspace, month)) == {(None, None)}
    before = ids(workspace)
    workspace.env["TLC_SHAPES"] = str(source)
    told = run(workspace, *both, "--force", source=source, **ALL_TESTS)
    assert told.stderr.count(LANDED) == 1
    assert ids(workspace) == before
    return workspace


def test_each_trip_has_the_zones_that_shapely_gives(loaded, wanted):
    for month in MONTHS:
        assert zones(loaded, month) == wanted[month]
        assert len(set(wanted[month])) > 10
    own = "count(pickup_location_id) + count(dropoff_location_id)"
    assert loaded.query(f"select {own} from {loaded.tlc}.yellow_tripdata") == [(0,)]


def test_the_marts_count_them(loaded, wanted, seed):
    for month in MONTHS:
        assert zones(loaded, month, "tlc_marts.trips") == wanted[month]
        shown = loaded.query(
            "select pickup_zone_name, dropoff_borough, is_zone_by_coordinates, is_to_or_from_cbd,"
            f" is_unknown_zone from {loaded.tlc}_marts.trips where file_month = '{month}-01'"
            " order by file_row"
        )
        assert shown == [
            (
                seed[pickup]["zone_name"] if pickup else None,
                seed[dropoff]["borough"] if dropoff else None,
                bool(pickup or dropoff),
                any(zone and seed[zone]["is_in_cbd"] == "true" for zone in (pickup, dropoff)),
                pickup is None or dropoff is None,
            )
            for pickup, dropoff in wanted[month]
        ]
        counted = loaded.query(
            "select pickup_location_id, sum(trips + reversals)::int"
            f" from {loaded.tlc}_marts.hourly_zone_trips where file_month = '{month}-01'"
            " group by pickup_location_id"
        )
        assert dict(counted) == Counter(pickup for pickup, _ in wanted[month])
        pairs = loaded.query(
            "select pickup_location_id, dropoff_location_id, trips"
            f" from {loaded.tlc}_marts.zone_pairs where file_month = '{month}-01'"
        )
        assert {tuple(pair) for *pair, _ in pairs} <= set(wanted[month])
        assert len(pairs) > 10


def test_the_shapes_are_a_table(loaded, shapes):
    rows = loaded.query(
        "select location_id, geometry, longitude, latitude, area_square_miles"
        f" from {loaded.tlc}.taxi_zone_shapes order by location_id"
    )
    assert [row[0] for row in rows] == list(shapes)
    for number, geometry, longitude, latitude, area in rows:
        drawn = shapely.from_geojson(geometry)
        assert shapely.hausdorff_distance(drawn, shapes[number]) < 2e-6
        assert (longitude, latitude) == pytest.approx(shapes[number].centroid.coords[0], abs=1e-6)
        # a square degree in New York, in square miles
        assert area == pytest.approx(shapes[number].area * 69.0 * 52.5, rel=0.01)


def test_shapes_land_once_a_version(loaded, source, tmp_path):
    told = succeeded(loaded.loader("shapes"))
    assert "nothing new: these shapes are here already" in told.stdout
    count = f"select count(*) from {loaded.raw}.taxi_zone_shapes"
    ((before,),) = loaded.query(count)
    assert "zone shapes" not in run(loaded, "yellow", MONTHS[0], source=source).stderr
    assert loaded.query(count) == [(before,)]
    other = write_shapes(tmp_path / NAME, {4: [shapely.box(-74, 40.7, -73.9, 40.8)]})
    told = succeeded(loaded.loader("shapes", TLC_SHAPES=str(other)))
    assert f"{LANDED}1 record of 1 zone\n" in told.stderr
    assert "warning: TLC's file has had 263 records of 260 zones; look at it" in told.stderr
    newest = f"select location_id from {loaded.tlc}.taxi_zone_shapes"
    assert loaded.query(newest) == [(4,)]
    assert loaded.query(count) == [(before + 1,)]
    succeeded(loaded.loader("shapes"))
    assert len(loaded.query(newest)) == before


def test_only_months_with_coordinates_ask_for_shapes(workspace, cdn, tmp_path):
    workspace.env["TLC_SHAPES"] = f"http://{cdn.host}/misc/{NAME}"
    write_shapes(cdn.folder / NAME)
    for dataset, month in (("green", "2023-01"), ("yellow", "2011-01")):
        publish(workspace.source, dataset, month, 50)
        run(workspace, dataset, month)
    assert cdn.requests == []
    for month in ("2009-01", "2009-02"):
        publish(workspace.source, "yellow", month, 400)
        run(workspace, "yellow", month)
        assert zones(workspace, month) == zones_in(workspace.source, month, merged())
    assert [request.method for request in cdn.requests] == ["GET"]
    assert len(workspace.query(f"select 1 from {workspace.tlc}.taxi_zone_shapes")) == 6


#: A program for which the first argument is the address of TLC.
AS_TLC = """
import sys
from loader import cli
from loader.cli import load
from loader.source import retries
retries.BACKOFF_SECONDS = 0.01
load.TLC_CDN = sys.argv.pop(1)
cli.main()
"""


def test_sync_looks_for_new_shapes_at_tlc_and_goes_on_without(workspace, cdn):
    workspace.env["TLC_SHAPES"] = f"http://{cdn.host}/misc/{NAME}"
    publish(cdn.folder, "green", "2023-01", 50)
    window = ("--dataset", "green", "--since", "2023-01", "--to", "2023-01", "--marts", "later")
    sync = (AS_TLC, cdn.url, "sync", "--source", cdn.url, *window)
    told = succeeded(workspace.python(*sync))
    assert "TLC's zone shapes  warning: " in told.stderr
    assert "403 Forbidden" in told.stderr
    assert workspace.query(f"select count(*) from {workspace.tlc}.green_tripdata") == [(50,)]
    write_shapes(cdn.folder / NAME)
    told = succeeded(workspace.python(*sync))
    assert f"{LANDED}7 records of 6 zones" in told.stderr
    landed = f"select count(*), count(distinct sha256) from {workspace.raw}.taxi_zone_shapes"
    assert workspace.query(landed) == [(6, 1)]
    cdn.script(NAME, [status(304)])
    assert "zone shapes" not in succeeded(workspace.python(*sync)).stderr
    assert cdn.asked("GET", NAME)[-1].headers["If-None-Match"]
    assert workspace.query(landed) == [(6, 1)]


@pytest.mark.empty_warehouse
def test_load_gets_the_shapes_and_needs_no_right_to_build(workspace):
    write_shapes(workspace.source / NAME)
    publish(workspace.source, "yellow", "2009-01", 400)
    load(workspace, "yellow", "2009-01", TLC_SHAPES=str(workspace.source))
    landed = workspace.query(
        "select pickup_location_id_by_coordinates, dropoff_location_id_by_coordinates"
        f" from {workspace.raw}.yellow_tripdata order by _file_row"
    )
    assert landed == zones_in(workspace.source, "2009-01", merged())
    assert workspace.query("select to_regnamespace(%s)", workspace.tlc) == [(None,)]


@pytest.mark.empty_warehouse
def test_a_seed_of_an_earlier_version_gets_its_new_column_and_keeps_its_views(workspace):
    table = f"{workspace.tlc}.taxi_zones"
    workspace.query(f"create schema {workspace.tlc}")
    workspace.query(
        f"create table {table} (location_id integer, borough text, zone_name text,"
        " service_zone text)"
    )
    workspace.query(f"create view {workspace.tlc}.mine as select * from {table}")
    for _ in range(2):
        succeeded(workspace.dbt("seed", "--select", "taxi_zones"))
        assert workspace.query(f"select count(*) from {workspace.tlc}.mine") == [(265,)]
        counted = f"select count(*) filter (where is_in_cbd), count(is_in_cbd) from {table}"
        assert workspace.query(counted) == [(38, 265)]
