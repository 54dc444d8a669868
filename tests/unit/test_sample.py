"""The generated month files have TLC's types and TLC's quirks."""

import csv
import datetime as dt
import gzip
import math
import os
import re
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
from loader.sample.datasets import DATASETS
from loader.sample.layouts import Layout
from loader.sample.metered import PARTS
from loader.sample.row_group import RowGroup

PROJECT_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = Path(os.environ.get("TLC_TEST_DATA") or PROJECT_DIR.parent / "shared" / "data")
REAL_FILES = [
    path
    for folder in ("trip-data", "csv-mirror", "old-yellow")
    for path in sorted((DATA_DIR / folder).glob("*.parquet"))
]
PUBLISHED = DATA_DIR / "facts" / "tlc_file_metadata_2009-2024.csv"

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
YELLOW_2009_01 = """
    vendor_name string, Trip_Pickup_DateTime string, Trip_Dropoff_DateTime string,
    Passenger_Count int64, Trip_Distance double, Start_Lon double, Start_Lat double,
    Rate_Code double, store_and_forward double, End_Lon double, End_Lat double,
    Payment_Type string, Fare_Amt double, surcharge double, mta_tax double, Tip_Amt double,
    Tolls_Amt double, Total_Amt double"""
YELLOW_2010_01 = """
    vendor_id string, pickup_datetime string, dropoff_datetime string, passenger_count int64,
    trip_distance double, pickup_longitude double, pickup_latitude double, rate_code string,
    store_and_fwd_flag string, dropoff_longitude double, dropoff_latitude double,
    payment_type string, fare_amount double, surcharge double, mta_tax double,
    tip_amount double, tolls_amount double, total_amount double"""
YELLOW_2010_02 = (
    YELLOW_2010_01.replace("rate_code string", "rate_code int64") + ", __index_level_0__ int64"
)
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
FHV_2015_01 = """
    dispatching_base_num string, pickup_datetime timestamp[us], dropOff_datetime timestamp[us],
    PUlocationID double, DOlocationID double, SR_Flag null, Affiliated_base_number string"""
FHV_2017_05 = FHV_2015_01.replace("SR_Flag null", "SR_Flag double")
FHV_2019_05 = FHV_2015_01.replace("locationID double", "locationID int64")
FHV_2020_07 = FHV_2015_01.replace("DOlocationID double", "DOlocationID int64")
FHV_2023_02 = FHV_2019_05.replace("SR_Flag null", "SR_Flag int64").replace("string", "large_string")
FHVHV_2019_02 = """
    hvfhs_license_num string, dispatching_base_num string, originating_base_num string,
    request_datetime timestamp[us], on_scene_datetime timestamp[us],
    pickup_datetime timestamp[us], dropoff_datetime timestamp[us], PULocationID int64,
    DOLocationID int64, trip_miles double, trip_time int64, base_passenger_fare double,
    tolls double, bcf double, sales_tax double, congestion_surcharge double, airport_fee null,
    tips double, driver_pay double, shared_request_flag string, shared_match_flag string,
    access_a_ride_flag string, wav_request_flag string, wav_match_flag null"""
