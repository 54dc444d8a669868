"""The generated month files have TLC's types and TLC's quirks."""

import datetime as dt
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from loader.errors import UsageError
from loader.sample import schema_of, write, write_month
from loader.sample.__main__ import main
from loader.sample.layouts import Layout
from loader.sample.metered import PARTS

PROJECT_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = Path(os.environ.get("TLC_TEST_DATA") or PROJECT_DIR.parent / "shared" / "data")
REAL_FILES = sorted(DATA_DIR.glob("trip-data/green_*")) + sorted(
    DATA_DIR.glob("trip-data/yellow_*")
)

ROWS = 20_000
MONTHS = [
    ("green", dt.date(2014, 1, 1)),
    ("green", dt.date(2023, 1, 1)),
    ("green", dt.date(2023, 2, 1)),
    ("green", dt.date(2026, 6, 1)),
    ("yellow", dt.date(2018, 6, 1)),
    ("yellow", dt.date(2019, 1, 1)),
    ("yellow", dt.date(2025, 6, 1)),
]

GREEN_2023_01 = """
    VendorID int64, lpep_pickup_datetime timestamp[us], lpep_dropoff_datetime timestamp[us],
    store_and_fwd_flag string, RatecodeID double, PULocationID int64, DOLocationID int64,
    passenger_count double, trip_distance double, fare_amount double, extra double,
    mta_tax double, tip_amount double, tolls_amount double, ehail_fee null,
    improvement_surcharge double, total_amount double, payment_type double, trip_type double,
    congestion_surcharge double"""
GREEN_2023_02 = """
    VendorID int32, lpep_pickup_datetime timestamp[us], lpep_dropoff_datetime timestamp[us],
    store_and_fwd_flag large_string, RatecodeID int64, PULocationID int32, DOLocationID int32,
    passenger_count int64, trip_distance double, fare_amount double, extra double,
    mta_tax double, tip_amount double, tolls_amount double, ehail_fee double,
    improvement_surcharge double, total_amount double, payment_type int64, trip_type int64,
    congestion_surcharge double"""
YELLOW_2018_06 = """
    VendorID int64, tpep_pickup_datetime timestamp[us], tpep_dropoff_datetime timestamp[us],
    passenger_count int64, trip_distance double, RatecodeID int64, store_and_fwd_flag string,
    PULocationID int64, DOLocationID int64, payment_type int64, fare_amount double, extra double,
    mta_tax double, tip_amount double, tolls_amount double, improvement_surcharge double,
    total_amount double, congestion_surcharge null, airport_fee null"""
YELLOW_2018_07 = YELLOW_2018_06.replace("passenger_count int64", "passenger_count double").replace(
    "RatecodeID int64", "RatecodeID double"
)
YELLOW_2023_01 = YELLOW_2018_07.replace(
    "congestion_surcharge null, airport_fee null",
    "congestion_surcharge double, airport_fee double",
)
YELLOW_2023_02 = """
    VendorID int32, tpep_pickup_datetime timestamp[us], tpep_dropoff_datetime timestamp[us],
    passenger_count int64, trip_distance double, RatecodeID int64,
    store_and_fwd_flag large_string, PULocationID int32, DOLocationID int32, payment_type int64,
    fare_amount double, extra double, mta_tax double, tip_amount double, tolls_amount double,
    improvement_surcharge double, total_amount double, congestion_surcharge double,
    Airport_fee double"""
CBD = ", cbd_congestion_fee double"
SOURCE = ", request_source string"

SCHEMAS = {
    ("green", 2019, 8): GREEN_2023_01.replace("ehail_fee null", "ehail_fee double"),
    ("green", 2019, 9): GREEN_2023_01,
    ("green", 2023, 1): GREEN_2023_01,
    ("green", 2023, 2): GREEN_2023_02,
    ("green", 2024, 12): GREEN_2023_02,
    ("green", 2025, 1): GREEN_2023_02 + CBD,
    ("green", 2026, 5): GREEN_2023_02 + CBD,
    ("green", 2026, 6): GREEN_2023_02 + CBD + SOURCE,
    ("yellow", 2018, 6): YELLOW_2018_06,
    ("yellow", 2018, 7): YELLOW_2018_07,
    ("yellow", 2023, 1): YELLOW_2023_01,
    ("yellow", 2023, 2): YELLOW_2023_02,
    ("yellow", 2024, 12): YELLOW_2023_02,
    ("yellow", 2025, 1): YELLOW_2023_02 + CBD,
    ("yellow", 2026, 6): YELLOW_2023_02 + CBD + SOURCE,
}


