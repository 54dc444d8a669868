"""Every value of a file arrives as it is, in the contract's type; what can't is refused by name."""

import datetime as dt
import math
import re
import struct
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loader.calendar import parse_month
from loader.errors import FileRefusedError
from loader.landing import conform
from loader.landing.conform import Conformer
from loader.sample import schema_of

MONTH = dt.date(2023, 2, 1)
Columns = list[tuple[str, pa.Array]]


def plain(rows: int = 3, **columns: pa.Array | None) -> Columns:
    """Return a green month of plain values, but for these columns; None leaves a column out."""
    arrays: dict[str, pa.Array | None] = {}
    for field in schema_of("green", MONTH):
        value = dt.datetime(2023, 2, 3, 4, 5) if pa.types.is_timestamp(field.type) else 1
        value = "N" if "string" in str(field.type) else value
        value = None if pa.types.is_null(field.type) else value
        arrays[field.name] = pa.array([value] * rows, field.type)
    return [(name, array) for name, array in (arrays | columns).items() if array is not None]


def write(
    path: Path, columns: Columns, dataset: str = "green", month: dt.date = MONTH
) -> Conformer:
    names, arrays = zip(*columns, strict=True)
    pq.write_table(pa.Table.from_arrays(list(arrays), list(names)), path / "file.parquet")
    return Conformer(dataset, month, path / "file.parquet")


def make(path: Path, rows: int = 3, **columns: pa.Array | None) -> Conformer:
    return write(path, plain(rows, **columns))


def read(conformer: Conformer) -> pa.Table:
    batches = list(conformer.batches())
    for batch in batches:
        batch.validate(full=True)  # UTF-8 too
        assert batch.schema == conformer.schema
    return pa.Table.from_batches(batches, conformer.schema)


def refusal(conformer: Conformer) -> str:
    with pytest.raises(FileRefusedError) as error:
        read(conformer)
    message = str(error.value)
    assert "\n" not in message
    assert "green 2023-02" in message
    return message


# ---- Types that TLC has used, and could use ------------------------------------------------------

TIMES = [dt.datetime(2023, 2, 1), dt.datetime(1, 1, 1), dt.datetime(3019, 12, 31, 23, 59, 59)]
TYPES = {
    **{
        f"null type: {name}": (name, pa.nulls(3), [None] * 3)
        for name in (
            *("passenger_count", "ehail_fee", "store_and_fwd_flag", "lpep_pickup_datetime"),
        )
    },
    "int64": ("VendorID", pa.array([1, None, -(2**15)], pa.int64()), [1, None, -(2**15)]),
    "int8": ("VendorID", pa.array([1, 2, 127], pa.int8()), [1, 2, 127]),
    "uint32": ("VendorID", pa.array([1, 2, 2**15 - 1], pa.uint32()), [1, 2, 2**15 - 1]),
    "integral double": ("passenger_count", pa.array([1.0, None, -0.0]), [1, None, 0]),
    "float": ("passenger_count", pa.array([1, 2, 9], pa.float32()), [1, 2, 9]),
    "integer to double": ("fare_amount", pa.array([1, None, -3]), [1.0, None, -3.0]),
    "float to double": ("fare_amount", pa.array([0.5, 1, 2], pa.float32()), [0.5, 1.0, 2.0]),
    "large_string": ("store_and_fwd_flag", pa.array(["Y", "", None], pa.large_string()), None),
    "dictionary": ("store_and_fwd_flag", pa.array(["Y", "Y", None]).dictionary_encode(), None),
    "any text": ("store_and_fwd_flag", pa.array(["é\t\n\\N", "日本", "'\""]), None),
    "stray years": ("lpep_pickup_datetime", pa.array(TIMES, pa.timestamp("us")), TIMES),
    "seconds": (
        "lpep_pickup_datetime",
        pa.array([TIMES[0], None, TIMES[2]], pa.timestamp("s")),
        [TIMES[0], None, TIMES[2]],
    ),
    "whole nanoseconds": (
        "lpep_pickup_datetime",
        pa.array([1_675_209_600_000_001_000, None, 0], pa.timestamp("ns")),
        [dt.datetime(2023, 2, 1, 0, 0, 0, 1), None, dt.datetime(1970, 1, 1)],
    ),
}
NAMES = {"VendorID": "vendor_id", "lpep_pickup_datetime": "pickup_datetime"}


