"""Google's reference engine gives what Postgres gives: every column and id, the ledger, the mart.

The emulator only tells the loader and dbt what they ask. What they sent to it, all of it and as it
is, is then executed by Google's own engine (tests/googlesql), and the tables held against those of
the same commands on Postgres.
"""

import copy
import datetime as dt
import itertools
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values

from loader.calendar import file_name
from loader.datasets import datasets, get_dataset
from loader.sample import schema_of, write_month
from tests.conftest import DATA_DIR, NO_TESTS, Workspace, succeeded
from tests.emulator.rig import PROJECT
from tests.emulator.workspace import workspace_on
from tests.googlesql import Raised

pytestmark = pytest.mark.slow

DATASETS = list(datasets())
ONE = DATASETS[0]
#: Months of real rows, of all months at hand, and of odd ones.
REAL, ODD = dt.date(2026, 6, 1), dt.date(2026, 7, 1)
_ODD_ROWS = 24
_REAL_ROWS = 160  # of all real months, beside some that share their key

CODES = st.one_of(st.none(), st.integers(-2, 2), st.sampled_from([265, 2**15 - 1, -(2**15)]))
INTEGERS = st.one_of(st.none(), st.integers(-2, 2), st.sampled_from([265, 2**31 - 1, -(2**31)]))
DOUBLES = st.one_of(
    st.none(),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.sampled_from([0.0, -0.0, 0.004, 1.005, -0.005, 2.675, 0.1 + 0.2, -52.0]),
    st.sampled_from([1e15, -1e15, 999_999_999_999_999.9, 5e-324, 1e300]),
    st.floats(-1e4, 1e4),
)
TIMES = st.one_of(
    st.none(),
    st.sampled_from([dt.datetime.min, dt.datetime.max, dt.datetime(2026, 3, 8, 2, 30)]),
    st.sampled_from([dt.datetime(1969, 12, 31, 23, 59, 59, 500_000), dt.datetime(2026, 6, 1)]),
    st.datetimes(),
)
TEXTS = st.one_of(
    st.none(),
    st.text('ab|~"', max_size=3),
    st.sampled_from(["'; --", "\\N", "\\", "Peñas", "e\u0301", "\uffff", "日本😀", " "]),
)
_VALUES = {
    "smallint": CODES,
    "integer": INTEGERS,
    "double": DOUBLES,
    "timestamp": TIMES,
    "text": TEXTS,
}
#: The engine executes no MERGE, with which dbt writes the marts.
MARTS = ("hourly_zone_trips+", "zone_pairs+", "monthly_fares+", "dropoff_hours+")


@st.composite
def odd_rows(draw: st.DrawFn, dataset: str, count: int) -> list[tuple]:
    """Rows of a dataset, in the order of its columns; some share their key, or all they have."""
    columns = get_dataset(dataset).file_columns
    values = [_VALUES[column.data_type] for column in columns]
    rows: list[tuple] = []
    for _ in range(count):
        row = draw(st.tuples(*values))
        if rows and draw(st.booleans()):
            other = draw(st.sampled_from(rows))
            keeps = st.just(range(len(columns))) | st.sets(st.sampled_from(range(len(columns))))
            kept = {*draw(keeps), *(i for i, column in enumerate(columns) if column.key)}
            row = tuple(other[i] if i in kept else value for i, value in enumerate(row))
        rows.append(row)
    return rows