FHVHV_2019_04 = FHVHV_2019_02.replace("wav_match_flag null", "wav_match_flag string")
FHVHV_2019_07 = FHVHV_2019_04.replace("airport_fee null", "airport_fee double")
FHVHV_2023_02 = (
    FHVHV_2019_07.replace("string", "large_string")
    .replace("PULocationID int64", "PULocationID int32")
    .replace("DOLocationID int64", "DOLocationID int32")
)
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
    ("yellow", 2009, 1): YELLOW_2009_01,
    ("yellow", 2009, 12): YELLOW_2009_01,
    ("yellow", 2010, 1): YELLOW_2010_01,
    ("yellow", 2010, 2): YELLOW_2010_02,
    ("yellow", 2010, 3): YELLOW_2010_02,
    ("yellow", 2010, 4): YELLOW_2010_01,
    ("yellow", 2010, 12): YELLOW_2010_01,
    ("yellow", 2011, 1): YELLOW_2018_06,
    ("yellow", 2018, 6): YELLOW_2018_06,
    ("yellow", 2018, 7): YELLOW_2018_07,
    ("yellow", 2023, 1): YELLOW_2023_01,
    ("yellow", 2023, 2): YELLOW_2023_02,
    ("yellow", 2024, 12): YELLOW_2023_02,
    ("yellow", 2025, 1): YELLOW_2023_02 + CBD,
    ("yellow", 2026, 6): YELLOW_2023_02 + CBD + SOURCE,
    ("fhv", 2015, 1): FHV_2015_01,
    ("fhv", 2017, 5): FHV_2017_05,
    ("fhv", 2019, 2): FHV_2017_05,
    ("fhv", 2019, 3): FHV_2015_01,
    ("fhv", 2019, 5): FHV_2019_05,
    ("fhv", 2019, 7): FHV_2015_01,
    ("fhv", 2020, 7): FHV_2020_07,
    ("fhv", 2020, 8): FHV_2015_01,
    ("fhv", 2023, 1): FHV_2015_01,
    ("fhv", 2023, 2): FHV_2023_02,
    ("fhvhv", 2019, 2): FHVHV_2019_02,
    ("fhvhv", 2019, 6): FHVHV_2019_04,
    ("fhvhv", 2019, 7): FHVHV_2019_07,
    ("fhvhv", 2020, 4): FHVHV_2019_04,
    ("fhvhv", 2020, 5): FHVHV_2019_07,
    ("fhvhv", 2020, 10): FHVHV_2019_04,
    ("fhvhv", 2020, 11): FHVHV_2019_07,
    ("fhvhv", 2023, 2): FHVHV_2023_02,
    ("fhvhv", 2025, 1): FHVHV_2023_02 + CBD,
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


def test_headers_of_all_published_files():
    files = []
    if PUBLISHED.exists():
        with PUBLISHED.open() as facts:
            files = list(csv.DictReader(facts))
    for file in files:
        month = dt.date(int(file["file_year"]), int(file["file_month"]), 1)
        headers = file["file_column_names"].split(",")
        assert schema_of(file["file_record_type"], month).names == headers, file["file_name"]


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


@pytest.mark.parametrize("dataset", DATASETS)
def test_row_groups_are_independent(tmp_path, monkeypatch, dataset):
    monkeypatch.setattr(write, "ROW_GROUP", 1_000)
    month = dt.date(2020, 1, 1)
    write_month(tmp_path / "file", dataset, month, 2_500)
    in_file = pq.ParquetFile(tmp_path / "file").read_row_group(1)
    group = RowGroup(dataset, month, seed=0, month_rows=2_500, numbers=range(1_000, 2_000))
    assert DATASETS[dataset].layout(month).table(group).equals(in_file)


@pytest.mark.parametrize("dataset", DATASETS)
def test_same_arguments_give_the_same_values(tmp_path, dataset):
    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        write_month(path, dataset, dt.date(2023, 1, 1), 3_000, seed=7)
    assert pq.read_table(first).equals(pq.read_table(second))


@pytest.mark.parametrize(
    ("dataset", "column", "zones"),
    [
        ("green", "PULocationID", [82, 106, 87, 74, 80, 75, 227, 52]),
        ("fhv", "DOlocationID", [None, 254, 76, 69, 69, 264, 254, 254]),
        ("fhvhv", "PULocationID", [63, 35, 61, 170, 62, 42, 135, 89]),
    ],
)
def test_values_are_the_same_on_every_machine(tmp_path, dataset, column, zones):
    table = make(tmp_path, dataset, dt.date(2023, 1, 1), 1_000)
    assert table[column].slice(0, 8).to_pylist() == zones


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


# ---- fhv ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(2016, 5), (2018, 12), (2019, 6), (2020, 4), (2023, 2)])
def fhv(request, tmp_path_factory) -> tuple[dt.date, pa.Table]:
    month = dt.date(*request.param, 1)
    table = make(tmp_path_factory.mktemp("sample"), "fhv", month)
    return month, table.rename_columns([name.lower() for name in table.column_names])


def share(mask) -> float:
    """Share of true values; NULL counts as false."""
    return count(mask) / len(mask)


def close(real: float) -> object:
    """What a share of 20,000 rows may be when the real one is known from 1,000 at least."""
    return pytest.approx(real, rel=0.25, abs=0.003)


