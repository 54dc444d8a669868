"""What is in the tables is what was in the files: first landing, again, republished, any order."""

import csv
import datetime as dt
import hashlib
import json
import math
import random
import uuid
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from loader.calendar import file_name, parse_month
from loader.sample import schema_of
from tests.conftest import ALL_TESTS, DATA_DIR, DATA_TESTS, Workspace, publish, succeeded
from tests.exact import (
    KEY_COLUMNS,
    TIE_BREAKERS,
    assert_same,
    columns_of,
    expected,
    header,
    ids_of,
    stored,
)
from tests.months import load, run


def row_ids(workspace: Workspace, dataset: str, month: str) -> list[str]:
    """Return a month's ids, in the file's order."""
    rows = workspace.query(
        f"select unique_row_id from {workspace.tlc}.{dataset}_tripdata"
        f" where file_month = date '{month}-01' order by file_row"
    )
    return [str(row_id) for (row_id,) in rows]


def ledger(workspace: Workspace, dataset: str, month: str) -> list[tuple]:
    """Return (is_current, table_rows, added, removed, unchanged) of each version, oldest first."""
    return workspace.query(
        "select is_current, table_rows, rows_added, rows_removed, rows_unchanged"
        f" from {workspace.tlc}.file_ledger where dataset = '{dataset}'"
        f" and file_month = date '{month}-01' order by merged_at"
    )


# ---- Files ---------------------------------------------------------------------------------------

#: Months of TLC's changes of columns and types: generated where there is no real file.
BREAKS = {
    "green": ["2023-01", "2023-02", "2024-12", "2025-01", "2026-06"],
    "yellow": [
        *("2009-01", "2010-01", "2010-02", "2010-08", "2018-06", "2018-07", "2023-01", "2023-02"),
        *("2025-01", "2026-06"),
    ],
    "fhv": ["2015-01", "2018-12", "2020-07", "2023-02"],
    "fhvhv": ["2019-02", "2020-10", "2023-02", "2025-01"],
}
REAL_MONTHS = {
    (path.stem.split("_")[0], path.stem[-7:]): path
    for folder in ("trip-data", "old-yellow")
    if DATA_DIR
    for path in (DATA_DIR / folder).glob("*_tripdata_*.parquet")
}
MONTHS = sorted({*REAL_MONTHS, *((d, m) for d, months in BREAKS.items() for m in months)})


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """A source with all of MONTHS: the real files, and generated ones for the months between."""
    folder = tmp_path_factory.mktemp("files")
    for dataset, month in MONTHS:
        if (dataset, month) in REAL_MONTHS:
            path = REAL_MONTHS[dataset, month]
            (folder / path.name).symlink_to(path)
        else:
            publish(folder, dataset, month, 2_500)
    odd = pa.Table.from_pylist(odd_rows(), schema_of("green", parse_month(ODD)))
    pq.write_table(odd, folder / f"green_tripdata_{ODD}.parquet")
    return folder


TIMES = [dt.datetime(1, 1, 1), dt.datetime(3019, 2, 3, 4, 5, 6, 789), None]
DOUBLES = [math.inf, -math.inf, math.nan, 1e300, 5e-324, -0.0, 0.1 + 0.2, 2.675]
TEXTS = ["", "N", None, "\u00e9", "\t\\N\n", "'", '"', "\u65e5\u672c"]
ODD = "2014-01"


def odd_rows() -> list[dict]:
    schema = schema_of("green", parse_month(ODD))
    rows = [dict.fromkeys(schema.names) for _ in DOUBLES]
    for n, row in enumerate(rows):
        row["lpep_pickup_datetime"] = TIMES[n % 3]
        row["trip_distance"] = row["tip_amount"] = DOUBLES[n]
        row["fare_amount"] = DOUBLES[-n]
        row["store_and_fwd_flag"] = TEXTS[n]
    return rows