@pytest.mark.parametrize(("column", "array", "expected"), TYPES.values(), ids=TYPES)
def test_types_are_cast_without_changing_a_value(tmp_path, column, array, expected):
    found = read(make(tmp_path, **{column: array}))[NAMES.get(column, column)]
    assert found.to_pylist() == (array.to_pylist() if expected is None else expected)


def not_utf8() -> pa.Array:
    values = pa.array([b"Y", b"\xff\xfe", b"N"], pa.binary())
    return pa.Array.from_buffers(pa.string(), 3, values.buffers())


BREACHES = {
    "a fraction": ("passenger_count", pa.array([1.0, 1.5, 2.0]), "1.5"),
    "NaN as an integer": ("passenger_count", pa.array([1.0, math.nan, 2.0]), "nan"),
    "infinity as an integer": ("passenger_count", pa.array([1.0, math.inf, 2.0]), "inf"),
    "a double out of range": ("passenger_count", pa.array([1.0, 32768.0, 2.0]), "32768"),
    "an integer out of range": ("VendorID", pa.array([1, 2**15, 2]), "32768"),
    "an integer no double holds": ("fare_amount", pa.array([1, 2**53 + 1, 2]), str(2**53 + 1)),
    "text as a number": ("VendorID", pa.array(["1", "2", "3"]), "string"),
    "text as a time": ("lpep_pickup_datetime", pa.array(["2023-02-01"] * 3), "string"),
    "a time with a zone": (
        "lpep_pickup_datetime",
        pa.array(TIMES[:1] * 3, pa.timestamp("us", "America/New_York")),
        "America/New_York",
    ),
    "parts of a microsecond": (
        "lpep_pickup_datetime",
        pa.array([0, 1_675_209_600_000_000_001, 0], pa.timestamp("ns")),
        "1675209600000000001",
    ),
    "a number as text": ("store_and_fwd_flag", pa.array([1, 2, 3]), "int64"),
    "a truth value as a number": ("VendorID", pa.array([True, False, True]), "bool"),
    "a structure": ("fare_amount", pa.array([{"a": 1}] * 3), "struct"),
    "a NUL byte": ("store_and_fwd_flag", pa.array(["Y", "N\0", "N"]), "NUL"),
    "no UTF-8": ("store_and_fwd_flag", not_utf8(), ": text that is not UTF-8"),
    "times in lists that Python doesn't know": (
        "surprise",
        pa.array([[2**62], None, [0]], pa.list_(pa.timestamp("us"))),
        ": a value of list",
    ),
    **{
        f"a time outside of all calendars: {when}": (
            "lpep_pickup_datetime",
            pa.array([0, when, None], pa.int64()).cast(pa.timestamp("us")),
            ": a time",
        )
        for when in (2**62, -(2**62), 253_402_300_800_000_000)
    },
}


@pytest.mark.parametrize(("column", "array", "shown"), BREACHES.values(), ids=BREACHES)
def test_what_cant_be_cast_is_refused_by_name_and_value(tmp_path, column, array, shown):
    message = refusal(make(tmp_path, **{column: array}))
    assert f"column {NAMES.get(column, column)}:" in message
    assert "green_tripdata_2023-02.parquet" in message
    assert shown in message


INTEGERS = st.none() | st.integers(-(2**15), 2**15 - 1)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@in_one_folder
@given(values=st.lists(INTEGERS, min_size=1, max_size=20))
def test_integers_that_were_written_as_doubles_come_back(tmp_path, values):
    doubles = pa.array(values, pa.int64()).cast(pa.float64())
    found = read(make(tmp_path, len(values), passenger_count=doubles))
    assert found["passenger_count"].to_pylist() == values


@in_one_folder
@given(value=st.floats().filter(lambda x: not (x.is_integer() and -(2**15) <= x < 2**15)))
def test_no_other_double_becomes_an_integer(tmp_path, value):
    message = refusal(make(tmp_path, 1, passenger_count=pa.array([value])))
    assert "column passenger_count:" in message