def test_fhv_base_numbers_are_written_in_several_ways(fhv):
    _, table = fhv
    dispatching, affiliated = table["dispatching_base_num"], table["affiliated_base_number"]
    padded = pc.match_substring_regex(dispatching, r"^B[0-9]{5} {9}$")
    assert share(padded) == close(0.013)
    assert pc.match_substring(affiliated, " " * 9).fill_null(False).equals(padded)
    for column in (dispatching, affiliated):
        assert share(pc.starts_with(column, "b")) == close(0.001)
    assert share(pc.match_substring(affiliated, " - ")) == close(0.001)
    plain = pc.match_substring_regex(pc.utf8_upper(pc.utf8_trim(dispatching, " ")), "^B[0-9]{5}$")
    assert share(plain) == 1


def test_fhv_affiliated_bases(fhv):
    month, table = fhv
    dispatching, affiliated = table["dispatching_base_num"], table["affiliated_base_number"]
    assert share(affiliated.is_null()) == close(0.006 if month.year >= 2017 else 0)
    elsewhere = share(pc.not_equal(dispatching, affiliated))
    assert elsewhere == close(0.73 if month.year == 2019 else 0.325)


def test_fhv_repeats_rows(fhv):
    month, table = fhv
    distinct = table.group_by(table.column_names).aggregate([]).num_rows
    assert 1 - distinct / ROWS == close(0.3 if month.year < 2019 else 0.002)


def test_fhv_lists_a_trip_for_many_bases(fhv):
    month, table = fhv
    trip = [name for name in table.column_names if name != "affiliated_base_number"]
    many = table.slice(500, 39)
    assert many.select(trip).group_by(trip).aggregate([]).num_rows == 1
    assert len(many["affiliated_base_number"].unique()) == 39
    distinct = table.select(trip).group_by(trip).aggregate([]).num_rows
    assert 1 - distinct / ROWS == close(
        {2016: 0.3, 2018: 0.3, 2019: 0.6, 2020: 0.022, 2023: 0.022}[month.year]
    )


def test_fhv_zones(fhv):
    month, table = fhv
    pickup, dropoff = table["pulocationid"], table["dolocationid"]
    integers = month == dt.date(2019, 6, 1)
    no_pickup = 0 if integers else 0.2922 if month.year < 2019 else 0.321
    no_dropoff = 0 if integers else 0.985 if month.year < 2017 else 0.055
    assert share(pickup.is_null()) == close(no_pickup)
    assert share(dropoff.is_null()) == close(no_dropoff)
    assert share(pc.equal(pickup, 264)) == close(
        0.843 if integers else 0.522 if month.year > 2018 else 0.003
    )
    known = pickup.drop_null().unique().to_pylist()
    assert set(known) <= set(range(1, 266))
    assert len(known) > 200


def test_fhv_times(fhv):
    month, table = fhv
    pickup, dropoff = table["pickup_datetime"], table["dropoff_datetime"]
    assert {(pickup.year, pickup.month) for pickup in pickup.to_pylist()} == {
        (month.year, month.month)
    }
    assert share(dropoff.is_null()) == close(0.05 if month.year < 2017 else 0)
    ahead = dropoff.filter(pc.greater(pc.year(dropoff), 2500)).to_pylist()
    assert [time.year - month.year for time in ahead] == [1_000]
    assert share(pc.less(dropoff, pickup)) == 0


def test_fhv_shared_flag(fhv):
    month, table = fhv
    flags = table["sr_flag"]
    assert set(flags.drop_null().to_pylist()) <= {1}
    expected = {(2018, 12): 0.25, (2023, 2): 0.01}.get((month.year, month.month), 0)
    assert share(flags.is_valid()) == close(expected)


# ---- fhvhv --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(2019, 2), (2020, 4), (2022, 1), (2025, 1)])
def fhvhv(request, tmp_path_factory) -> tuple[dt.date, pa.Table]:
    month = dt.date(*request.param, 1)
    table = make(tmp_path_factory.mktemp("sample"), "fhvhv", month)
    return month, table.rename_columns([name.lower() for name in table.column_names])


FHVHV_MONEY = [
    *("base_passenger_fare", "tolls", "bcf", "sales_tax", "congestion_surcharge", "tips"),
    *("driver_pay", "airport_fee", "cbd_congestion_fee"),
]


def test_fhvhv_repeats_no_row(fhvhv):
    _, table = fhvhv
    assert groups(table, table.column_names).num_rows == 0