@pytest.fixture(scope="session")
def republished(tmp_path_factory, files) -> Path:
    """A source with green 2023-02 saved again: the same values, other types, other bytes."""
    name = "green_tripdata_2023-02.parquet"
    if DATA_DIR is not None:
        return DATA_DIR / "republished"
    folder = tmp_path_factory.mktemp("republished")
    table = pq.read_table(files / name)
    for index, field in enumerate(table.schema):
        if pa.types.is_integer(field.type):
            table = table.set_column(index, field.name, table[field.name].cast(pa.float64()))
    pq.write_table(table, folder / name)
    return folder


def ranges(months: Iterable[str]) -> list[tuple[str, str]]:
    """Group months that follow each other: a command takes a range."""
    dates = sorted(map(parse_month, months))
    numbered = [(date.year * 12 + date.month - n, date) for n, date in enumerate(dates)]
    groups = [[d for _, d in group] for _, group in groupby(numbered, key=lambda pair: pair[0])]
    return [(f"{group[0]:%Y-%m}", f"{group[-1]:%Y-%m}") for group in groups]


# One process for all ranges: each takes a second to start.
LOADS = """
import json, sys
from loader.cli import app
for options in json.loads(sys.argv[1]):
    app(options, standalone_mode=False)
"""


@pytest.fixture(scope="session")
def history(new_workspace, files) -> Workspace:
    """All of MONTHS and ODD, landed and then merged by one build a dataset."""
    workspace = new_workspace(built=False)
    for dataset in BREAKS:
        months = [month for d, month in MONTHS if d == dataset]
        months += [ODD] if dataset == "green" else []
        loads = [
            ["load", "--dataset", dataset, "--month", first, "--to", last, "--source", str(files)]
            for first, last in ranges(months)
        ]
        succeeded(workspace.python(LOADS, json.dumps(loads)))
        variables = json.dumps({"dataset": dataset, "months": months})
        succeeded(workspace.dbt("build", "--vars", variables, **DATA_TESTS))
    return workspace


# ---- First landing -------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_every_row_of_the_file_is_in_the_table_as_it_was(history, files, dataset, month):
    wanted = expected(files / file_name(dataset, parse_month(month)), dataset)
    actual = stored(history, dataset, month, "file_row", "unique_row_id")
    assert_same(actual, wanted)
    assert actual["file_row"].to_pylist() == list(range(1, wanted.num_rows + 1))
    assert pc.count_distinct(actual["unique_row_id"]).as_py() == wanted.num_rows
    assert actual["unique_row_id"].to_pylist() == ids_of(wanted, dataset, month)


def test_app_trips_describe_each_trip_once_and_flag_what_is_odd(history, files):
    """Compare the mart's counts with the files."""
    for dataset, month in [key for key in MONTHS if key[0].startswith("fhv")]:
        wanted = expected(files / file_name(dataset, parse_month(month)), dataset).to_pylist()
        keys = Counter(tuple(row[name] for name in KEY_COLUMNS[dataset]) for row in wanted)
        zones = [{row["pickup_location_id"], row["dropoff_location_id"]} for row in wanted]
        requests = [row.get("request_datetime") or row["pickup_datetime"] for row in wanted]
        negative = [(row.get("base_passenger_fare") or 0) < 0 for row in wanted]
        negative_pay = [(row.get("driver_pay") or 0) < 0 for row in wanted]
        companies = {"HV0002": "Juno", "HV0003": "Uber", "HV0004": "Via", "HV0005": "Lyft"}
        ((*counts,),) = history.query(
            "select count(*), count(distinct unique_row_id), sum(is_repeat::int),"
            " sum(is_unknown_zone::int), sum(is_pickup_before_request::int),"
            " sum(is_negative_amount::int),"
            " coalesce(sum((company = any(%s))::int) filter (where hvfhs_license_num > ''), 0)"
            f" from {history.prefix}tlc_marts.app_trips"
            f" where dataset = '{dataset}' and file_month = '{month}-01'",
            list(companies.values()),
        )
        assert counts == [
            len(wanted),
            len(wanted),
            len(wanted) - len(keys),
            sum(bool(found & {264, 265, None}) for found in zones),
            sum(row["pickup_datetime"] < at for row, at in zip(wanted, requests, strict=True)),
            sum(map(max, negative, negative_pay)),
            sum(row.get("hvfhs_license_num") in companies for row in wanted),
        ], (dataset, month)