def make(folder: Path, dataset: str, month: dt.date, rows: int = ROWS, seed: int = 0) -> pa.Table:
    path = folder / f"{dataset}-{month}-{rows}-{seed}.parquet"
    write_month(path, dataset, month, rows, seed)
    return pq.read_table(path)


@pytest.fixture(scope="module", params=MONTHS, ids=lambda m: f"{m[0]}-{m[1]:%Y-%m}")
def sampled(request, tmp_path_factory) -> tuple[str, dt.date, pa.Table]:
    """A month with columns named the same for both datasets and all months."""
    dataset, month = request.param
    table = make(tmp_path_factory.mktemp("sample"), dataset, month)
    names = [n.lower().removeprefix("lpep_").removeprefix("tpep_") for n in table.column_names]
    return dataset, month, table.rename_columns(names)


def count(mask) -> int:
    return pc.sum(mask).as_py() or 0


def groups(table: pa.Table, keys: list[str]) -> pa.Table:
    """Count the rows of each key that has more than one."""
    sizes = table.group_by(keys).aggregate([([], "count_all")])
    return sizes.filter(pc.greater(sizes["count_all"], 1))


TRIP = [
    "vendorid",
    "pickup_datetime",
    "dropoff_datetime",
    "pulocationid",
    "dolocationid",
    "trip_distance",
]


@pytest.mark.parametrize("key", SCHEMAS, ids=lambda k: f"{k[0]}-{k[1]}-{k[2]:02d}")
def test_schema_of_breaking_months(tmp_path, key):
    dataset, year, month = key
    schema = make(tmp_path, dataset, dt.date(year, month, 1), rows=10).schema
    expected = [column.strip() for column in SCHEMAS[key].split(",")]
    assert [f"{field.name} {field.type}" for field in schema] == expected


# An empty list of parameters would be reported as a skipped test: loop instead.
def test_schema_of_real_files():
    for path in REAL_FILES:
        dataset, _, month = path.stem.split("_")
        expected = pq.read_schema(path).remove_metadata()
        made = schema_of(dataset, dt.date.fromisoformat(f"{month}-01"))
        assert made.equals(expected), path.name


@pytest.mark.parametrize(
    ("month", "codec"), [(dt.date(2023, 1, 1), "GZIP"), (dt.date(2023, 2, 1), "ZSTD")]
)
def test_one_row_group_with_the_codec_of_the_month(tmp_path, month, codec):
    write_month(tmp_path / "file", "green", month, 3_000)
    metadata = pq.read_metadata(tmp_path / "file")
    assert metadata.num_row_groups == 1
    assert metadata.row_group(0).column(0).compression == codec


@pytest.mark.parametrize("rows", [0, 1, 2, 999, 1_001])
def test_exact_number_of_rows(tmp_path, rows):
    assert make(tmp_path, "yellow", dt.date(2023, 2, 1), rows).num_rows == rows


def test_big_months_come_in_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "ROW_GROUP", 1_000)
    table = make(tmp_path, "green", dt.date(2023, 1, 1), 2_500)
    metadata = pq.read_metadata(next(tmp_path.iterdir()))
    assert [metadata.row_group(n).num_rows for n in range(3)] == [1_000, 1_000, 500]
    assert table.num_rows == 2_500
    assert groups(table, table.column_names).num_rows == 0
    inside = table["lpep_pickup_datetime"].slice(2_400, 90)
    assert pc.min(inside).as_py() >= dt.datetime(2023, 1, 30)