def test_fhvhv_companies_and_bases(fhvhv):
    month, table = fhvhv
    licences = table["hvfhs_license_num"]
    expected = {"HV0003", "HV0005"}
    if month.year < 2022:
        expected |= {"HV0004"}
    if month < dt.date(2019, 12, 1):
        expected |= {"HV0002"}
    assert set(licences.unique().to_pylist()) == expected
    pairs = table.select(["hvfhs_license_num", "dispatching_base_num"])
    pairs = pairs.group_by(pairs.column_names).aggregate([]).to_pylist()
    bases = [pair["dispatching_base_num"] for pair in pairs]
    assert len(set(bases)) == len(bases)  # a base belongs to one company
    assert len(bases) == 2 if month.year >= 2023 else len(bases) >= 28


def test_fhvhv_only_uber_fills_some_columns(fhvhv):
    month, table = fhvhv
    uber = pc.equal(table["hvfhs_license_num"], "HV0003")
    blank = pc.equal(table["access_a_ride_flag"], " ")
    originating, on_scene = table["originating_base_num"], table["on_scene_datetime"]
    if month.year < 2023:
        assert blank.equals(uber)
        assert originating.is_valid().equals(uber)
        assert on_scene.is_valid().equals(uber)
    else:
        assert count(blank) == 0
        wav = pc.equal(table["wav_match_flag"], "Y")
        assert originating.is_valid().equals(pc.or_(uber, wav))
        assert on_scene.null_count == 0
    same = pc.equal(originating, table["dispatching_base_num"])
    assert count(same) == len(table) - originating.null_count
    flags = [name for name in table.column_names if name.endswith("_flag")]
    values = {value for name in flags for value in table[name].unique().to_pylist()}
    assert values - {" ", None} == {"Y", "N"}


def test_fhvhv_times(fhvhv):
    month, table = fhvhv
    request, pickup, dropoff = (
        table[f"{name}_datetime"] for name in ("request", "pickup", "dropoff")
    )
    assert {(time.year, time.month) for time in pickup.to_pylist()} == {(month.year, month.month)}
    assert share(pc.less(pickup, request)) == close(0.012)
    assert share(pc.greater(table["on_scene_datetime"], pickup)) == 0
    assert count(pc.less_equal(dropoff, pickup)) == 1
    off = pc.subtract(table["trip_time"], pc.seconds_between(pickup, dropoff))
    assert share(pc.greater(off, 60)) == close(0.03)
    assert count(pc.not_equal(off, 0)) == count(pc.greater(off, 60))


def test_fhvhv_distances(fhvhv):
    _, table = fhvhv
    miles = table["trip_miles"]
    assert count(pc.greater(miles, 50)) == 1
    assert pc.max(miles).as_py() < 1_432
    two_decimals = pc.equal(pc.round(miles, 2), miles)
    uber = pc.equal(table["hvfhs_license_num"], "HV0003")
    assert count(pc.invert(two_decimals.filter(uber))) < 20  # none but the long ones
    assert share(two_decimals.filter(pc.invert(uber))) == close(0.1)


def test_fhvhv_money(fhvhv):
    _, table = fhvhv
    for name in FHVHV_MONEY:
        if name not in table.column_names or pa.types.is_null(table[name].type):
            continue
        amounts = table[name].to_pylist()
        assert [round(amount, 2) for amount in amounts] == amounts
        minus_zero = [a for a in amounts if a == 0 and math.copysign(1, a) < 0]
        assert minus_zero, name
    fare, pay = table["base_passenger_fare"], table["driver_pay"]
    assert 0 < share(pc.less(fare, 0)) < 0.001
    assert share(pc.less(pay, 0)) <= share(pc.less(fare, 0))
    assert share(pc.equal(fare, 0)) == close(0.01)
    assert 5 < pc.approximate_median(fare).as_py() < 20


def test_fhvhv_zones(fhvhv):
    _, table = fhvhv
    for name, unknown in (("pulocationid", 0.0005), ("dolocationid", 0.02)):
        assert set(table[name].unique().to_pylist()) <= set(range(1, 266))
        assert share(pc.greater_equal(table[name], 264)) == close(unknown)


# ---- yellow of 2009 and 2010 --------------------------------------------------------------------

EARLY_NAMES = [
    *("vendor", "pickup", "dropoff", "passengers", "distance", "pickup_lon", "pickup_lat", "rate"),
    *("flag", "dropoff_lon", "dropoff_lat", "payment", "fare", "surcharge", "mta_tax", "tip"),
    *("tolls", "total"),
]