def test_whole_months_have_the_rows_that_tlc_counts(history):
    # The real yellow files are samples. Without the folder of real files nothing is compared.
    counts = {}
    if DATA_DIR is not None:
        with (DATA_DIR / "facts" / "published_row_counts.csv").open() as file:
            for row in csv.DictReader(file):
                counts[row["service"], row["month"]] = int(row["rows"])
    whole = [key for key in REAL_MONTHS if key[0] == "green"]
    in_ledger = {key: ledger(history, *key) for key in whole}
    assert in_ledger == {key: [(True, counts[key], counts[key], 0, 0)] for key in whole}


def test_strays_and_odd_numbers_arrive_as_they_are(history):
    actual = history.query(
        "select pickup_datetime, trip_distance, fare_amount, tip_amount, store_and_fwd_flag"
        f" from {history.tlc}.green_tripdata where file_month = '{ODD}-01' order by file_row"
    )
    names = ("lpep_pickup_datetime", "trip_distance", "fare_amount", "tip_amount")
    wanted = [tuple(row[name] for name in (*names, "store_and_fwd_flag")) for row in odd_rows()]
    assert repr(actual) == repr(wanted)  # in which -0.0 isn't 0.0, and nan is nan


def test_each_months_id_place_and_month_are_never_null(history):
    """dbt doesn't test it: the columns of every partition say it."""
    columns = {"unique_row_id", "file_month", "file_row"}
    found = history.query(
        """
        select inhrelid::regclass::text, array_agg(attname::text)
        from pg_inherits
        inner join pg_class as parents on inhparent = parents.oid
        inner join pg_attribute on inhrelid = attrelid and attnum > 0 and attnotnull
        where parents.relnamespace = %s::regnamespace and parents.relkind = 'p'
        group by inhrelid
        """,
        history.tlc,
    )
    assert len(found) == len(MONTHS) + 1
    assert {name: set(names) for name, names in found} == {name: columns for name, _ in found}


#: Ids that exist never change: of real months, as the first version gave them. Rows, and the md5 of
#: the ids in the file's order, separated by commas.
IDS = {
    ("green", "2022-01"): (62_495, "672d19c2487d4271fdb04df73c1e57f0"),
    ("green", "2022-02"): (69_399, "d2a25f6afb3bfa3152ab9f899081e549"),
    ("green", "2022-03"): (78_537, "6a7781d5b9a7278cba4f6256fcbf77c9"),
    ("green", "2023-01"): (68_211, "c94247ccb2300c91c8f723e3e3cec3f8"),
    ("green", "2023-02"): (64_809, "329f9d12ca5a32bc76a260983d145822"),
    ("green", "2024-12"): (53_994, "9f2624467ae00d17001da5c10f63e3a6"),
    ("green", "2025-01"): (48_326, "cf83b964a1df4ee4ae4d540d007fd71f"),
    ("yellow", "2009-01"): (998, "43080c97d2f5b7131394482af4d49280"),
    ("yellow", "2009-12"): (998, "edaf4b4f58fbcd6c0b1333479d7b0190"),
    ("yellow", "2010-01"): (998, "21c68530825ddf8c84f25fe78d8107b9"),
    ("yellow", "2010-02"): (998, "827de5be48825a81531c45c53a6a8fa0"),
    ("yellow", "2010-08"): (998, "586dbfb2563f879f6c7441dcb62855de"),
    ("yellow", "2019-01"): (10_000, "0b947d958c3245432b0b22850e444075"),
    ("yellow", "2019-02"): (10_000, "e20e2ea0715af7a079c97a49e87c08b9"),
    ("yellow", "2020-04"): (1_000, "6aa97c05b0da9539ab6daffad69f66f5"),
}


@pytest.mark.skipif(DATA_DIR is None, reason="needs TLC's own files")
def test_the_ids_of_real_months_are_those_of_the_first_version(history):
    found = {}
    for dataset in ("green", "yellow"):
        rows = history.query(
            "select to_char(file_month, 'YYYY-MM'), count(*),"
            " md5(string_agg(unique_row_id::text, ',' order by file_row))"
            f" from {history.tlc}.{dataset}_tripdata group by file_month"
        )
        found |= {(dataset, month): (count, digest) for month, count, digest in rows}
    assert {key: found[key] for key in IDS} == IDS