def example(dataset: str) -> list[tuple]:
    """Return odd rows, the same ones each time; half differ in one column that breaks ties."""
    found: list[list[tuple]] = []

    @seed(1)
    @settings(max_examples=20, database=None, suppress_health_check=list(HealthCheck))
    @given(odd_rows(dataset, _ODD_ROWS // 2))
    def collect(rows: list[tuple]) -> None:
        found.append(rows)

    collect()
    columns = get_dataset(dataset).file_columns
    values = {
        "double": [1.0, math.nan, None, -0.0, math.inf, -math.inf],
        "text": ["\U0001f600", "\uffff", None, "", "~", "|"],
    }
    rows = found[-1]
    like = rows[0]
    for place, column in enumerate(columns):
        if not column.key:
            others = values.pop(column.data_type, [])
            rows += [(*like[:place], value, *like[place + 1 :]) for value in others]
    return rows + [like] * (_ODD_ROWS - len(rows))


def write_rows(path: Path, dataset: str, month: dt.date, rows: list[tuple]) -> None:
    """Write a month file of rows in the order of the dataset's columns."""
    schema = schema_of(dataset, month)
    names = spelled(dataset, schema.names)
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema)
    pq.write_table(table, path)


def rows_of(path: Path, dataset: str) -> list[tuple]:
    """Read a month file's rows, in the order of the dataset's columns."""
    table = pq.read_table(path)
    columns = [
        (table[name] if name else pa.nulls(len(table))).cast(column.arrow_type).to_pylist()
        for name, column in zip(
            spelled(dataset, table.column_names), get_dataset(dataset).file_columns, strict=True
        )
    ]
    return list(zip(*columns, strict=True))


def spelled(dataset: str, names: list[str]) -> list[str | None]:
    """Return the names that a file has for the columns of a dataset; None where it has none."""
    by_lower = {name.lower(): name for name in names}
    return [
        next(
            (by_lower[s.name.lower()] for s in column.spellings if s.name.lower() in by_lower), None
        )
        for column in get_dataset(dataset).file_columns
    ]


def real_rows(dataset: str, folder: Path) -> list[tuple]:
    """Return rows of every real month at hand, or generated ones; some share their key."""
    paths = sorted((DATA_DIR / "trip-data").glob(f"{dataset}_*")) if DATA_DIR else []
    if not paths:
        paths = [folder / "generated.parquet"]
        write_month(paths[0], dataset, REAL, 2_000)
    keys = [i for i, column in enumerate(get_dataset(dataset).file_columns) if column.key]
    chosen = []
    for path in paths:
        rows = rows_of(path, dataset)
        count = Counter(tuple(row[i] for i in keys) for row in rows)
        sharing = [row for row in rows if count[tuple(row[i] for i in keys)] > 1]
        chosen += sharing[:8] + rows[:: len(rows) * len(paths) // _REAL_ROWS]
    return chosen


def republished(rows: list[tuple], dataset: str) -> list[tuple]:
    """Return the rows as TLC might publish them again: fewer, more, changed, and reordered."""
    columns = get_dataset(dataset).file_columns
    whole = [i for i, c in enumerate(columns) if c.data_type in ("smallint", "integer")]
    other = next(i for i in whole if not columns[i].key)
    key = next(i for i in whole if columns[i].key)
    changed = rows[10:]
    for place, value, row in ((other, 77, 0), (other, None, 1), (key, 77, 2), (key, None, 3)):
        changed[row] = (*changed[row][:place], value, *changed[row][place + 1 :])
    return [*changed[:5], *reversed(changed), *changed[40:43]]


@dataclass
class Scenario:
    """The same commands on both warehouses, and what was in their tables after each step.

    Attributes:
        postgres: the workspace of Postgres.
        database: that of Google's engine.
        jobs: what the emulator ran, and is not executed yet.
        seen: rows by step and query, of Google's engine and of Postgres.
        merges: of each dataset, the first merge of its odd rows, and the database before it.
        raised: what scripts raised.
    """

    postgres: Workspace
    database: Any
    jobs: Any
    seen: dict[tuple[str, str], tuple[list[tuple], list[tuple]]] = field(default_factory=dict)
    merges: dict[str, tuple[str, Any]] = field(default_factory=dict)
    raised: list[str] = field(default_factory=list)

    def execute(self, step: str) -> None:
        """Execute what the emulator ran in a step, and read both warehouses."""
        for job in self.jobs.new():
            if "table" in job:
                self.jobs.load(self.database, job)
            elif not (job["error"] or "").startswith("Not found") and not only_reads(job["sql"]):
                self._keep_merge(job["sql"])
                try:
                    self.jobs.run(self.database, job)
                except Raised as raised:
                    assert job["error"]
                    self.raised.append(str(raised))
        for query in QUERIES:
            ours = self.database.run(query.format(prefix=PREFIX, text="string"))
            theirs = self.postgres.query(query.format(prefix=self.postgres.prefix, text="text"))
            self.seen[step, query] = ours, theirs

    def _keep_merge(self, sql: str) -> None:
        for dataset in DATASETS:
            of_dataset = f"model.nyc_tlc.{dataset}_tripdata" in sql and "begin transaction" in sql
            if of_dataset and f"'{ODD}'" in sql and dataset not in self.merges:
                self.merges[dataset] = sql, copied(self.database)


def only_reads(sql: str) -> bool:
    """Tell whether a job changes nothing: test_end_to_end has all of these analyzed."""
    return re.match(r"(\s|/\*.*?\*/)*(select|with)\b", sql, re.IGNORECASE) is not None


def copied(database: Any) -> Any:
    """Return a database of the same content, which changes alone."""
    other = copy.copy(database)
    other.tables = {name: copy.copy(table) for name, table in database.tables.items()}
    return other


PREFIX = "reference_"
LEDGER = """
    select
        dataset, file_month, file_name, sha256, file_bytes, file_rows, landed_rows, table_rows,
        rows_added, rows_removed, rows_unchanged, is_current
    from {prefix}tlc.file_ledger
    order by dataset, file_month, merged_at
"""
LANDED = """
    select dataset, file_month, sha256, file_rows, suspect
    from {prefix}tlc_raw.month_files
    order by dataset, file_month, landed_at
"""


def trips(dataset: str) -> str:
    names = ", ".join(column.name for column in get_dataset(dataset).file_columns)
    return f"""
        select file_month, file_row, cast(unique_row_id as {{text}}) as id, {names}
        from {{prefix}}tlc.{dataset}_tripdata
        order by file_month, file_row
    """


QUERIES = [LEDGER, LANDED, *map(trips, DATASETS)]


@pytest.fixture(scope="module")
def scenario(rig, new_database, new_workspace, tmp_path_factory) -> Scenario:
    from tests.googlesql.jobs import Jobs

    local_dir = tmp_path_factory.mktemp("reference")
    emulator = workspace_on(rig, local_dir, TLC_SCHEMA_PREFIX=PREFIX, **NO_TESTS)
    both = [emulator, new_workspace()]
    source = emulator.source
    jobs = Jobs(rig.jobs)
    list(jobs.new())  # those of other files' tests
    found = Scenario(both[1], new_database(executes=True), jobs)
    real, files = {}, {}
    for dataset in DATASETS:
        real[dataset] = real_rows(dataset, local_dir)
        for month in (REAL, ODD):
            files[dataset, month] = source / file_name(dataset, month)
        write_rows(files[dataset, REAL], dataset, REAL, real[dataset])
        write_rows(files[dataset, ODD], dataset, ODD, example(dataset))

    def load(*options: str) -> None:
        for dataset, workspace in itertools.product(DATASETS, both):
            succeeded(workspace.loader("load", "--dataset", dataset, "--source", source, *options))

    def build(*options: str) -> None:
        for workspace in both:
            succeeded(workspace.dbt("build", "--exclude", *MARTS, *options))

    load("--month", "2026-06", "--to", "2026-07")
    build()
    found.execute("first")

    for dataset in DATASETS:
        write_rows(files[dataset, REAL], dataset, REAL, republished(real[dataset], dataset))
    load("--month", "2026-06")
    build("--vars", json.dumps({"months": ["2026-06", "2026-07"]}))
    found.execute("republished, and the same again")

    # These steps are the same for each dataset.
    emulator.query(
        f"delete from {PREFIX}tlc_raw.{ONE}_tripdata"
        f" where _file_month = date '{ODD}' and _file_row = 3"
    )
    variables = json.dumps({"dataset": ONE, "months": ["2026-07"]})
    assert emulator.dbt("build", "--exclude", *MARTS, "--vars", variables).returncode
    found.execute("a row is missing")

    write_rows(files[ONE, REAL], ONE, REAL, real[ONE][: len(real[ONE]) // 3])
    month = ("--dataset", ONE, "--month", "2026-06", "--source", source)
    for workspace in both:
        succeeded(workspace.loader("load", *month))
    found.execute("suspect")
    for workspace in both:
        succeeded(workspace.loader("run", *month, "--accept", "--marts", "later"))
    found.execute("accepted")
    return found


STEPS = ["first", "republished, and the same again", "a row is missing", "suspect", "accepted"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_trips_and_ids_are_those_of_postgres(scenario, dataset, step):
    ours, theirs = scenario.seen[step, trips(dataset)]
    assert len(ours) > _ODD_ROWS + 40
    assert not differences(ours, theirs)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("query", [LEDGER, LANDED], ids=["ledger", "month_files"])
def test_records_are_those_of_postgres(scenario, query, step):
    ours, theirs = scenario.seen[step, query]
    assert ours == theirs


def test_every_kind_of_merge_was_executed(scenario):
    """The scenario is what it says: else the tests above compare too little."""
    ledger = {
        step: {(row[0], row[1]): row[7:] for row in scenario.seen[step, LEDGER][0]}
        for step in STEPS
    }
    for dataset in DATASETS:
        first = ledger["first"][dataset, REAL]
        assert first[1:] == (first[0], 0, 0, True)
        again = ledger["republished, and the same again"]
        assert min(again[dataset, REAL][1:4]) > 0
        assert again[dataset, ODD] == ledger["first"][dataset, ODD]
    assert ledger["suspect"] == ledger["a row is missing"] == again
    assert ledger["accepted"][ONE, REAL][0] * 2 < again[ONE, REAL][0]
    assert scenario.raised == [
        f"{ONE} 2026-07: {_ODD_ROWS} rows landed, {_ODD_ROWS - 1} built; nothing was changed"
    ]


def test_the_mart_is_that_of_postgres(scenario):
    columns = list(scenario.database.tables[f"{PROJECT}.{PREFIX}tlc_marts.trips"].columns)
    read = ", ".join(f"cast({c} as {{text}})" if c == "unique_row_id" else c for c in columns)
    query = f"select {read} from {{prefix}}tlc_marts.trips order by dataset, file_month, file_row"
    ours = scenario.database.run(query.format(prefix=PREFIX, text="string"))
    theirs = scenario.postgres.query(query.format(prefix=scenario.postgres.prefix, text="text"))
    assert ours
    # Minutes of centuries, worked out in floating point, differ in their last digit.
    minutes = columns.index("trip_minutes")
    found = differences(ours, theirs)
    assert [row for row in found if row[1] != minutes] == []
    assert all(one == pytest.approx(other, rel=1e-12) for _, _, one, other in found)


def differences(ours: list[tuple], theirs: list[tuple]) -> list[tuple]:
    """Compare rows; a number is the same as itself only: NaN is, and -0.0 isn't 0.0."""
    assert len(ours) == len(theirs)
    return [
        (place, column, one, other)
        for place, rows in enumerate(zip(ours, theirs, strict=True))
        for column, (one, other) in enumerate(zip(*rows, strict=True))
        if repr(one) != repr(other)
    ]


#: By Postgres: the key's text, and the id by its ordinal.
IDS = """
with odd as (
    select *, {{ row_id(row_key(var('dataset')), "1") }} as unique_row_id from odd_rows
),
numbered as (
    select *, {{ row_key(var('dataset')) }} as row_key, {{ ordinal(var('dataset')) }} as ordinal
    from odd
)
select row_key, cast({{ row_id("row_key", "ordinal") }} as text) from numbered order by file_row
"""


def rendered(workspace: Workspace, dataset: str, sql: str, **env: str) -> str:
    """Have dbt render SQL for a dataset."""
    variables = json.dumps({"dataset": dataset})
    offline = ("--no-introspect", "--no-populate-cache", "--quiet")
    process = workspace.dbt("compile", "--inline", sql, "--vars", variables, *offline, **env)
    return succeeded(process).stdout


@pytest.mark.parametrize("dataset", DATASETS)
def test_keys_and_ids_of_any_rows_are_those_of_postgres(scenario, dataset):
    from tests.googlesql.engine import value_of

    postgres = scenario.postgres
    merge, before = scenario.merges[dataset]
    key = rendered(
        postgres,
        dataset,
        "{{ row_key(var('dataset')) }}",
        TLC_TARGET="bigquery",
        GOOGLE_CLOUD_PROJECT=PROJECT,
        BIGQUERY_ACCESS_TOKEN="none",
    )
    ids = rendered(postgres, dataset, IDS)
    staged = f"{PREFIX}tlc_staging.stg_tlc__{dataset}_trips"
    merged = f"{PREFIX}tlc.{dataset}_tripdata where file_month = date '{ODD}' order by file_row"
    ((load_id,),) = before.run(
        f"select load_id from {PREFIX}tlc_raw.month_files"
        f" where dataset = '{dataset}' and file_month = date '{ODD}'"
    )
    names = [column.name for column in get_dataset(dataset).file_columns]
    raw = before.tables[f"{PROJECT}.{PREFIX}tlc_raw.{dataset}_tripdata"].columns
    connection = postgres.connect()
    cursor = connection.cursor()
    cursor.execute(
        f"create temp table odd_rows as select file_month, file_row, {', '.join(names)}"
        f" from {postgres.tlc}.{dataset}_tripdata where false"
    )

    def by_google(rows: list[tuple]) -> list[tuple]:
        database = copied(before)
        table = database.tables[f"{PROJECT}.{PREFIX}tlc_raw.{dataset}_tripdata"]
        table.rows = []
        for number, row in enumerate(rows, 1):
            values = dict(zip(names, row, strict=True))
            values |= {"_file_month": ODD, "_file_row": number, "_dlt_load_id": load_id}
            table.rows.append([value_of(kind, values.get(name)) for name, kind in raw.items()])
        keys = database.run(
            f"select {key} from {staged} where load_id = '{load_id}' order by file_row"
        )
        database.run(merge)
        found = database.run(f"select unique_row_id from {merged}")
        return [(*one, *other) for one, other in zip(keys, found, strict=True)]

    def by_postgres(rows: list[tuple]) -> list[tuple]:
        cursor.execute("truncate odd_rows")
        values = [(ODD, number, *row) for number, row in enumerate(rows, 1)]
        execute_values(cursor, "insert into odd_rows values %s", values)
        cursor.execute(ids)
        return cursor.fetchall()

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(odd_rows(dataset, _ODD_ROWS))
    def same(rows: list[tuple]) -> None:
        assert by_google(rows) == by_postgres(rows)

    same()
    connection.close()
