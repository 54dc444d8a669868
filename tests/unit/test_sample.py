"""The generated month files have TLC's schemas and TLC's quirks: see sample_facts.txt, too."""

import csv
import datetime as dt
import gzip
import hashlib
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from loader.calendar import parse_month
from loader.datasets import get_dataset
from loader.errors import UsageError
from loader.sample import schema_of, write, write_month
from loader.sample.__main__ import main
from tests.conftest import DATA_DIR

ROWS = 20_000
REAL = DATA_DIR or Path("/no/such/folder")
REAL_FILES = [path for path in sorted(REAL.glob("*/*.parquet")) if "republished" not in str(path)]

# ---- Schemas as in TLC's files -------------------------------------------------------------------

TYPES = {"i": "int64", "j": "int32", "d": "double", "s": "string", "S": "large_string"}
TYPES |= {"t": "timestamp[us]", "n": "null"}
GREEN = """VendorID:i lpep_pickup_datetime:t lpep_dropoff_datetime:t store_and_fwd_flag:s
    RatecodeID:d PULocationID:i DOLocationID:i passenger_count:d trip_distance:d fare_amount:d
    extra:d mta_tax:d tip_amount:d tolls_amount:d ehail_fee:d improvement_surcharge:d
    total_amount:d payment_type:d trip_type:d congestion_surcharge:d"""
YELLOW_2009 = """vendor_name:s Trip_Pickup_DateTime:s Trip_Dropoff_DateTime:s Passenger_Count:i
    Trip_Distance:d Start_Lon:d Start_Lat:d Rate_Code:d store_and_forward:d End_Lon:d End_Lat:d
    Payment_Type:s Fare_Amt:d surcharge:d mta_tax:d Tip_Amt:d Tolls_Amt:d Total_Amt:d"""
YELLOW_2010 = """vendor_id:s pickup_datetime:s dropoff_datetime:s passenger_count:i trip_distance:d
    pickup_longitude:d pickup_latitude:d rate_code:s store_and_fwd_flag:s dropoff_longitude:d
    dropoff_latitude:d payment_type:s fare_amount:d surcharge:d mta_tax:d tip_amount:d
    tolls_amount:d total_amount:d"""
YELLOW = """VendorID:i tpep_pickup_datetime:t tpep_dropoff_datetime:t passenger_count:i
    trip_distance:d RatecodeID:i store_and_fwd_flag:s PULocationID:i DOLocationID:i payment_type:i
    fare_amount:d extra:d mta_tax:d tip_amount:d tolls_amount:d improvement_surcharge:d
    total_amount:d congestion_surcharge:n airport_fee:n"""
FHV = """dispatching_base_num:s pickup_datetime:t dropOff_datetime:t PUlocationID:d DOlocationID:d
    SR_Flag:n Affiliated_base_number:s"""
FHVHV = """hvfhs_license_num:s dispatching_base_num:s originating_base_num:s request_datetime:t
    on_scene_datetime:t pickup_datetime:t dropoff_datetime:t PULocationID:i DOLocationID:i
    trip_miles:d trip_time:i base_passenger_fare:d tolls:d bcf:d sales_tax:d congestion_surcharge:d
    airport_fee:n tips:d driver_pay:d shared_request_flag:s shared_match_flag:s
    access_a_ride_flag:s wav_request_flag:s wav_match_flag:n"""