def test_ids_are_unique_over_all_months_and_datasets(history):
    union = " union all ".join(
        f"select unique_row_id from {history.tlc}.{dataset}_tripdata" for dataset in BREAKS
    )
    ((rows, ids),) = history.query(
        f"select count(*), count(distinct unique_row_id) from ({union}) as trips"
    )
    assert rows == ids > 0


def test_merging_many_months_takes_seconds(history):
    # Seven real months of green take 5. Rows joined one by one, for want of statistics or of a
    # transaction in which to forbid it, took more than 300.
    results = json.loads((history.local_dir / "dbt" / "run_results.json").read_text())["results"]
    seconds = {result["unique_id"]: result["execution_time"] for result in results}
    assert seconds["model.nyc_tlc.green_tripdata"] < 60


# ---- Again, republished, in another order --------------------------------------------------------


@pytest.fixture(scope="module")
def spring(new_workspace, files, republished) -> dict:
    """Green 2023-01 and 2023-02 by `run`, the second then republished; what stood in between."""
    workspace = new_workspace()
    both = ("green", "2023-01:2023-02")
    told = {"workspace": workspace}
    told["first"] = run(workspace, *both, "--json", source=files, **DATA_TESTS)
    told["before"] = {m: stored(workspace, "green", m, "unique_row_id") for m in SPRING}
    told["relations"] = workspace.relations()
    told["raw relations"] = workspace.relations(workspace.raw)
    told["again"] = run(workspace, *both, source=files)
    told["relations again"] = workspace.relations()
    told["raw relations again"] = workspace.relations(workspace.raw)
    told["loads"] = workspace.query(f"select count(*) from {workspace.raw}._dlt_loads")
    told["republished"] = run(workspace, "green", "2023-02", "--json", source=republished)
    return told


SPRING = ("2023-01", "2023-02")


def rows_in(files: Path, month: str) -> int:
    return pq.read_metadata(files / f"green_tripdata_{month}.parquet").num_rows


def test_a_run_says_what_came_out(spring, files):
    told = json.loads(spring["first"].stdout)
    assert [row["month"] for row in told] == list(SPRING)
    for row in told:
        rows = rows_in(files, row["month"])
        assert (row["changed"], row["rows"], row["rows_added"]) == (True, rows, rows)
        assert (row["rows_removed"], row["rows_unchanged"]) == (0, 0)


def test_a_second_run_changes_nothing_and_says_so(spring):
    assert spring["again"].stdout.count("nothing to do") == 2
    assert spring["again"].stderr.count("unchanged since it landed") == 2
    assert spring["relations again"] == spring["relations"]
    assert spring["raw relations again"] == spring["raw relations"]
    assert spring["loads"] == [(2,)]


def test_run_drops_the_raw_rows_of_what_it_merged(spring):
    workspace = spring["workspace"]
    assert workspace.query(f"select count(*) from {workspace.raw}.green_tripdata") == [(0,)]
    dropped = f"select bool_and(raw_dropped_at is not null) from {workspace.raw}.month_files"
    assert workspace.query(dropped) == [(True,)]


def test_a_republished_month_keeps_its_rows_and_their_ids(spring, files):
    workspace, rows = spring["workspace"], rows_in(files, "2023-02")
    assert_same(stored(workspace, "green", "2023-02", "unique_row_id"), spring["before"]["2023-02"])
    (told,) = json.loads(spring["republished"].stdout)
    assert (told["rows_added"], told["rows_removed"], told["rows_unchanged"]) == (0, 0, rows)
    versions = ledger(workspace, "green", "2023-02")
    assert versions == [(False, rows, rows, 0, 0), (True, rows, 0, 0, rows)]
    hashes = workspace.query(
        f"select count(distinct sha256) from {workspace.tlc}.file_ledger"
        " where file_month = '2023-02-01'"
    )
    assert hashes == [(2,)]