@in_one_folder
@given(values=st.lists(st.none() | st.floats(), min_size=1, max_size=20))
@example(values=[math.inf, -math.inf, math.nan, -0.0, 5e-324, 1.7976931348623157e308, None])
def test_amounts_are_never_rounded(tmp_path, values):
    found = read(make(tmp_path, len(values), fare_amount=pa.array(values, pa.float64())))
    assert repr(found["fare_amount"].to_pylist()) == repr(values)


# ---- Columns -------------------------------------------------------------------------------------


def test_a_column_that_is_missing_is_null_and_reported(tmp_path):
    conformer = make(tmp_path, tip_amount=None, ehail_fee=None)
    assert sorted(conformer.missing) == ["ehail_fee", "tip_amount"]
    found = read(conformer)
    assert found["tip_amount"].to_pylist() == [None] * 3
    assert found["tip_amount"].type == pa.float64()
    # Not expected before 2025-01: nothing to report.
    assert found["cbd_congestion_fee"].null_count == 3
    assert make(tmp_path).missing == []


@pytest.mark.parametrize(
    "column", [c.name for c in conform.get_dataset("green").file_columns if c.key]
)
def test_a_key_column_that_is_missing_is_refused(tmp_path, column):
    contract = conform.get_dataset("green").file_columns
    (spelling,) = next(c.spellings for c in contract if c.name == column)
    message = refusal(make(tmp_path, **{spelling.name: None}))
    assert f"column {column}: missing" in message
    assert "models/sources/green.yml" in message


def test_order_and_case_of_the_columns_dont_matter(tmp_path):
    columns = plain(fare_amount=pa.array([1.0, 2.0, 3.0]))
    wanted = read(write(tmp_path, columns))
    found = write(tmp_path, [(name.swapcase(), array) for name, array in reversed(columns)])
    assert (found.unknown, found.missing) == ({}, [])
    assert read(found).equals(wanted)


@pytest.mark.parametrize("twin", ["vendorid", "VENDORID", "VendorID"])
def test_a_column_that_is_there_twice_is_refused(tmp_path, twin):
    message = refusal(write(tmp_path, [*plain(), (twin, pa.array([7, 8, 9]))]))
    assert "column vendor_id: the file has it twice" in message


# ---- Columns that nobody knew --------------------------------------------------------------------

UNKNOWN = {
    "integers": (pa.array([1, None, 3]), ["1", None, "3"]),
    "doubles": (pa.array([0.5, None, 1e22]), None),
    "truth values": (pa.array([True, None, False]), ["true", None, "false"]),
    "null type": (pa.nulls(3), [None] * 3),
    "text": (pa.array(["a", "", None]), ["a", "", None]),
    "large text": (pa.array(["a", "", None], pa.large_string()), ["a", "", None]),
    "views of text": (pa.array(["a", "", None], pa.string_view()), ["a", "", None]),
    "dictionary": (pa.array(["a", "a", None]).dictionary_encode(), ["a", "a", None]),
    "NUL bytes": (pa.array(["a\0b", "\0", None]), ["ab", "", None]),
    "dates": (pa.array([dt.date(2023, 2, 1)] * 3), ["2023-02-01"] * 3),
    "times of day": (pa.array([dt.time(1, 2, 3)] * 3), None),
    "timestamps": (pa.array(TIMES, pa.timestamp("us")), None),
    "timestamps with a zone": (pa.array(TIMES[:1] * 3, pa.timestamp("us", "UTC")), None),
    "durations": (pa.array([dt.timedelta(1)] * 3), None),
    "decimals": (pa.array([Decimal("1.20")] * 3), ["1.20"] * 3),
    "bytes": (pa.array([b"\0\xff", b"", None]), None),
    "bytes of one size": (pa.array([b"ab", b"\xff\0", None], pa.binary(2)), None),
    "lists": (pa.array([[1, 2], [], None]), ["[1, 2]", "[]", None]),
    "structures": (pa.array([{"a": 1, "b": "x"}] * 3), ['{"a": 1, "b": "x"}'] * 3),
    "lists in structures": (
        pa.array([{"a": [1, None], "b": '"; drop'}, None, {"a": [], "b": None}]),
        [r'{"a": [1, null], "b": "\"; drop"}', None, '{"a": [], "b": null}'],
    ),
    "structures with odd values": (pa.array([{"a": dt.date(2023, 2, 1), "b": b"\xff"}] * 3), None),
    "maps": (pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int64())), None),
    "text that is not UTF-8": (not_utf8(), None),
    "half floats": (pa.array([1, 2, 3], pa.float16()), None),
    "UUIDs": (pa.array([b"0" * 16] * 3, pa.uuid()), None),
}