TAXI_2023 = "VendorID:j store_and_fwd_flag:S PULocationID:j DOLocationID:j RatecodeID:i"
GREEN_2023 = f"{TAXI_2023} passenger_count:i payment_type:i trip_type:i"
FLOATS = "passenger_count:d RatecodeID:d"
YELLOW_2023 = f"{TAXI_2023} congestion_surcharge:d airport_fee>Airport_fee:d"
FHV_2023 = "dispatching_base_num:S Affiliated_base_number:S SR_Flag:i PUlocationID:i DOlocationID:i"
FHVHV_2019 = "wav_match_flag:s"
FHVHV_2023 = "PULocationID:j DOLocationID:j airport_fee:d wav_match_flag:S " + " ".join(
    f"{column}:S" for column in re.findall("([a-z_]+):s", FHVHV)
)
CBD, SOURCE = "cbd_congestion_fee:d", "request_source:s"
#: Months, and how their schema differs from that of the dataset's first months.
SCHEMAS = [
    ("green", GREEN, "2019-08", ""),
    ("green", GREEN, "2019-09 2023-01", "ehail_fee:n"),
    ("green", GREEN, "2023-02 2024-12", GREEN_2023),
    ("green", GREEN, "2025-01 2026-05", f"{GREEN_2023} {CBD}"),
    ("green", GREEN, "2026-06", f"{GREEN_2023} {CBD} {SOURCE}"),
    ("yellow", YELLOW_2009, "2009-01 2009-12", ""),
    ("yellow", YELLOW_2010, "2010-01 2010-04 2010-12", ""),
    ("yellow", YELLOW_2010, "2010-02 2010-03", "rate_code:i __index_level_0__:i"),
    ("yellow", YELLOW, "2011-01 2018-06", ""),
    ("yellow", YELLOW, "2018-07", FLOATS),
    ("yellow", YELLOW, "2023-01", f"{FLOATS} congestion_surcharge:d airport_fee:d"),
    ("yellow", YELLOW, "2023-02 2024-12", YELLOW_2023),
    ("yellow", YELLOW, "2025-01", f"{YELLOW_2023} {CBD}"),
    ("yellow", YELLOW, "2026-06", f"{YELLOW_2023} {CBD} {SOURCE}"),
    ("fhv", FHV, "2015-01 2019-03 2019-07 2020-08 2023-01", ""),
    ("fhv", FHV, "2017-05 2019-02", "SR_Flag:d"),
    ("fhv", FHV, "2019-05", "PUlocationID:i DOlocationID:i"),
    ("fhv", FHV, "2020-07", "DOlocationID:i"),
    ("fhv", FHV, "2023-02", FHV_2023),
    ("fhvhv", FHVHV, "2019-02", ""),
    ("fhvhv", FHVHV, "2019-04 2019-06 2020-04 2020-10", FHVHV_2019),
    ("fhvhv", FHVHV, "2019-07 2020-05 2020-11", f"{FHVHV_2019} airport_fee:d"),
    ("fhvhv", FHVHV, "2023-02", FHVHV_2023),
    ("fhvhv", FHVHV, "2025-01", f"{FHVHV_2023} {CBD}"),
]


@pytest.mark.parametrize(("dataset", "first", "months", "changes"), SCHEMAS)
def test_schemas(tmp_path, dataset, first, months, changes):
    columns = {column.split(":")[0]: column for column in first.split()}
    for change in changes.split():
        renamed, _, column = change.rpartition(">")
        columns[renamed or column.split(":")[0]] = column
    expected = [f"{name} {TYPES[code]}" for name, code in (c.split(":") for c in columns.values())]
    for month in months.split():
        schema = make(tmp_path, dataset, month, rows=10).schema
        assert [f"{field.name} {field.type}" for field in schema] == expected, month


# Without the folder of real files nothing is compared, here and below.
def test_schemas_and_headers_of_real_files():
    for path in REAL_FILES:
        dataset, _, month = path.stem.split("_")
        made = schema_of(dataset, parse_month(month))
        assert made.equals(pq.read_schema(path).remove_metadata()), path.name
    for listed in REAL.glob("facts/tlc_file_metadata_*.csv"):
        for file in csv.DictReader(listed.open()):
            month = dt.date(int(file["file_year"]), int(file["file_month"]), 1)
            headers = file["file_column_names"].split(",")
            assert schema_of(file["file_record_type"], month).names == headers, file["file_name"]


# ---- Files ---------------------------------------------------------------------------------------