def test_a_republished_month_leaves_the_others_untouched(spring):
    now = spring["workspace"].relations()
    assert now["green_tripdata_2023_01"] == spring["relations"]["green_tripdata_2023_01"]
    assert ledger(spring["workspace"], "green", "2023-01")[0][0]


def test_the_order_of_the_months_makes_no_difference(history, spring, new_workspace, files):
    backwards = new_workspace()
    for months in (("2025-01", "2023-02"), ("2024-12", "2023-01")):
        command = ("load", "--dataset", "green", "--source", str(files), "--month")
        loads = [[*command, month] for month in months]
        succeeded(backwards.python(LOADS, json.dumps(loads)))
        succeeded(backwards.dbt("build", "--vars", "{dataset: green}"))
    more = ("unique_row_id", "file_row", "file_month")
    for month in ("2023-01", "2023-02", "2024-12", "2025-01"):
        wanted = stored(history, "green", month, *more)
        assert_same(stored(backwards, "green", month, *more), wanted)
    for month in SPRING:  # forwards, one by one
        wanted = stored(backwards, "green", month, "unique_row_id")
        assert_same(spring["before"][month], wanted)


# ---- New versions --------------------------------------------------------------------------------


def test_a_new_version_counts_what_was_added_removed_and_changed(workspace):
    path = publish(workspace.source, "green", "2023-02", 3_000)
    table = pq.read_table(path)

    run(workspace, "green", "2023-02", "--keep-raw")
    assert raw_rows(workspace) == 3_000
    ids = row_ids(workspace, "green", "2023-02")

    # Five rows go, three come (out of another month), two change beside the key, one in the key.
    # The others stand in another order, rows that share their seven key columns included: their
    # ordinals hang on their other columns.
    other = pq.read_table(publish(workspace.source, "green", "2023-03", 3, seed=1))
    rows = table.slice(5).to_pylist()
    for row in (10, 20):
        rows[row]["tip_amount"] += 1.0
    rows[30]["fare_amount"] += 100.0
    changed = pa.concat_tables([pa.Table.from_pylist(rows, table.schema), other])
    order = random.Random(7).sample(range(len(changed)), len(changed))
    pq.write_table(changed.take(order), path)
    run(workspace, "green", "2023-02")
    assert raw_rows(workspace) == 0
    assert_same(stored(workspace, "green", "2023-02"), expected(path, "green"))
    assert ledger(workspace, "green", "2023-02") == [
        (False, 3_000, 3_000, 0, 0),
        (True, 2_998, 3 + 3, 5 + 3, 2_992),
    ]
    # A changed tip leaves the id alone: it is another version of the same trip.
    assert len({*row_ids(workspace, "green", "2023-02")} - {*ids}) == 3 + 1

    # Back to the first version: its bytes are known, and not merged any more.
    publish(workspace.source, "green", "2023-02", 3_000)
    run(workspace, "green", "2023-02")
    assert row_ids(workspace, "green", "2023-02") == ids
    assert ledger(workspace, "green", "2023-02") == [
        (False, 2_998, 6, 8, 2_992),
        (True, 3_000, 8, 6, 2_992),
    ]


#: A column, its text in the key, and two values that both have this text.
SAME_IN_THE_KEY = [
    (
        *("lpep_pickup_datetime", "1675245600"),
        dt.datetime(2023, 2, 1, 10, 0, 0, 250_000),
        dt.datetime(2023, 2, 1, 10, 0, 0, 999_999),
    ),
    (
        *("lpep_dropoff_datetime", "-59011459201"),
        dt.datetime(99, 12, 31, 23, 59, 59),
        dt.datetime(99, 12, 31, 23, 59, 59, 999_999),
    ),
    (
        *("lpep_dropoff_datetime", "33103130399"),
        dt.datetime(3018, 12, 31, 1, 59, 59, 1),
        dt.datetime(3018, 12, 31, 1, 59, 59, 999_999),
    ),
    ("fare_amount", "0", -0.004, 0.001),
    ("fare_amount", "-1", -0.014, -0.006),
    ("fare_amount", "!", -1e15, 1e15),
    ("fare_amount", "!", -1e300, math.inf),
    ("trip_distance", "100", 0.996, 1.001),
]