def early_columns(table: pa.Table) -> pa.Table:
    """Give the columns of both years the same names."""
    table = table.drop_columns([name for name in table.column_names if name.startswith("__")])
    return table.rename_columns(EARLY_NAMES)


@pytest.fixture(
    scope="module", params=[(2009, 1), (2009, 12), (2010, 1), (2010, 2), (2010, 7), (2010, 8)]
)
def early(request, tmp_path_factory) -> tuple[dt.date, pa.Table]:
    month = dt.date(*request.param, 1)
    return month, early_columns(make(tmp_path_factory.mktemp("sample"), "yellow", month))


def test_early_times_are_text_and_whole_minutes_of_one_vendor(early):
    month, table = early
    for name in ("pickup", "dropoff"):
        texts = table[name]
        pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"
        assert share(pc.match_substring_regex(texts, pattern)) == 1
        whole = pc.ends_with(texts, ":00")
        for vendor, minutes in (("VTS", 1), ("CMT", 1 / 60), ("DDS", 1 / 60)):
            of_vendor = whole.filter(pc.equal(table["vendor"], vendor))
            assert share(of_vendor) == pytest.approx(minutes, abs=0.015)
    assert all(text.startswith(f"{month:%Y-%m}") for text in table["pickup"].to_pylist())
    backwards = share(pc.less(table["dropoff"], table["pickup"]))
    assert backwards == close(0.0027 if month.year == 2009 else 0)


def test_early_rows_repeat(early):
    month, table = early
    distinct = table.group_by(EARLY_NAMES).aggregate([]).num_rows
    assert 1 - distinct / ROWS == close(0.0116 if month.year == 2010 else 0)
    key = [name for name in EARLY_NAMES if name != "passengers"]
    keys = table.select(key).group_by(key).aggregate([]).num_rows
    assert (keys < distinct) == (month.year == 2009)


#: From a month on, the payment types of VTS, CMT and DDS.
SPELLINGS = {
    dt.date(2009, 1, 1): ["CASH Credit", "Cash Credit No~Charge Dispute", "CASH CREDIT"],
    dt.date(2010, 1, 1): ["CAS Cre", "Cas Cre No~ Dis", "CAS CRE"],
    dt.date(2010, 2, 1): ["CSH CRD", "CAS CRE NA~ Dis", "CAS CRE"],
    dt.date(2010, 8, 1): ["CSH CRD", "CSH CRD No~ Dis", "CSH CRD"],
}


def test_early_payment_types_are_spelled_by_vendor_and_month(early):
    month, table = early
    expected = SPELLINGS[max(first for first in SPELLINGS if first <= month)]
    for vendor, spelled in zip(("VTS", "CMT", "DDS"), expected, strict=True):
        payments = table["payment"].filter(pc.equal(table["vendor"], vendor))
        found = {text.replace(" ", "~") for text in payments.unique().to_pylist()}
        assert found == set(spelled.split())
    for vendor, real in (("VTS", 0.652), ("CMT", 0.304), ("DDS", 0.044)):
        assert share(pc.equal(table["vendor"], vendor)) == close(real)


def test_early_codes(early):
    month, table = early
    rates = set(table["rate"].unique().to_pylist())
    codes = {0, 1, 2, 3, 4, 5, 33}
    if month.year == 2009:
        assert rates == {None}
    else:
        assert rates == (codes if month == dt.date(2010, 2, 1) else {str(code) for code in codes})
    flags = {
        dt.date(2009, 1, 1): {None},
        dt.date(2009, 12, 1): {None, 0.0, 1.0},
        dt.date(2010, 8, 1): {None, "N", "Y"},
    }.get(month, {None, "0", "1"})
    assert set(table["flag"].unique().to_pylist()) == flags
    assert set(table["vendor"].filter(table["flag"].is_valid()).unique().to_pylist()) <= {"CMT"}
    assert count(pc.equal(table["passengers"], 208)) == 1


def test_early_positions(early):
    month, table = early
    nowhere = pc.equal(table["pickup_lon"], 0)
    assert share(nowhere) == close(0.0113 if month.year == 2009 else 0.0242)
    for end in ("pickup", "dropoff"):
        for axis, low, high in (("lon", -74.06, -73.90), ("lat", 40.68, 40.82)):
            column = table[f"{end}_{axis}"]
            assert pc.equal(column, 0).fill_null(False).equals(nowhere)
            inside = column.filter(pc.invert(nowhere)).drop_null()
            assert low < pc.min(inside).as_py() < pc.max(inside).as_py() < high
            assert pc.round(inside, 6).equals(inside)
    missing = table["dropoff_lon"].is_null()
    assert count(missing) == (1 if month == dt.date(2010, 2, 1) else 0)
    assert table["dropoff_lat"].is_null().equals(missing)