def make(folder: Path, dataset: str, month: str, rows: int = ROWS, seed: int = 0) -> pa.Table:
    path = folder / f"{dataset}-{month}-{rows}-{seed}.parquet"
    write_month(path, dataset, parse_month(month), rows, seed)
    return pq.read_table(path)


@pytest.mark.parametrize(
    ("dataset", "month", "digest"),
    [
        ("green", "2023-01", "e33a53b620be5657"),
        ("yellow", "2009-12", "d9861479a321daf6"),
        ("yellow", "2023-02", "af9b199d91d3f4db"),
        ("fhv", "2019-06", "d71144d0b5781588"),
        ("fhvhv", "2025-01", "0357278d75c9d4c2"),
    ],
)
def test_values_are_the_same_on_every_machine(tmp_path, dataset, month, digest):
    # Figures in README.md and in other tests were recorded from these values.
    table = make(tmp_path, dataset, month, 1_000)
    assert hashlib.sha256(repr(table.to_pydict()).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("dataset", ["yellow", "green", "fhv", "fhvhv"])
def test_same_arguments_give_the_same_bytes_in_row_groups(tmp_path, monkeypatch, dataset):
    monkeypatch.setattr(write, "ROW_GROUP", 1_000)
    for name in ("a", "b"):
        write_month(tmp_path / name, dataset, parse_month("2023-01"), 2_500, seed=7)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    metadata = pq.read_metadata(tmp_path / "a")
    assert [metadata.row_group(n).num_rows for n in range(3)] == [1_000, 1_000, 500]
    days = pq.read_table(tmp_path / "a").column(3 if dataset == "fhvhv" else 1).slice(2_400, 90)
    assert min(days.to_pylist()) >= dt.datetime(2023, 1, 29)


@pytest.mark.parametrize(
    "other", [("green", "2023-01", 1), ("green", "2022-12", 0), ("yellow", "2023-01", 0)]
)
def test_other_arguments_give_other_values(tmp_path, other):
    *where, seed = other
    tables = (make(tmp_path, "green", "2023-01", 2_000), make(tmp_path, *where, 2_000, seed))
    for name in ("PULocationID", "trip_distance", "fare_amount", "tip_amount"):
        pairs = zip(*(table[name].to_pylist() for table in tables), strict=True)
        assert sum(one == two for one, two in pairs) < 1_500, name


@pytest.mark.parametrize("rows", [0, 1, 2, 999, 1_001])
def test_exact_number_of_rows_with_the_codec_of_the_month(tmp_path, rows):
    for month, codec in (("2023-01", "GZIP"), ("2023-02", "ZSTD")):
        write_month(tmp_path / "file", "yellow", parse_month(month), rows)
        metadata = pq.read_metadata(tmp_path / "file")
        assert (metadata.num_rows, metadata.num_row_groups) == (rows, int(rows > 0))
        assert rows == 0 or metadata.row_group(0).column(0).compression == codec


def test_a_failure_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "make_trips", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_month(tmp_path / "file", "green", parse_month("2023-01"), 10)
    assert list(tmp_path.iterdir()) == []


# ---- Values and quirks ---------------------------------------------------------------------------

MACROS = r"""
    create macro share(c, w := true) as avg(coalesce(c, false)::int) filter (w);
    create macro number(c, w := true) as count(*) filter (c and w);
    create macro kinds(x, w := true) as string_agg(distinct x, ',' order by x::varchar) filter (w);
    create macro is_time(x) as regexp_full_match(x, '\d{4}(-\d\d){2} \d\d(:\d\d){2}');
"""
AMOUNT = re.compile("fare|extra|tax|tip|toll|surcharge|fee|bcf|pay$")
TWIN = "vendor_id, pickup_datetime, dropoff_datetime, pickup_location_id, dropoff_location_id"
TWIN += ", trip_distance, passenger_count, rate_code_id"


def query(table: pa.Table, dataset: str, month: str, expressions: list[str]) -> dict[str, object]:
    """Compute expressions over all rows by DuckDB; columns have the names of the declarations."""
    names = {
        header: column.name
        for column in get_dataset(dataset).file_columns
        for header in table.column_names
        if column.spelling(header, parse_month(month))
    }
    t = table.select(list(names)).rename_columns(list(names.values()))
    amounts = [f.name for f in t.schema if AMOUNT.search(f.name) and f.type == pa.float64()]
    words = {
        "month": f"date '{month}-01'",
        "sum": " + ".join(f"coalesce({name}, 0)" for name in amounts),
        "list": ", ".join(amounts),
        "minus_zeros": " and ".join(f"bool_or({name}::varchar = '-0.0')" for name in amounts),
        "uber": "(hvfhs_license_num = 'HV0003')",
        "seconds": "date_diff('second', pickup_datetime, dropoff_datetime)",
        "trip": f"({TWIN}, fare_amount, tip_amount, total_amount)",
        "charge": f"({TWIN}, -fare_amount, -tip_amount, -total_amount)",
    }
    with duckdb.connect() as connection:
        connection.register("t", t)
        connection.execute(MACROS)
        select = ", ".join(expressions).format(**words)
        (values,) = connection.sql(f"select {select} from t").fetchall()
    return dict(zip(expressions, values, strict=True))


def plain(value: object) -> object:
    """Return numbers as such, and other values as text; what a fact says of them, likewise."""
    text = str(value)
    if text.startswith("~"):
        return pytest.approx(float(text[1:]), rel=0.25, abs=0.003)
    if ".." in text:
        low, high = map(float, text.split(".."))
        return pytest.approx((low + high) / 2, abs=(high - low) / 2)
    try:
        return float(value)
    except (TypeError, ValueError):
        return text


def facts() -> list[tuple[str, str, dict[str, object]]]:
    """Read what each month's file is like: dataset, month, and values by expression."""
    text = Path(__file__).with_name("sample_facts.txt").read_text()
    found: dict[tuple[str, str], dict[str, object]] = {}
    for heading, lines in re.findall(r"^\[(.+)\]\n((?:.+\n)+)", text, re.MULTILINE):
        for section in heading.split("; "):
            dataset, *months = section.split()
            for line in lines.splitlines():
                sql, *expected = line.split(" | ")
                each = expected if len(expected) > 1 else expected * len(months)
                for month, value in zip(months, each, strict=True):
                    found.setdefault((dataset, month), {})[sql] = plain(value)
    return [(*key, expected) for key, expected in found.items()]


@pytest.mark.parametrize(("dataset", "month", "expected"), facts(), ids=lambda v: str(v)[:7])
def test_facts(tmp_path, dataset, month, expected):
    found = query(make(tmp_path, dataset, month), dataset, month, list(expected))
    assert {sql: plain(value) for sql, value in found.items()} == expected


@pytest.mark.parametrize(("rows", "repeated"), [(999, 0), (1_000, 1), (41_000, 3)])
def test_repeated_keys_are_a_metered_row_and_one_of_the_null_block(tmp_path, rows, repeated):
    table = make(tmp_path, "yellow", "2019-01", rows)
    key = ["VendorID", "tpep_pickup_datetime", "tpep_dropoff_datetime", "PULocationID"]
    key += ["DOLocationID", "fare_amount", "trip_distance"]
    sizes = table.group_by(key).aggregate([([], "count_all"), ("passenger_count", "count")])
    pairs = zip(
        sizes["count_all"].to_pylist(), sizes["passenger_count_count"].to_pylist(), strict=True
    )
    assert [pair for pair in pairs if pair[0] > 1] == [(2, 1)] * repeated


def test_one_trip_of_fhv_is_listed_for_39_bases_and_the_index_is_the_row_number(tmp_path):
    many = make(tmp_path, "fhv", "2016-05").slice(500, 39)
    assert [len(column.unique()) for column in many.columns] == [1, 1, 1, 1, 1, 1, 39]
    index = make(tmp_path, "yellow", "2010-03", 1_000)["__index_level_0__"]
    assert index.to_pylist() == list(range(1_000))


#: Shares that are those of TLC's files; texts of which all that are in TLC's files are generated.
SHARES = {
    "fhv": """dispatching_base_num like '%  ';dispatching_base_num != affiliated_base_num
        ;affiliated_base_num is null;pickup_location_id is null;pickup_location_id = 264
        ;dropoff_location_id is null;dropoff_location_id = 264;second(pickup_datetime) = 0""",
    "fhvhv": """hvfhs_license_num = 'HV0003';dispatching_base_num = 'B02764';tolls = 0;tips = 0
        ;originating_base_num is null;access_a_ride_flag = ' ';wav_match_flag = 'Y';sales_tax = 0
        ;shared_request_flag = 'Y';congestion_surcharge = 2.75;driver_pay < 5""",
}
TEXTS = "(vendor_id, payment_type);rate_code_id;(vendor_id, store_and_fwd_flag);mta_tax"


def test_values_are_those_of_real_files(tmp_path):
    for path in REAL_FILES:
        dataset, _, month = path.stem.split("_")
        shares = [f"share({sql})" for sql in SHARES.get(dataset, "").split(";") if sql]
        texts = [f"list(distinct {sql})" for sql in TEXTS.split(";") if month < "2011-01"]
        if shares + texts:
            tables = pq.read_table(path), make(tmp_path, dataset, month)
            real, made = (query(table, dataset, month, shares + texts) for table in tables)
            for sql in shares:
                assert made[sql] == pytest.approx(real[sql], abs=0.035), (path.name, sql)
            for sql in texts:
                assert set(real[sql]) <= set(made[sql]), (path.name, sql)


# ---- CSV -----------------------------------------------------------------------------------------


def read_csv(path: Path) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Return the header of a CSV file, and its columns by lower-case name."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="") as lines:
        header, *rows = csv.reader(lines)
    return header, dict(zip(map(str.lower, header), zip(*rows, strict=True), strict=True))


def make_csv(folder: Path, dataset: str, month: str, rows: int = 3_000, name: str = "a.csv"):
    write_month(folder / name, dataset, parse_month(month), rows)
    return read_csv(folder / name)


@pytest.mark.parametrize(
    ("dataset", "month", "columns", "end"),
    [
        ("yellow", "2019-01", YELLOW.replace("airport_fee:n", ""), "\r\n"),
        ("yellow", "2021-07", YELLOW.replace("airport_fee:n", ""), "\r\n"),
        ("green", "2021-07", GREEN, "\r\n"),
        ("fhv", "2019-12", FHV, "\n"),
        ("fhv", "2020-01", FHV.replace("Off", "off").replace("location", "Location"), "\n"),
    ],
)
def test_csv_headers_and_lines(tmp_path, dataset, month, columns, end):
    header, _ = make_csv(tmp_path, dataset, month, 10)
    assert header == [column.split(":")[0] for column in columns.split()]
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert text.count("\n") == text.count(end) == 11
    assert text.endswith(end)
    assert '"' not in text


def shape(text: str) -> str:
    """Describe how a value is written; of a number, whether it has a whole part, and decimals."""
    number = re.fullmatch(r"-?([0-9]*)(\.[0-9]+)?", text)
    if number is None:
        return re.sub("[0-9]", "9", text)
    whole, decimals = number.groups(default="")
    return ("9" if whole else "") + re.sub("[0-9]", "9", decimals)


def test_csv_values_are_written_as_in_the_real_copy(tmp_path):
    for path in REAL.glob("csv-mirror/green/green_tripdata_2020-04.csv.gz"):
        header, real = read_csv(path)
        made_header, made = make_csv(tmp_path, "green", "2020-04", ROWS)
        assert made_header == header
        for name, texts in made.items():
            assert set(map(shape, set(texts))) <= set(map(shape, set(real[name]))), name


@pytest.mark.parametrize(
    "where", [("yellow", "2019-07"), ("green", "2020-04"), ("fhv", "2019-06"), ("fhv", "2020-07")]
)
def test_csv_has_the_trips_of_the_parquet_file(tmp_path, where):
    parquet = make(tmp_path, *where, 3_000)
    _, texts = make_csv(tmp_path, *where)
    others = {"vendorid", "payment_type", "congestion_surcharge", "airport_fee"}
    readers = {"timestamp[us]": dt.datetime.fromisoformat, "double": float, "int64": int}
    for name, column in zip(parquet.column_names, parquet.columns, strict=True):
        if name.lower() not in others:
            read = readers.get(str(column.type), str)
            values = [read(text) if text else None for text in texts[name.lower()]]
            assert values == column.to_pylist(), name


@pytest.mark.parametrize("dataset", ["yellow", "green"])
def test_csv_null_block_has_neither_vendor_nor_payment(tmp_path, dataset):
    _, texts = make_csv(tmp_path, dataset, "2021-01")
    empty = {"vendorid", "payment_type", "passenger_count", "ratecodeid", "store_and_fwd_flag"}
    if dataset == "green":
        empty |= {"trip_type", "congestion_surcharge"}
    block = [text == "" for text in texts["passenger_count"]]
    assert 100 < sum(block) < 300
    for name in texts.keys() - {"ehail_fee"}:
        none = [False] * len(block)
        assert [text == "" for text in texts[name]] == (block if name in empty else none), name


def test_csv_of_2019_01_lacks_most_congestion_surcharges(tmp_path):
    for month, empty in (("2019-01", "~0.866"), ("2019-02", "0")):
        texts = make_csv(tmp_path, "yellow", month)[1]["congestion_surcharge"]
        assert texts.count("") / len(texts) == plain(empty)


def test_csv_is_written_in_row_groups_compressed_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "ROW_GROUP", 1_000)
    one, packed = (make_csv(tmp_path, "green", "2020-04", 2_500, n) for n in ("a.csv", "b.csv.gz"))
    assert one == packed
    assert len(one[1]["vendorid"]) == 2_500
    assert "VendorID" not in one[1]["vendorid"]
    assert (tmp_path / "b.csv.gz").stat().st_size < (tmp_path / "a.csv").stat().st_size / 2