def test_rows_with_one_key_get_ordinals_though_their_values_differ(workspace):
    path = publish(workspace.source, "green", "2023-02", 1)
    key = {
        "VendorID": (2, "2"),
        "lpep_pickup_datetime": (dt.datetime(2023, 2, 1, 11), "1675249200"),
        "lpep_dropoff_datetime": (dt.datetime(2023, 2, 1, 12), "1675252800"),
        "PULocationID": (7, "7"),
        "DOLocationID": (8, "8"),
        "fare_amount": (9.5, "950"),
        "trip_distance": (2.5, "250"),
    }
    (row,) = pq.read_table(path).to_pylist()
    rows, ids = [], set()
    for place, (column, text, *values) in enumerate(SAME_IN_THE_KEY):
        own = key | {"PULocationID": (place, str(place))}
        texts = [text if name == column else known for name, (_, known) in own.items()]
        for ordinal, value in enumerate(values, 1):
            rows.append(row | {name: v for name, (v, _) in own.items()} | {column: value})
            text_of_id = "|".join(["green", "19389", *texts, str(ordinal)])
            ids.add(str(uuid.UUID(hashlib.md5(text_of_id.encode()).hexdigest())))
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)

    run(workspace, "green", "2023-02")

    assert {*row_ids(workspace, "green", "2023-02")} == ids


#: Two values of each type, in order; times and doubles have one text in the key.
LOW_AND_HIGH = {
    pa.timestamp("us"): [dt.datetime(2023, 2, 1, 10), dt.datetime(2023, 2, 1, 10, 0, 0, 1)],
    pa.float64(): [2.5, 2.501],
    pa.int32(): [1, 2],
    pa.string(): ["Zone", "app"],  # by their bytes, not as a language sorts them
}


@pytest.mark.parametrize("dataset", ["yellow", "green", "fhv", "fhvhv"])
def test_rows_with_one_key_are_numbered_by_their_other_columns(workspace, dataset):
    month = "2026-06"  # its files have every column but the coordinates of the first two years
    path = publish(workspace.source, dataset, month, 1)
    file_schema = schema_of(dataset, parse_month(month))
    columns = {header(name): name for name in file_schema.names}
    ties = TIE_BREAKERS[dataset]
    assert all(name.endswith("itude") for name in set(ties) - set(columns))
    ties = [column for column in ties if column in columns]
    rows = []
    for place, decides in enumerate([*ties, None]):
        row = dict.fromkeys(columns, None) | {"pickup_location_id": place}
        low, high = ({c: LOW_AND_HIGH[columns_of(dataset)[c]][n] for c in ties} for n in (0, 1))
        before, after = ties[: place + 1], ties[place + 1 :]
        # The first that differs says the order, whatever those after it say.
        first = row | {c: low[c] for c in before} | {c: high[c] for c in after}
        second = row | {c: low[c] for c in ties} | ({decides: high[decides]} if decides else {})
        missing = first | ({decides: None} if decides not in KEY_COLUMNS[dataset] else {})
        rows += [missing, second, first] if decides else [first, second, first]
    table = {name: [row.get(column) for row in rows] for column, name in columns.items()}
    pq.write_table(pa.table(table, file_schema), path)

    run(workspace, dataset, month)

    wanted = ids_of(expected(path, dataset), dataset, month)
    assert len(set(wanted)) == len(rows)
    assert row_ids(workspace, dataset, month) == wanted


@pytest.mark.slow
def test_rows_with_one_key_are_found_without_the_loaders_hint_too(workspace):
    path = publish(workspace.source, "yellow", "2023-02", 3_000)
    wanted = ids_of(expected(path, "yellow"), "yellow", "2023-02")
    load(workspace, "yellow", "2023-02")
    ((hint,),) = workspace.query(f"select shared_rows from {workspace.raw}.month_files")
    assert len(hint.split(",")) > 1
    month_files = f"{workspace.raw}.month_files"
    for no_hint in (
        f"update {month_files} set shared_rows = null",  # too many, or nobody looked
        f"alter table {month_files} drop shared_rows cascade",  # landed by an earlier version
    ):
        workspace.query(no_hint)
        succeeded(workspace.dbt("build", "--vars", "{month: 2023-02}"))
        assert row_ids(workspace, "yellow", "2023-02") == wanted