def test_same_arguments_give_the_same_values(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        write_month(path, "green", dt.date(2023, 1, 1), 3_000, seed=7)
    assert pq.read_table(first).equals(pq.read_table(second))


def test_values_are_the_same_on_every_machine(tmp_path):
    table = make(tmp_path, "green", dt.date(2023, 1, 1), 1_000)
    assert table["PULocationID"].slice(0, 8).to_pylist() == [82, 106, 87, 74, 80, 75, 227, 52]


@pytest.mark.parametrize(
    ("dataset", "month", "seed"),
    [
        ("green", dt.date(2023, 1, 1), 1),
        ("green", dt.date(2022, 12, 1), 0),
        ("yellow", dt.date(2023, 1, 1), 0),
    ],
)
def test_other_arguments_give_other_values(tmp_path, dataset, month, seed):
    reference = make(tmp_path, "green", dt.date(2023, 1, 1), 2_000)
    other = make(tmp_path, dataset, month, 2_000, seed)
    for column in ("PULocationID", "trip_distance", "fare_amount", "tip_amount"):
        same = count(pc.equal(reference[column], other[column]))
        assert same < 1_500, column


def test_no_row_is_doubled(sampled):
    _, _, table = sampled
    assert groups(table, table.column_names).num_rows == 0


def test_repeated_keys_are_a_metered_row_and_a_null_block(sampled):
    _, _, table = sampled
    key = [*TRIP, "fare_amount"]
    repeated = groups(table, key)
    assert repeated["count_all"].to_pylist() == [2]  # one pair in 20,000 rows
    pair = table.select([*key, "passenger_count"]).join(repeated, key, join_type="inner")
    assert sorted(pair["passenger_count"].is_null().to_pylist()) == [False, True]


@pytest.mark.parametrize(("rows", "repeated"), [(999, 0), (1_000, 1), (41_000, 3)])
def test_repeated_keys_grow_with_the_rows(tmp_path, rows, repeated):
    table = make(tmp_path, "yellow", dt.date(2019, 1, 1), rows)
    key = ["VendorID", "tpep_pickup_datetime", "tpep_dropoff_datetime", "PULocationID"]
    pairs = groups(table, [*key, "DOLocationID", "fare_amount", "trip_distance"])
    assert pairs.num_rows == repeated


def test_negative_fares_are_reversals(sampled):
    dataset, month, table = sampled
    negative = table.filter(pc.less(table["fare_amount"], 0))
    expected = 0.003 if dataset == "green" else {2018: 0.001, 2019: 0.001, 2025: 0.04}[month.year]
    assert expected / 3 < negative.num_rows / ROWS < expected * 2
    amounts = ["fare_amount", "tip_amount", "total_amount"]
    shared = [*TRIP, "passenger_count", "ratecodeid"]
    charges = set(zip(*(table[name].to_pylist() for name in shared + amounts), strict=True))
    for row in negative.select(shared + amounts).to_pylist():
        twin = tuple(row[name] for name in shared) + tuple(-row[name] for name in amounts)
        assert twin in charges
    assert negative["passenger_count"].null_count == 0
    assert set(negative["payment_type"].to_pylist()) == {3}


def test_null_block(sampled):
    dataset, _, table = sampled
    block = table["passenger_count"].is_null()
    low, high = (0.05, 0.07) if dataset == "green" else (0.04, 0.06)
    assert low < count(block) / ROWS < high
    others = {"ratecodeid", "store_and_fwd_flag", "congestion_surcharge", "airport_fee"}
    if dataset == "green":
        others |= {"trip_type", "payment_type"}
    for name in others.intersection(table.column_names):
        if not pa.types.is_null(table[name].type):
            assert table[name].is_null().equals(block), name
    if dataset == "yellow":
        assert pc.equal(table["payment_type"], 0).equals(block)


def test_pickups_are_in_the_month_but_for_strays(sampled):
    _, month, table = sampled
    pickups = table["pickup_datetime"]
    end = dt.date(month.year + month.month // 12, month.month % 12 + 1, 1)
    midnight = dt.time()
    inside = pc.and_(
        pc.greater_equal(pickups, dt.datetime.combine(month, midnight)),
        pc.less(pickups, dt.datetime.combine(end, midnight)),
    )
    strays = pickups.filter(pc.invert(inside)).to_pylist()
    assert len(strays) == 7  # one in 3,000 rows
    assert {dt.date(2008, 12, 31), dt.date(2009, 1, 1)} < {stray.date() for stray in strays}
    days = {pickup.day for pickup in pickups.filter(inside).to_pylist()}
    assert days == set(range(1, (end - month).days + 1))
    assert count(pc.not_equal(pc.microsecond(pickups), 0)) == 0


def test_dropoffs_follow_pickups_but_for_a_few(sampled):
    _, _, table = sampled
    assert count(pc.less(table["dropoff_datetime"], table["pickup_datetime"])) == 4
    minutes = pc.minutes_between(table["pickup_datetime"], table["dropoff_datetime"])
    assert 5 < pc.approximate_median(minutes).as_py() < 20


def test_distances(sampled):
    _, _, table = sampled
    assert 13 <= count(pc.greater(table["trip_distance"], 1_000)) <= 15  # a twin may copy one
    assert 1 < pc.approximate_median(table["trip_distance"]).as_py() < 4


def test_zones(sampled):
    _, _, table = sampled
    for name, low, high in (("pulocationid", 0.001, 0.006), ("dolocationid", 0.005, 0.015)):
        zones = table[name]
        assert set(zones.unique().to_pylist()) == set(range(1, 266))
        assert low < count(pc.greater_equal(zones, 264)) / ROWS < high


def test_codes(sampled):
    _, month, table = sampled
    vendors = {1, 2}
    if month >= dt.date(2020, 4, 1):
        vendors |= {6}
    if month >= dt.date(2025, 2, 1):
        vendors |= {7}
    assert set(table["vendorid"].unique().to_pylist()) == vendors
    assert {1, 2, 3, 4, 5, 6, 99} >= set(table["ratecodeid"].drop_null().unique().to_pylist())
    assert count(pc.equal(table["ratecodeid"], 99)) >= 2
    assert set(table["store_and_fwd_flag"].drop_null().unique().to_pylist()) == {"Y", "N"}


def test_amounts_are_cents_and_add_up_to_the_total(sampled):
    _, _, table = sampled
    parts = [name for name in PARTS if name in table.column_names]
    metered = table.filter(table["passenger_count"].is_valid())
    columns = [
        metered[name] for name in parts if not pa.types.is_null(metered.schema.field(name).type)
    ]
    total = columns[0]
    for column in columns[1:]:
        total = pc.add(total, column)
    off = pc.greater(pc.abs(pc.subtract(metered["total_amount"], total)), 0.001)
    assert 0 < count(off) / ROWS < 0.005
    cents = pc.round(table["total_amount"], 2)
    assert cents.equals(table["total_amount"])
    assert count(pc.not_equal(pc.floor(table["fare_amount"]), table["fare_amount"])) > ROWS / 2
    assert 5 < pc.mean(table["total_amount"]).as_py() < 50


def test_refuses_months_before_the_first(tmp_path):
    with pytest.raises(UsageError, match="2011-01"):
        write_month(tmp_path / "file", "yellow", dt.date(2010, 12, 1), 10)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(Layout, "table", fail)
    with pytest.raises(RuntimeError):
        write_month(tmp_path / "file", "green", dt.date(2023, 1, 1), 10)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(main)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


def test_command_writes_months(run, tmp_path):
    folder = tmp_path / "new"
    result = run(
        "--dataset", "green", "--month", "2022-12", "--to", "2023-02", "--rows", 50, folder
    )
    assert result.exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "green_tripdata_2022-12.parquet",
        "green_tripdata_2023-01.parquet",
        "green_tripdata_2023-02.parquet",
    ]
    assert all(pq.read_metadata(path).num_rows == 50 for path in folder.iterdir())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--dataset", "red", "--month", "2023-01"], "green"),
        (["--dataset", "green", "--month", "2023-13"], "YYYY-MM"),
        (["--dataset", "green", "--month", "2023-02", "--to", "2023-01"], "before"),
        (["--dataset", "yellow", "--month", "2009-01"], "2011-01"),
    ],
)
def test_command_tells_mistakes_in_one_line(run, tmp_path, options, complaint):
    result = run(*options, tmp_path)
    assert result.exit_code == UsageError.exit_code
    assert result.stderr.count("\n") == 1
    assert complaint in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_teaches(run):
    text = run("--help").stdout
    assert "python -m loader.sample --dataset green" in " ".join(text.split())