@pytest.mark.parametrize(("array", "expected"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_columns_are_kept_as_text_whatever_their_type(tmp_path, array, expected):
    conformer = make(tmp_path, surprise=array)
    assert list(conformer.unknown) == ["surprise"]
    found = read(conformer)["surprise"]
    assert found.type == pa.string()
    assert found.null_count == array.null_count
    assert "\0" not in "".join(filter(None, found.to_pylist()))  # Postgres can't hold it
    if expected is not None:
        assert found.to_pylist() == expected


HOSTILE = [
    *("", " ", '"', "'; drop table x; --", "a\\b", "ü", "日本", "x" * 200, "1st", "a.b", "a.b.c"),
    *("VendorID.x", "_file_row", "_file_month", "_dlt_load_id", "_dlt_id", "vendor_id", "select"),
    *("load_id", "fare_amount ", "A", "a", "x_a", "%s", "{{ x }}", "line\nbreak", "row_key"),
]


@in_one_folder
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=80), unique=True, max_size=6))
@example(HOSTILE)
def test_unknown_columns_get_names_that_are_harmless_and_their_own(tmp_path, names):
    # Hypothesis also tries words that it finds in the code: a spelling of the contract among them.
    contract = conform.get_dataset("green")
    spelled = {s.name.lower() for column in contract.file_columns for s in column.spellings}
    names = [name for name in names if name.lower() not in spelled]
    more = [(name, pa.array([f"{n}"] * 3)) for n, name in enumerate(names)]
    conformer = write(tmp_path, plain() + more)
    assert [conformer.file_schema.names[i] for i in conformer.unknown.values()] == names
    for name in conformer.unknown:
        assert re.fullmatch("[a-z_][a-z0-9_]{0,62}", name)
    assert not {column.name for column in contract.columns}.intersection(conformer.unknown)
    found = read(conformer)
    for n, name in enumerate(conformer.unknown):
        assert found[name].to_pylist() == [f"{n}"] * 3, names[n]
    assert found["vendor_id"].to_pylist() == [1] * 3
    assert found["_file_row"].to_pylist() == [1, 2, 3]


def test_unknown_columns_of_one_name_are_both_kept(tmp_path):
    twins = [("twin", pa.array(["a"] * 3)), ("twin", pa.array(["b"] * 3))]
    conformer = write(tmp_path, plain() + twins)
    found = read(conformer)
    assert [found[name].to_pylist() for name in conformer.unknown] == [["a"] * 3, ["b"] * 3]


# ---- Batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 15])
def test_batches_are_bounded_and_rows_are_numbered_whatever_the_row_groups(
    tmp_path, monkeypatch, groups
):
    monkeypatch.setattr(conform, "BATCH_ROWS", 1_000)
    conformer = make(tmp_path, 4_500, trip_distance=pa.array(range(4_500)).cast(pa.float64()))
    table = pq.read_table(conformer.path)
    pq.write_table(table, conformer.path, row_group_size=4_500 // groups)
    assert pq.read_metadata(conformer.path).num_row_groups == groups
    batches = list(conformer.batches())
    assert max(batch.num_rows for batch in batches) <= 1_000
    found = pa.Table.from_batches(batches)
    assert found["_file_row"].to_pylist() == list(range(1, 4_501))
    assert found["trip_distance"].to_pylist() == list(range(4_500))
    assert found["_file_month"].unique().to_pylist() == [MONTH]


def test_a_breach_far_into_the_file_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(conform, "BATCH_ROWS", 100)
    values = [1.0] * 1_000
    values[950] = 0.25
    assert "0.25" in refusal(make(tmp_path, 1_000, passenger_count=pa.array(values)))


def test_a_file_that_breaks_off_inside_is_refused(tmp_path):
    rows = 50_000
    path = make(tmp_path, rows, trip_distance=pa.array(range(rows)).cast(pa.float64())).path
    content = bytearray(path.read_bytes())
    content[1_000:100_000] = bytes(99_000)
    path.write_bytes(content)
    assert "can't be read" in refusal(Conformer("green", MONTH, path))


# ---- Files that are not what they say: what the fuzzer of tests/security found -------------------


def test_years_far_off_survive_the_oldest_form_of_timestamps(tmp_path):
    years = [dt.datetime(year, 1, 1) for year in (1, 2008, 9999)]
    conformer = make(tmp_path, lpep_pickup_datetime=pa.array(years, pa.timestamp("us")))
    table = pq.read_table(conformer.path)
    pq.write_table(table, conformer.path, use_deprecated_int96_timestamps=True)
    assert read(conformer)["pickup_datetime"].to_pylist() == years


def test_a_page_that_fails_its_own_checksum_is_refused(tmp_path):
    conformer = make(tmp_path, 100, trip_distance=pa.array(range(100)).cast(pa.float64()))
    table = pq.read_table(conformer.path)
    plain = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, conformer.path, **plain)
    content = conformer.path.read_bytes()
    # A flipped bit that is good Parquet: 77 miles become 79.
    one, other = (table["trip_distance"][row].as_py() for row in (77, 79))
    changed = content.replace(struct.pack("<d", one), struct.pack("<d", other), 1)
    assert changed != content
    conformer.path.write_bytes(changed)
    assert "can't be read" in refusal(conformer)


