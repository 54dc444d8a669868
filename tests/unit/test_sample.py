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

from loader.calendar import month_range, parse_month
from loader.datasets import get_dataset
from loader.errors import UsageError
from loader.sample import schema_of, write, write_month
from loader.sample.__main__ import main
from tests.conftest import DATA_DIR

ROWS = 20_000
REAL = DATA_DIR or Path("/no/such/folder")
REAL_FILES = [path for path in sorted(REAL.glob("*/*.parquet")) if "republished" not in str(path)]

# ---- Schemas as in TLC's files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "digest"),
    [
        ("fhv", "7eee2bba7ac7547c"),
        ("fhvhv", "ed1b61138db5da96"),
        ("green", "1e7289872a2ca448"),
        ("yellow", "919d469b57e5f588"),
    ],
)
def test_schemas_of_all_months_are_those_that_were_compared_with_tlcs(tmp_path, dataset, digest):
    months = month_range(get_dataset(dataset).first_month, dt.date(2026, 6, 1))
    schemas = {month: str(schema_of(dataset, month)) for month in months}
    assert hashlib.sha256(repr(schemas).encode()).hexdigest()[:16] == digest
    for month in {schema: month for month, schema in schemas.items()}.values():
        assert make(tmp_path, dataset, f"{month:%Y-%m}", 10).schema.equals(
            schema_of(dataset, month)
        )


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
    "where", ["yellow 2019-01", "yellow 2021-07", "green 2021-07", "fhv 2019-12", "fhv 2020-01"]
)
def test_csv_headers_and_lines(tmp_path, where):
    dataset, month = where.split()
    header, _ = make_csv(tmp_path, dataset, month, 10)
    names = schema_of(dataset, parse_month(month)).names
    if where == "fhv 2020-01":
        names = [name.replace("Off", "off").replace("location", "Location") for name in names]
    assert header == [name for name in names if name != "airport_fee"]
    end = "\n" if dataset == "fhv" else "\r\n"
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
    block = {row for row, text in enumerate(texts["passenger_count"]) if text == ""}
    assert 100 < len(block) < 300
    for name in texts.keys() - {"ehail_fee"}:
        found = {row for row, text in enumerate(texts[name]) if text == ""}
        assert found == (block if name in empty else set()), name


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