def test_early_amounts(early):
    month, table = early
    taxes = set(table["mta_tax"].unique().to_pylist())
    assert taxes == {
        dt.date(2009, 1, 1): {None},
        dt.date(2009, 12, 1): {0.0, 0.5},
        dt.date(2010, 1, 1): {-1.0, -0.5, 0.0, 0.5},
    }.get(month, {-0.5, 0.0, 0.5})
    total = table["mta_tax"].fill_null(0)
    for part in ("fare", "surcharge", "tip", "tolls"):
        total = pc.add(total, table[part])
    off = pc.greater(pc.abs(pc.subtract(table["total"], total)), 0.001)
    # The total has fifty cents where the tax is minus one.
    assert off.equals(pc.equal(table["mta_tax"], -1).fill_null(False))
    assert (count(pc.less(table["fare"], 0)) > 0) == (month.year == 2010)
    tips = pc.greater(table["tip"], 0)
    cash = pc.match_substring_regex(table["payment"], "^(?i:ca?sh?)$")
    assert count(pc.and_(tips, cash)) == 0
    assert count(tips) > 4_000


def test_early_index_is_the_row_number(tmp_path):
    table = make(tmp_path, "yellow", dt.date(2010, 3, 1), 1_000)
    assert table["__index_level_0__"].to_pylist() == list(range(1_000))


# Without the folder of real files nothing is compared.
def test_early_texts_are_those_of_the_real_months(tmp_path):
    for path in (path for path in REAL_FILES if path.parent.name == "old-yellow"):
        month = dt.date.fromisoformat(f"{path.stem[-7:]}-01")
        real = early_columns(pq.read_table(path))
        made = early_columns(make(tmp_path, "yellow", month))
        for names in (["vendor", "payment"], ["rate"], ["vendor", "flag"], ["mta_tax"]):
            found, possible = (
                {
                    tuple(row.values())
                    for row in t.select(names).group_by(names).aggregate([]).to_pylist()
                }
                for t in (real, made)
            )
            assert found <= possible, path.name


# ---- the made months beside the real ones -------------------------------------------------------


def fhv_shares(table: pa.Table) -> dict[str, float]:
    dispatching, affiliated = table["dispatching_base_num"], table["Affiliated_base_number"]
    return {
        "padded": share(pc.match_substring(dispatching, "  ")),
        "affiliated elsewhere": share(pc.not_equal(dispatching, affiliated)),
        "no affiliated base": share(affiliated.is_null()),
        "no pickup zone": share(table["PUlocationID"].is_null()),
        "unknown pickup zone": share(pc.equal(table["PUlocationID"], 264)),
        "no dropoff zone": share(table["DOlocationID"].is_null()),
        "unknown dropoff zone": share(pc.equal(table["DOlocationID"], 264)),
        "whole minutes": share(pc.equal(pc.second(table["pickup_datetime"]), 0)),
    }


def fhvhv_shares(table: pa.Table) -> dict[str, float]:
    zero = {name: share(pc.equal(table[name], 0)) for name in ("tolls", "tips", "sales_tax")}
    return zero | {
        "Uber": share(pc.equal(table["hvfhs_license_num"], "HV0003")),
        "largest base": share(pc.equal(table["dispatching_base_num"], "B02764")),
        "no originating base": share(table["originating_base_num"].is_null()),
        "blank flag": share(pc.equal(table["access_a_ride_flag"], " ")),
        "accessible": share(pc.equal(table["wav_match_flag"], "Y")),
        "shared": share(pc.equal(table["shared_request_flag"], "Y")),
        "congestion surcharge": share(pc.equal(table["congestion_surcharge"], 2.75)),
        "least pay": share(pc.less(table["driver_pay"], 5)),
    }


# Without the folder of real files nothing is compared.
@pytest.mark.parametrize(("dataset", "shares"), [("fhv", fhv_shares), ("fhvhv", fhvhv_shares)])
def test_shares_are_those_of_the_real_sample(tmp_path, dataset, shares):
    for path in (path for path in REAL_FILES if path.name == f"{dataset}_tripdata_2020-04.parquet"):
        real = shares(pq.read_table(path))
        made = shares(make(tmp_path, dataset, dt.date(2020, 4, 1)))
        assert made == {name: pytest.approx(value, abs=0.035) for name, value in real.items()}