def test_hundreds_of_unknown_columns_are_refused(tmp_path):
    many = {f"extra_{n}": pa.nulls(3, pa.int8()) for n in range(conform.MAX_UNKNOWN_COLUMNS + 1)}
    with pytest.raises(FileRefusedError, match="51 columns that the contract doesn't know"):
        _ = make(tmp_path, **many).unknown


@pytest.mark.parametrize("name", ["ctid", "XMIN", "tableoid"])
def test_unknown_columns_dont_take_the_names_of_the_databases_own(tmp_path, name):
    conformer = make(tmp_path, **{name: pa.array([1, 2, 3])})
    assert list(conformer.unknown) == [f"x_{name.lower()}"]


def test_a_column_name_that_is_not_utf8_is_refused(tmp_path):
    path = make(tmp_path, surprise=pa.array([1, 2, 3])).path
    pq.write_table(pq.read_table(path), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"surprise", b"surpris\xff"))
    assert "can't be read" in refusal(Conformer("green", MONTH, path))


# ---- Cleaned texts -------------------------------------------------------------------------------


def other(path: Path, dataset: str, month: str, rows: int = 3, **columns: list | None) -> Conformer:
    """Write a month of NULLs, but for these columns; None leaves a column out."""
    file_month = parse_month(month)
    arrays = {field.name: pa.nulls(rows, field.type) for field in schema_of(dataset, file_month)}
    arrays |= {name: values and pa.array(values) for name, values in columns.items()}
    left = [(name, array) for name, array in arrays.items() if array is not None]
    return write(path, left, dataset, file_month)


def test_texts_are_cleaned_as_the_contract_says_and_the_changed_ones_counted(tmp_path):
    # fhvhv's base numbers are trimmed and upper-cased; a blank access-a-ride flag is NULL.
    bases = ["B02764", "b02764", " B02764  ", "B0\t2764", None, ""]
    flags = ["Y", " ", "N", "", None, "n"]
    conformer = other(
        tmp_path, "fhvhv", "2021-03", 6, dispatching_base_num=bases, access_a_ride_flag=flags
    )
    table = read(conformer)
    assert table["dispatching_base_num"].to_pylist() == ["B02764"] * 3 + ["B0\t2764", None, ""]
    assert table["access_a_ride_flag"].to_pylist() == ["Y", None, "N", None, None, "n"]
    counts = {name: count for name, count in conformer.cleaned.items() if count}
    assert counts == {"dispatching_base_num": 2, "access_a_ride_flag": 2}
    read(conformer)  # a file that is read again is counted once
    assert conformer.cleaned["dispatching_base_num"] == 2


# ---- Values that are mapped or parsed: yellow of 2009 and 2010 -----------------------------------


def early(path: Path, **columns: list) -> Conformer:
    return other(path, "yellow", "2010-01", **columns)