def test_a_hint_that_misses_a_row_is_refused_by_the_unique_index(workspace):
    publish(workspace.source, "yellow", "2023-02", 3_000)
    load(workspace, "yellow", "2023-02")
    workspace.query(f"update {workspace.raw}.month_files set shared_rows = '7'")
    refused = workspace.dbt("build", "--vars", "{month: 2023-02}")
    assert refused.returncode != 0
    assert "could not create unique index" in refused.stdout
    assert ledger(workspace, "yellow", "2023-02") == []
    assert not [name for name in workspace.relations() if "2023_02" in name]


def raw_rows(workspace: Workspace, dataset: str = "green") -> int:
    return workspace.query(f"select count(*) from {workspace.raw}.{dataset}_tripdata")[0][0]


def test_a_column_that_nobody_knew_is_kept_and_reported(workspace):
    path = publish(workspace.source, "yellow", "2023-02", 100)
    table = pq.read_table(path)
    surprise = pa.array([None if n % 3 == 0 else n for n in range(100)], pa.int64())
    hostile = pa.array([{"a": f"'; drop {n}"} for n in range(100)])
    table = table.append_column("Request Source; --", surprise).append_column('"Ü"', hostile)
    pq.write_table(table, path)

    process = run(workspace, "yellow", "2023-02")

    assert 'warning: the contract doesn\'t know Request Source; --, "Ü";' in process.stderr
    known = [name for name in table.column_names if header(name) in columns_of("yellow")]
    pq.write_table(table.select(known), path.with_suffix(".known"))
    wanted = expected(path.with_suffix(".known"), "yellow")
    assert_same(stored(workspace, "yellow", "2023-02"), wanted)
    values = workspace.query(
        f"select x_request_source, unnamed from {workspace.raw}.yellow_tripdata order by _file_row"
    )
    assert [v for v, _ in values] == [None if n % 3 == 0 else str(n) for n in range(100)]
    assert [json.loads(v) for _, v in values] == hostile.to_pylist()
    # Nothing to do the next time, and still kept.
    run(workspace, "yellow", "2023-02")
    assert raw_rows(workspace, "yellow") == 100


# ---- dbt by itself -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def winter(new_workspace) -> dict:
    """Small months, landed together, one merged by name and the others by a build of all."""
    workspace = new_workspace()
    for dataset, months in (("green", SPRING), ("yellow", ("2023-01",))):
        for month in months:
            publish(workspace.source, dataset, month, 500)
        load(workspace, dataset, f"{months[0]}:{months[-1]}")
    told = {"workspace": workspace}
    succeeded(workspace.dbt("build", "--vars", "{dataset: green, month: 2023-01}"))
    told["one"], told["relations of one"] = merged(workspace), workspace.relations()
    succeeded(workspace.dbt("build", **ALL_TESTS))
    told["all"], told["relations of all"] = merged(workspace), workspace.relations()
    return told


def merged(workspace: Workspace) -> dict[tuple[str, str], int]:
    rows = workspace.query(
        " union all ".join(
            f"select '{dataset}', to_char(file_month, 'YYYY-MM'), count(*)"
            f" from {workspace.tlc}.{dataset}_tripdata group by 2"
            for dataset in ("green", "yellow")
        )
    )
    return {(dataset, month): count for dataset, month, count in rows}


def test_dbt_build_merges_the_month_asked_for_and_no_other(winter):
    assert winter["one"] == {("green", "2023-01"): 500}


def test_dbt_build_without_months_merges_all_that_is_landed_and_not_merged(winter):
    assert winter["all"] == dict.fromkeys(
        [("green", "2023-01"), ("green", "2023-02"), ("yellow", "2023-01")], 500
    )
    name = "green_tripdata_2023_01"
    assert winter["relations of all"][name] == winter["relations of one"][name]