# ---- CSV ----------------------------------------------------------------------------------------


def read_csv(path: Path) -> list[list[str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))


def columns_of(rows: list[list[str]]) -> list[tuple[str, ...]]:
    return list(zip(*rows, strict=True))


def make_csv(folder: Path, dataset: str, month: dt.date, rows: int = 3_000) -> list[list[str]]:
    path = folder / f"{dataset}-{month}-{rows}.csv"
    write_month(path, dataset, month, rows)
    return read_csv(path)


CSV_HEADERS = {
    ("yellow", 2019, 1): """VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,
        trip_distance,RatecodeID,store_and_fwd_flag,PULocationID,DOLocationID,payment_type,
        fare_amount,extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,total_amount,
        congestion_surcharge""",
    ("green", 2021, 7): """VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,
        store_and_fwd_flag,RatecodeID,PULocationID,DOLocationID,passenger_count,trip_distance,
        fare_amount,extra,mta_tax,tip_amount,tolls_amount,ehail_fee,improvement_surcharge,
        total_amount,payment_type,trip_type,congestion_surcharge""",
    ("fhv", 2019, 12): """dispatching_base_num,pickup_datetime,dropOff_datetime,PUlocationID,
        DOlocationID,SR_Flag,Affiliated_base_number""",
    ("fhv", 2020, 1): """dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,
        DOLocationID,SR_Flag,Affiliated_base_number""",
}
CSV_HEADERS["yellow", 2021, 7] = CSV_HEADERS["yellow", 2019, 1]


@pytest.mark.parametrize("key", CSV_HEADERS, ids=lambda k: f"{k[0]}-{k[1]}-{k[2]:02d}")
def test_csv_headers_and_lines(tmp_path, key):
    dataset, year, month = key
    write_month(tmp_path / "file.csv", dataset, dt.date(year, month, 1), 10)
    text = (tmp_path / "file.csv").read_bytes().decode()
    end = "\n" if dataset == "fhv" else "\r\n"
    assert text.count("\n") == 11
    assert text.split(end)[0] == "".join(CSV_HEADERS[key].split())
    assert text.endswith(end)
    assert '"' not in text


def shape(text: str) -> str:
    """Describe how a value is written; of a number, whether it has a whole part, and decimals."""
    number = re.fullmatch(r"-?([0-9]*)(\.[0-9]+)?", text)
    if number is None:
        return re.sub("[0-9]", "9", text)
    whole, decimals = number.groups(default="")
    return ("9" if whole else "") + re.sub("[0-9]", "9", decimals)


# Without the folder of real files nothing is compared.
def test_csv_values_are_written_as_in_the_real_copy(tmp_path):
    for path in (DATA_DIR / "csv-mirror" / "green").glob("green_tripdata_2020-04.csv.gz"):
        header, *real = read_csv(path)
        made_header, *made = make_csv(tmp_path, "green", dt.date(2020, 4, 1), ROWS)
        assert made_header == header
        columns = zip(header, columns_of(real), columns_of(made), strict=True)
        for name, theirs, ours in columns:
            assert set(map(shape, set(ours))) <= set(map(shape, set(theirs))), name
    for path in (DATA_DIR / "csv-mirror" / "fhv").glob("fhv_tripdata_2019-01.*.csv"):
        real = path.read_bytes()
        write_month(tmp_path / "fhv.csv", "fhv", dt.date(2019, 1, 1), 10)
        made = (tmp_path / "fhv.csv").read_bytes()
        assert made.splitlines(keepends=True)[0] == real.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    ("dataset", "month"),
    [
        ("yellow", dt.date(2019, 7, 1)),
        ("green", dt.date(2020, 4, 1)),
        ("fhv", dt.date(2019, 6, 1)),
        ("fhv", dt.date(2020, 7, 1)),
    ],
)
def test_csv_has_the_trips_of_the_parquet_file(tmp_path, dataset, month):
    parquet = make(tmp_path, dataset, month, 3_000)
    header, *rows = make_csv(tmp_path, dataset, month)
    texts = {name.lower(): column for name, column in zip(header, columns_of(rows), strict=True)}
    changed = {"vendorid", "payment_type", "congestion_surcharge"}
    for name, column in zip(parquet.column_names, parquet.columns, strict=True):
        if name.lower() in changed or name == "airport_fee":
            continue
        read = {
            "timestamp[us]": dt.datetime.fromisoformat,
            "double": float,
            "int64": int,
            "null": str,
            "string": str,
        }[str(column.type)]
        values = [read(text) if text else None for text in texts[name.lower()]]
        assert values == column.to_pylist(), name