# ---- The command, and what is refused ------------------------------------------------------------


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(main)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


def test_command_writes_months(run, tmp_path):
    options = ["--dataset", "fhv", "--month", "2019-12", "--to", "2020-02", "--rows", 50, tmp_path]
    assert run(*options).exit_code == run(*options, "--format", "csv").exit_code == 0
    stems = [f"fhv_tripdata_{month}" for month in ("2019-12", "2020-01", "2020-02")]
    names = [f"{stem}{end}" for stem in stems for end in (".csv.gz", ".parquet")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for path in tmp_path.glob("*.parquet"):
        assert pq.read_metadata(path).num_rows == 50
    for path in tmp_path.glob("*.csv.gz"):
        assert len(read_csv(path)[1]["sr_flag"]) == 50


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--dataset red --month 2023-01", "green"),
        ("--dataset green --month 2023-13", "YYYY-MM"),
        ("--dataset green --month 2023-02 --to 2023-01", "before"),
        ("--dataset yellow --month 2008-12", "2009-01"),
        ("--dataset green --month 2013-12", "2014-01"),
        ("--dataset fhv --month 2014-12", "2015-01"),
        ("--dataset fhvhv --month 2019-01", "2019-02"),
        ("--dataset fhvhv --month 2021-06 --format csv", "no CSV copies"),
        ("--dataset green --month 2018-12 --format csv", "2019-01 to 2021-07"),
        ("--dataset yellow --month 2021-08 --format csv", "2019-01 to 2021-07"),
    ],
)
def test_command_tells_mistakes_in_one_line(run, tmp_path, options, complaint):
    result = run(*options.split(), tmp_path)
    assert result.exit_code == UsageError.exit_code
    assert result.stderr.count("\n") == 1
    assert complaint in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_teaches(run):
    text = run("--help").stdout
    assert "python -m loader.sample --dataset green" in " ".join(text.split())
