"""The dlt source by itself: months into DuckDB, as a user of dlt would load them."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.settings import PROJECT_DIR
from tests.conftest import publish
from tests.exact import expected
from tests.processes import ran
from tests.shapes import NAME, merged, write_shapes, zones_by_shapely

#: What a user writes, in a folder of their own.
SCRIPT = """
import sys
import dlt
from loader.landing.tlc_trips import tlc_trips

pipeline = dlt.pipeline(
    "trips",
    destination=dlt.destinations.duckdb("trips.duckdb"),
    dataset_name="tlc_raw",
    pipelines_dir="pipelines",
)
pipeline.run(tlc_trips(sys.argv[1], months=sys.argv[2:]))
"""


class User:
    """Somebody with a folder, and another with month files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.source = folder / "source"
        self.folder.mkdir()
        self.source.mkdir()

    def load(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"TLC_SOURCE": str(self.source), "TLC_SHAPES": str(self.source)}
        env["TLC_LOCAL_DIR"] = str(self.folder / "local")
        env |= {"PYTHONPATH": str(PROJECT_DIR), "PATH": "/usr/bin:/bin"}
        return ran(sys.executable, "-c", SCRIPT, *arguments, cwd=self.folder, env=env)

    def rows(self, dataset: str, month: str, *columns: str) -> pa.Table:
        with duckdb.connect(str(self.folder / "trips.duckdb"), read_only=True) as database:
            return database.execute(
                f"select {', '.join(columns)} from tlc_raw.{dataset}_tripdata"
                f" where _file_month = '{month}-01' order by _file_row"
            ).to_arrow_table()


@pytest.fixture
def user(tmp_path) -> User:
    return User(tmp_path)


def assert_loaded(user: User, path: Path, dataset: str, month: str) -> None:
    file = expected(path, dataset)
    stored = user.rows(dataset, month, *file.column_names)
    assert stored.cast(file.schema).equals(file.combine_chunks())
    # Wall clock: naive in the warehouse, too.
    assert stored.schema.field("pickup_datetime").type.tz is None


@pytest.mark.parametrize("dataset", ["green", pytest.param("yellow", marks=pytest.mark.slow)])
def test_months_land_conformed_and_once_each(user, dataset):
    paths = {month: publish(user.source, dataset, month, 3_000) for month in ("2019-01", "2023-02")}
    for _ in range(2):
        process = user.load(dataset, *paths)
        assert process.returncode == 0, process.stderr
        for month, path in paths.items():
            assert_loaded(user, path, dataset, month)


@pytest.mark.slow
def test_coordinates_come_with_their_zones_if_the_shapes_can_be_had(user):
    path = publish(user.source, "yellow", "2009-01", 2_000)
    file, zone = pq.read_table(path), "pickup_location_id_by_coordinates"
    places = file["Start_Lon"].to_numpy(), file["Start_Lat"].to_numpy()
    process = user.load("yellow", "2009-01")
    assert "can't read" in process.stderr
    assert "trips with coordinates come without zones" in process.stderr
    assert_loaded(user, path, "yellow", "2009-01")
    write_shapes(user.source / NAME)
    assert user.load("yellow", "2009-01").returncode == 0
    found = user.rows("yellow", "2009-01", zone)[zone].to_pylist()
    assert found == zones_by_shapely(merged(), *places)


@pytest.mark.slow
def test_a_republished_month_is_replaced_and_the_others_stay(user):
    january = publish(user.source, "green", "2023-01", 2_000)
    publish(user.source, "green", "2023-02", 2_000)
    assert user.load("green", "2023-01", "2023-02").returncode == 0
    february = publish(user.source, "green", "2023-02", 1_500, seed=1)
    # A column that the contract doesn't know lands as text.
    table = pq.read_table(february)
    pq.write_table(table.append_column("Surprise", pa.array(range(len(table)))), february)
    assert user.load("green", "2023-02").returncode == 0
    assert_loaded(user, january, "green", "2023-01")
    values = user.rows("green", "2023-02", "surprise", "_file_row").to_pydict()
    assert values["surprise"] == [str(number) for number in range(1_500)]
    assert values["_file_row"] == list(range(1, 1_501))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gren", "2023-01"), "unknown dataset 'gren': choose from"),
        (("green", "2023-1"), "'2023-1' is not a month"),
        (("green", "1999-01"), "the first month that can be loaded is 2014-01"),
        (("green", "2023-01"), "is not at"),
    ],
)
def test_what_cant_be_loaded_is_said(user, arguments, message):
    process = user.load(*arguments)
    assert process.returncode == 1
    assert message in process.stderr