def test_vendors_payment_types_and_flags_are_mapped_as_the_contract_lists(tmp_path):
    table = read(
        early(
            tmp_path,
            vendor_id=["VTS", " cmt ", "DDS"],
            payment_type=["Cre", "No ", '"NA"'],
            store_and_fwd_flag=["0", "Y", ""],
        )
    )
    assert table["vendor_id"].to_pylist() == [2, 1, 3]
    assert table["payment_type"].to_pylist() == [1, 3, 5]
    assert table["store_and_fwd_flag"].to_pylist() == ["N", "Y", None]
    doubles = other(tmp_path, "yellow", "2009-07", store_and_forward=[0.0, 1.0, None])
    assert read(doubles)["store_and_fwd_flag"].to_pylist() == ["N", "Y", None]


def test_texts_of_the_early_years_are_parsed(tmp_path):
    times = ["2010-01-31 23:59:59", "1999-12-01 00:00:00", None]
    table = read(early(tmp_path, pickup_datetime=times, rate_code=["1", "33", " "]))
    wanted = [dt.datetime(2010, 1, 31, 23, 59, 59), dt.datetime(1999, 12, 1), None]
    assert table["pickup_datetime"].to_pylist() == wanted
    assert table["rate_code_id"].to_pylist() == [1, 33, None]
    assert set(table["pickup_location_id"].to_pylist()) == {None}


ODD_TEXTS = {
    "a vendor": ({"vendor_id": ["VTS", "ABC", "ABC"]}, "vendor_id", "'ABC' (2 rows)"),
    "a payment": ({"payment_type": ["CSH", "Barter", "CRD"]}, "payment_type", "'Barter' (1 row)"),
    "a flag": ({"store_and_fwd_flag": ["0", "2", "1"]}, "store_and_fwd_flag", "'2' (1 row)"),
    "a day": ({"pickup_datetime": ["2010-01-01"] * 3}, "pickup_datetime", "'2010-01-01'"),
    "a T": ({"pickup_datetime": ["2010-01-01T00:00:00"] * 3}, "pickup_datetime", "'2010-01-01T00"),
    "no time": ({"dropoff_datetime": ["2010-02-30 00:00:00"] * 3}, "dropoff_datetime", "(3 rows)"),
    "a zone": ({"pickup_datetime": ["2010-01-01 00:00-05"] * 3}, "pickup_datetime", "-05'"),
    "a word": ({"rate_code": ["1", "one", "2"]}, "rate_code_id", "'one' is not a number"),
    "NaN": ({"rate_code": ["1", "nan", "2"]}, "rate_code_id", "'nan' is not a number"),
}


@pytest.mark.parametrize(("columns", "column", "reason"), ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_a_text_that_is_not_in_the_contract_refuses_the_file(tmp_path, columns, column, reason):
    with pytest.raises(FileRefusedError) as error:
        read(early(tmp_path, **columns))
    message = str(error.value)
    assert message.startswith(f"yellow 2010-01: yellow_tripdata_2010-01.parquet, column {column}: ")
    assert reason in message
    assert "\n" not in message
    is_listed = column in ("vendor_id", "payment_type", "store_and_fwd_flag")
    advice = "add it to models/sources/yellow.yml" if is_listed else "look at the file"
    assert message.endswith(f"; {advice}")


@pytest.mark.parametrize("text", ["1.5", "2147483648"])
def test_a_text_that_is_no_integer_refuses_the_file(tmp_path, text):
    with pytest.raises(FileRefusedError, match=f"column rate_code_id: Float value {text}"):
        read(early(tmp_path, rate_code=["1", text, "2"]))


def test_an_index_of_pandas_is_no_unknown_column(tmp_path):
    conformer = other(tmp_path, "yellow", "2010-02")
    assert "__index_level_0__" in conformer.file_schema.names
    assert (conformer.unknown, conformer.missing) == ({}, [])


def test_coordinates_identify_rows_in_the_early_years_only(tmp_path):
    with pytest.raises(FileRefusedError, match="column pickup_longitude: missing"):
        read(early(tmp_path, pickup_longitude=None))
    assert len(read(other(tmp_path, "yellow", "2011-01"))) == 3


def test_a_text_in_a_later_file_is_neither_mapped_nor_parsed(tmp_path):
    conformer = other(tmp_path, "yellow", "2019-01", store_and_fwd_flag=["0", " ", "Y"])
    assert read(conformer)["store_and_fwd_flag"].to_pylist() == ["0", " ", "Y"]