@pytest.mark.parametrize("dataset", ["yellow", "green"])
def test_csv_null_block_has_neither_vendor_nor_payment(tmp_path, dataset):
    header, *rows = make_csv(tmp_path, dataset, dt.date(2021, 1, 1))
    trips = [dict(zip(header, row, strict=True)) for row in rows]
    block = [trip for trip in trips if trip["passenger_count"] == ""]
    assert 100 < len(block) < 300
    for trip in trips:
        empty = {name for name, text in trip.items() if text == ""} - {"ehail_fee"}
        expected = {"VendorID", "payment_type", "passenger_count", "RatecodeID"}
        expected |= {"store_and_fwd_flag"}
        if dataset == "green":
            expected |= {"trip_type", "congestion_surcharge"}
        assert empty == (expected if trip["passenger_count"] == "" else set())


@pytest.mark.parametrize(("month", "empty"), [(1, 0.866), (2, 0)])
def test_csv_of_2019_01_lacks_most_congestion_surcharges(tmp_path, month, empty):
    header, *rows = make_csv(tmp_path, "yellow", dt.date(2019, month, 1))
    place = header.index("congestion_surcharge")
    assert sum(row[place] == "" for row in rows) / len(rows) == close(empty)


def test_csv_is_written_in_row_groups_compressed_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "ROW_GROUP", 1_000)
    month = dt.date(2020, 4, 1)
    write_month(tmp_path / "a.csv", "green", month, 2_500)
    write_month(tmp_path / "b.csv.gz", "green", month, 2_500)
    rows = read_csv(tmp_path / "a.csv")
    assert rows == read_csv(tmp_path / "b.csv.gz")
    assert len(rows) == 2_501
    assert [row[0] for row in rows].count("VendorID") == 1
    assert (tmp_path / "b.csv.gz").stat().st_size < (tmp_path / "a.csv").stat().st_size / 2


@pytest.mark.parametrize(
    ("dataset", "month", "complaint"),
    [
        ("fhvhv", dt.date(2021, 6, 1), "no CSV copies"),
        ("green", dt.date(2018, 12, 1), "2019-01 to 2021-07"),
        ("yellow", dt.date(2021, 8, 1), "2019-01 to 2021-07"),
    ],
)
def test_csv_refuses_what_was_never_copied(tmp_path, dataset, month, complaint):
    with pytest.raises(UsageError, match=complaint):
        write_month(tmp_path / "file.csv", dataset, month, 10)
    assert list(tmp_path.iterdir()) == []


# ---- the command, and what is refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "month", "first"),
    [
        ("yellow", dt.date(2008, 12, 1), "2009-01"),
        ("green", dt.date(2013, 12, 1), "2014-01"),
        ("fhv", dt.date(2014, 12, 1), "2015-01"),
        ("fhvhv", dt.date(2019, 1, 1), "2019-02"),
    ],
)
def test_refuses_months_before_the_first(tmp_path, dataset, month, first):
    with pytest.raises(UsageError, match=first):
        schema_of(dataset, month)
    with pytest.raises(UsageError, match=first):
        write_month(tmp_path / "file", dataset, month, 10)
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


def test_command_writes_csv(run, tmp_path):
    options = ["--dataset", "fhv", "--month", "2020-01", "--rows", 50, "--format", "csv"]
    assert run(*options, tmp_path).exit_code == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "fhv_tripdata_2020-01.csv.gz"
    assert len(read_csv(path)) == 51


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--dataset", "red", "--month", "2023-01"], "green"),
        (["--dataset", "green", "--month", "2023-13"], "YYYY-MM"),
        (["--dataset", "green", "--month", "2023-02", "--to", "2023-01"], "before"),
        (["--dataset", "yellow", "--month", "2008-12"], "2009-01"),
        (["--dataset", "fhvhv", "--month", "2021-06", "--format", "csv"], "CSV"),
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