def test_a_month_that_was_not_landed_is_named_with_the_way_to_land_it(winter):
    workspace = winter["workspace"]
    before = workspace.relations()
    refused = workspace.dbt("build", "--vars", "{dataset: green, month: 2024-05}")
    assert refused.returncode != 0
    assert "green 2024-05: not landed" in refused.stdout
    assert "nyc-tlc load --dataset green --month 2024-05" in refused.stdout
    assert workspace.relations() == before


def test_a_full_refresh_with_the_raw_rows_there_gives_the_same_tables(winter):
    workspace = winter["workspace"]
    more = ("unique_row_id", "file_row")
    told = ledger(workspace, "green", "2023-01")
    tables = {key: stored(workspace, *key, *more) for key in winter["all"]}
    succeeded(workspace.dbt("build", "--full-refresh"))
    for key, table in tables.items():
        assert_same(stored(workspace, *key, *more), table)
    assert ledger(workspace, "green", "2023-01") == told


def test_a_full_refresh_is_refused_when_the_raw_rows_are_gone(winter):
    workspace = winter["workspace"]
    run(workspace, "green", "2023-02")
    before = workspace.relations()
    refused = workspace.dbt("build", "--full-refresh")
    assert refused.returncode != 0
    assert "the raw rows of green are dropped for 2023-02" in refused.stdout
    assert "leave --full-refresh out" in refused.stdout
    # Asked for by name, the month is left as it is.
    again = succeeded(workspace.dbt("build", "--vars", "{dataset: green, month: 2023-02}"))
    assert "nothing to do" in again.stdout
    now = workspace.relations()
    for name in ("green_tripdata", "green_tripdata_2023_01", "green_tripdata_2023_02"):
        assert now[name] == before[name], name


@pytest.mark.empty_warehouse
def test_a_build_without_anything_landed_says_what_to_do(workspace):
    refused = workspace.dbt("build")
    assert refused.returncode != 0
    assert "nothing is landed" in refused.stdout
    assert "nyc-tlc load" in refused.stdout


# ---- The full history's shape --------------------------------------------------------------------


@pytest.mark.slow
def test_merging_one_month_touches_no_relation_of_the_23_before(workspace):
    months = [f"{year}-{month:02}" for year in (2022, 2023) for month in range(1, 13)]
    for month in months:
        publish(workspace.source, "green", month, 200)
    load(workspace, "green", f"{months[0]}:{months[-2]}")
    succeeded(workspace.dbt("build", "--vars", "{dataset: green}"))
    before = workspace.relations()
    assert len(merged(workspace)) == 23

    load(workspace, "green", months[-1])
    succeeded(workspace.dbt("build", "--vars", f"{{dataset: green, month: {months[-1]}}}"))
    after = workspace.relations()

    assert len(merged(workspace)) == 24
    old = {name for name in before if name.startswith("green_tripdata_2")}
    old |= {
        name
        for (name,) in workspace.query(
            "select relname from pg_index join pg_class on pg_class.oid = indexrelid"
            " where indrelid in (select inhrelid from pg_inherits where inhparent = %s::regclass)",
            f"{workspace.tlc}.green_tripdata",
        )
        if name in before
    }
    assert len(old) == 2 * 23
    assert {name: after.get(name) for name in old} == {name: before[name] for name in old}


def test_a_merge_that_fails_leaves_nothing_and_keeps_the_months_before_it(workspace):
    for month in SPRING:
        publish(workspace.source, "green", month, 300)
    load(workspace, "green", "2023-01:2023-02")
    # Somebody took a row of the second month away behind the loader's back.
    workspace.query(
        f"delete from {workspace.raw}.green_tripdata"
        " where _file_month = '2023-02-01' and _file_row = 7"
    )
    refused = workspace.dbt("build", "--vars", "{dataset: green}")
    assert refused.returncode != 0
    assert "green 2023-02: 300 rows landed, 299 built" in refused.stdout
    assert merged(workspace) == {("green", "2023-01"): 300}
    # Each month is a transaction of its own, the second one too: dbt-postgres sends no BEGIN.
    assert not [name for name in workspace.relations() if "2023_02" in name]
    assert ledger(workspace, "green", "2023-02") == []
