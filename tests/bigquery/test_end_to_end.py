"""The whole job on BigQuery: the same commands give the same tables and ids as on Postgres.

Against emulators. What they can't prove (rights, quotas, bytes billed) docs/bigquery.md tells.
"""

import datetime as dt
import json
import math
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.calendar import Month, days_of, parse_month
from loader.sample import schema_of
from loader.settings import PROJECT_DIR, load_settings
from loader.source.object_store import open_filesystem
from loader.warehouse.bigquery import BigQueryWarehouse
from tests.conftest import (
    ALL_TESTS,
    DATA_DIR,
    DATA_TESTS,
    NO_TESTS,
    Workspace,
    publish,
    succeeded,
)
from tests.emulator.roles import GRANTS
from tests.emulator.workspace import LEAST, OWNER, BigQueryWorkspace, workspace_on
from tests.exact import assert_same, expected, stored
from tests.months import load
from tests.postgres.test_end_to_end import ledger, ranges, row_ids
from tests.postgres.test_interrupts import Command

MONTHS = {"green": ["2023-02", "2025-01"], "yellow": ["2019-02", "2020-04"]}
EDGES = ("green", "2026-06")
#: Months that tests load again.
APRIL, FEBRUARY = (("--dataset", "yellow", "--month", month) for month in ("2020-04", "2019-02"))
OUR_DATASETS = ("tlc_raw", "tlc_staging", "tlc", "tlc_marts")


def edges(path: Path) -> None:
    """Write a month of everything that could come out differently on two warehouses."""
    schema = schema_of(*EDGES[:1], dt.date(2026, 6, 1))
    doubles = [None, 0.0, -0.0, 0.125, 1.005, -0.005, 1e-7, 1e9, 2.675, -52.0, 1e15, 1e300]
    doubles += [math.inf, -math.inf, math.nan, 0.1 + 0.2, 12345.675]
    times = [
        *(None, dt.datetime(2026, 6, 1), dt.datetime(2026, 6, 1, 0, 0, 0, 999999)),
        *(dt.datetime(1, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59, 500000)),
        *(dt.datetime(3019, 2, 3, 4, 5, 6, 999999), dt.datetime(2026, 3, 8, 2, 30)),
        *(dt.datetime(2025, 11, 2, 1, 30), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ]
    texts = [None, "", "|", "~", "a|b", "Peñas", "日本😀", "'; --", "\\N"]
    rows = []
    for index in range(2_000):
        row = {}
        for place, field in enumerate(schema):
            pick = index * (place + 3) + index // 7
            if field.name == "lpep_pickup_datetime" and index % 10:
                row[field.name] = times[1]  # else the month would be suspect, and not be merged
            elif pa.types.is_timestamp(field.type):
                row[field.name] = times[pick % len(times)]
            elif pa.types.is_floating(field.type):
                row[field.name] = doubles[pick % len(doubles)]
            elif pa.types.is_integer(field.type):
                row[field.name] = [None, 0, 1, -1, 2, 265][pick % 6]
            else:
                row[field.name] = texts[pick % len(texts)]
        rows.append(row)
    rows += rows[:300]  # rows that share their key, and all else
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Real months, or generated ones in their place, and the month of edge cases."""
    folder = tmp_path_factory.mktemp("source")
    for dataset, months in MONTHS.items():
        for month in months:
            name = f"{dataset}_tripdata_{month}.parquet"
            if DATA_DIR:
                (folder / name).symlink_to(DATA_DIR / "trip-data" / name)
            else:
                publish(folder, dataset, month, 3_000)
    edges(folder / "green_tripdata_2026-06.parquet")
    return folder


def months_of(source: Path, dataset: str) -> list[str]:
    return sorted(path.stem[-7:] for path in source.glob(f"{dataset}_*.parquet"))


def land(workspace: Workspace, source: Path, dataset: str) -> None:
    """Land all of a dataset's months."""
    for first, last in ranges(months_of(source, dataset)):
        load(workspace, dataset, f"{first}:{last}", source=source)


@pytest.fixture(scope="module")
def on_bigquery(rig, source, tmp_path_factory) -> BigQueryWorkspace:
    """All months on BigQuery: green over the bucket, yellow straight; merged in one build.

    By a user with the least roles, in datasets that somebody else has made.
    """
    local_dir = tmp_path_factory.mktemp("bigquery")
    settings = {"BIGQUERY_ACCESS_TOKEN": LEAST, "TLC_SOURCE": str(source)}
    workspace = workspace_on(rig, local_dir, **settings, **NO_TESTS)
    with closing(workspace.client()) as owner:
        for name in OUR_DATASETS:
            owner.create_dataset(name)
    land(workspace, source, "green")
    land(BigQueryWorkspace(workspace.env | {"TLC_BUCKET": ""}, local_dir, ""), source, "yellow")
    succeeded(workspace.dbt("build"))
    return workspace


@pytest.fixture
def settings_here(on_bigquery, monkeypatch) -> None:
    """The workspace's settings, for what a test calls in this process."""
    for name, value in on_bigquery.env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def on_postgres(new_workspace, source) -> Workspace:
    """The same months on Postgres."""
    workspace = new_workspace(marts=True)
    for dataset in MONTHS:
        land(workspace, source, dataset)
    succeeded(workspace.dbt("build"))
    return workspace


@pytest.mark.parametrize("dataset", MONTHS)
def test_rows_are_those_of_the_files_and_ids_those_of_postgres(
    on_bigquery, on_postgres, source, dataset
):
    for month in months_of(source, dataset):
        ours, theirs = (row_ids(one, dataset, month) for one in (on_bigquery, on_postgres))
        assert len(set(ours)) == len(ours) > 0
        # Rows of green that are the same in every column may swap their ids; the set is fixed.
        assert ours == theirs or (dataset == "green" and set(ours) == set(theirs))
        if (dataset, month) != EDGES:  # not every time and number of it can be read
            wanted = expected(source / f"{dataset}_tripdata_{month}.parquet", dataset)
            assert_same(stored(on_bigquery, dataset, month), wanted)


def test_times_are_wall_clock_without_a_zone_and_ids_are_never_null(on_bigquery):
    columns = on_bigquery.query(
        "select column_name, data_type, is_nullable from tlc.INFORMATION_SCHEMA.COLUMNS"
        " where table_name = 'green_tripdata'"
    )
    types = {name: kind for name, kind, _ in columns}
    never_null = {name for name, _, is_nullable in columns if is_nullable == "NO"}
    assert never_null == {"unique_row_id", "file_month", "file_row"}
    assert types["pickup_datetime"] == types["dropoff_datetime"] == "DATETIME"
    assert types["file_month"] == "DATE"


def test_the_ledger_is_that_of_postgres(on_bigquery, on_postgres):
    query = (
        "select dataset, file_month, file_name, sha256, file_bytes, file_rows, landed_rows,"
        " table_rows, rows_added, rows_removed, rows_unchanged, is_current"
        " from {schema}.file_ledger order by dataset, file_month"
    )
    ours = on_bigquery.query(query.format(schema="tlc"))
    assert ours == on_postgres.query(query.format(schema=on_postgres.tlc))


def test_every_statement_on_the_trips_names_the_months_partition(on_bigquery):
    log = (Path(on_bigquery.env["DBT_LOG_PATH"]) / "dbt.log").read_text()
    scripts = re.findall(r"declare built_row_count.*?commit transaction;", log, re.DOTALL)
    assert scripts
    statements = [s for script in scripts for s in script.split(";") if "_tripdata`" in s]
    day = r"date '\d{4}-\d\d-01'"
    whole = (
        rf"file_month >= ({day}) and (old_version\.)?file_month < date_add\(\1, interval 1 month\)"
    )
    for statement in statements:
        is_insert = statement.lstrip().startswith("insert")  # it reads raw rows
        assert re.search(f"file_month = {day}" if is_insert else whole, statement), statement


def test_run_replaces_a_republished_month_alone_and_then_has_nothing_to_do(
    on_bigquery, source, tmp_path
):
    """The real republished file where it is there; else the same values, rows in another order."""
    name = "green_tripdata_2023-02.parquet" if DATA_DIR else "green_tripdata_2025-01.parquet"
    month = name[-15:-8]
    republished = tmp_path / name
    if DATA_DIR:
        republished.symlink_to(DATA_DIR / "republished" / name)
    else:
        table = pq.read_table(source / name)
        pq.write_table(table.take(list(range(table.num_rows))[::-1]), republished)
    content = (
        "select file_month, count(*), to_hex(md5(string_agg(unique_row_id order by unique_row_id)))"
        " from tlc.green_tripdata group by 1 order by 1"
    )
    before = on_bigquery.query(content)
    options = ("--dataset", "green", "--month", month, "--source", tmp_path, "--json")
    who = {"BIGQUERY_ACCESS_TOKEN": OWNER}  # to list jobs is not among the least rights
    (done,) = json.loads(succeeded(on_bigquery.loader("run", *options, **DATA_TESTS, **who)).stdout)
    assert (done["rows_added"], done["rows_removed"]) == (0, 0)
    # The emulator bills each job 10 MB: more than the loader's own, dbt's are in it.
    assert done["bytes_billed"] > 30 * 10 * 2**20
    assert done["dollars"] == pytest.approx(done["bytes_billed"] / 2**40 * 6.25)
    assert on_bigquery.query(content) == before
    versions = ledger(on_bigquery, "green", month)
    assert [is_current for is_current, *_ in versions] == [False, True]
    raw = f"select count(*) from tlc_raw.green_tripdata where _file_month = date '{month}-01'"
    assert on_bigquery.query(raw) == [(0,)]
    (again,) = json.loads(succeeded(on_bigquery.loader("run", *options)).stdout)
    assert again["changed"] is False


@pytest.mark.slow
def test_a_month_is_a_third_of_the_jobs_that_it_was_one_after_the_other(rig, on_bigquery):
    """By the jobs of the loader, which follow each other, and those of dbt's nodes.

    It was 69, all in a row, when the profile had one thread. BigQuery takes a second or two a job.
    """
    file = rig.jobs / "jobs.jsonl"
    month = (*APRIL, "--force")
    succeeded(on_bigquery.loader("run", *month))  # the first `run` of all builds every view
    before = len(file.read_text().splitlines())
    succeeded(on_bigquery.loader("run", *month, **DATA_TESTS))
    jobs = [json.loads(line) for line in file.read_text().splitlines()[before:]]
    nodes = Counter(
        node[1] if (node := re.search(r'"node_id": "([^"]+)"', job.get("sql", ""))) else ""
        for job in jobs
    )
    manifest = json.loads((on_bigquery.local_dir / "dbt" / "manifest.json").read_text())
    parents, of_tests = manifest["parent_map"], Counter[str]()
    for name, node in manifest["nodes"].items():
        if (tested := node.get("attached_node")) is not None:
            of_tests[tested] = max(of_tests[tested], nodes[name])

    def chain(node: str) -> int:
        """Count a model's jobs, and those of the longest way to it: dbt waits for tests, too."""
        return nodes[node] + max((chain(one) + of_tests[one] for one in parents[node]), default=0)

    last = "model.nyc_tlc.month_quality"
    assert nodes[last]
    in_a_row = nodes[""] + chain(last) + of_tests[last]
    assert len(jobs) <= 38
    assert in_a_row <= 69 / 3


def test_freshness_looks_at_each_datasets_months(on_bigquery):
    freshness = "from dbt.cli.main import cli; cli(['--no-use-colors', 'source', 'freshness'])"
    late = on_bigquery.python(freshness)
    assert "ERROR STALE freshness of tlc_raw.yellow_tripdata" in late.stdout  # 2020-04
    assert "ERROR freshness" not in late.stdout


def test_no_part_of_a_landed_file_stays_in_the_bucket(settings_here):
    found = open_filesystem("gs://tlc").find("gs://tlc/staging")
    assert found  # dlt's own small files: they show that loads went through here
    assert [path for path in found if path.endswith(".parquet")] == []


def test_a_lock_of_another_machine_is_respected_shown_and_freed(on_bigquery):
    on_bigquery.query(
        "update tlc_raw._locks set token = 'boot/pid:[1]/1/1/x', holder = 'elsewhere, pid 1',"
        " expires_at = timestamp_add(current_timestamp(), interval 1 hour)"
        " where name = 'yellow 2020-04'"
    )
    process = on_bigquery.loader("load", *APRIL)
    assert process.returncode == 8
    assert "another run is working on it (elsewhere, pid 1" in process.stderr
    assert on_bigquery.loader("unlock", "yellow 2020-05").returncode == 2
    freed = succeeded(on_bigquery.loader("unlock", "yellow 2020-04")).stdout
    assert freed.startswith("freed: yellow 2020-04, which elsewhere, pid 1 held. If that run still")
    succeeded(on_bigquery.loader("load", *APRIL))


def test_the_lock_of_a_run_that_was_killed_here_is_taken_over(on_bigquery):
    killed = """
import os, signal
from contextlib import ExitStack
from rich.console import Console
from loader.calendar import Month, parse_month
from loader.settings import load_settings
from loader.terminal.progress import Reporter
from loader.warehouse.connect import connect_warehouse
month = Month("yellow", parse_month("2020-04"))
lock = connect_warehouse(load_settings()).lock(month, Reporter(Console()))
ExitStack().enter_context(lock)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert on_bigquery.python(killed).returncode == -signal.SIGKILL
    shown = succeeded(on_bigquery.loader("unlock")).stdout
    assert f"yellow 2020-04  {socket.gethostname()}, pid " in shown
    succeeded(on_bigquery.loader("load", *APRIL))
    assert succeeded(on_bigquery.loader("unlock")).stdout == "no run holds a lock\n"


@pytest.fixture
def waiting_run(on_bigquery) -> Iterator[Command]:
    """A run of yellow 2020-04 that waits for its turn to build; the turn ends with the test."""
    on_bigquery.query(
        "delete from tlc_raw._locks where name = 'build';"
        "insert into tlc_raw._locks (name, token, holder, expires_at) values"
        " ('build', 'other', 'a test', timestamp_add(current_timestamp(), interval 1 hour))"
    )
    command = Command(on_bigquery, "run", "--marts", "later", *APRIL, "--force")
    said = command.wait_for("waiting").splitlines()
    assert said[-1] == "waiting for another run's dbt build in this warehouse to end"
    yield command
    end_turn(on_bigquery)
    command.process.communicate()


def end_turn(on_bigquery: BigQueryWorkspace) -> None:
    on_bigquery.query("update tlc_raw._locks set expires_at = null where name = 'build'")


def test_a_run_that_is_stopped_gives_its_locks_back(on_bigquery, waiting_run):
    held = "select name from tlc_raw._locks where expires_at > current_timestamp() order by 1"
    assert on_bigquery.query(held) == [("build",), ("yellow 2020-04",)]
    waiting_run.process.terminate()
    code, _, said = waiting_run.ended(60)
    assert code == 143
    assert said[-1].startswith("stopped: yellow 2020-04 not done, nothing half-done")
    assert on_bigquery.query(held) == [("build",)]


def test_builds_take_turns(on_bigquery, waiting_run):
    end_turn(on_bigquery)
    code, stdout, _ = waiting_run.ended(300)
    assert (code, "merged" in stdout) == (0, True)


class Waits(Exception):
    """Raised in the place of waiting."""


@pytest.mark.parametrize(
    ("held", "wanted", "waits"),
    [
        (["2020-04"], ["2020-05"], False),
        (["2020-04", "2020-05"], ["2020-03", "2020-06"], False),
        (["2020-04"], ["2020-04"], True),  # of another dataset: they share the marts' partition
        (["2020-04", "2020-05"], ["2020-05"], True),
        ([], ["2020-05"], True),  # a build of everything
        (["2020-04"], [], True),
    ],
)
def test_builds_wait_for_those_of_their_months_alone(settings_here, held, wanted, waits):
    def turn(texts: list[str], dataset: str) -> AbstractContextManager[None]:
        def say(_: str) -> None:
            raise Waits

        warehouse = BigQueryWarehouse(load_settings())
        months = [Month(dataset, parse_month(text)) for text in texts]
        return warehouse.build_lock(SimpleNamespace(say=say), months)

    with turn(held, "yellow"):
        expected = pytest.raises(Waits) if waits else nullcontext()
        with expected, turn(wanted, "green"):
            pass
    with turn(wanted, "green"):
        pass


@pytest.mark.slow
def test_a_mirror_in_a_bucket_is_a_source(on_bigquery):
    succeeded(on_bigquery.loader("mirror", *APRIL, "gs://tlc/mirror"))
    process = succeeded(on_bigquery.loader("run", *APRIL, "--source", "gs://tlc/mirror"))
    assert "same bytes as landed" in process.stderr
    assert list((on_bigquery.local_dir / "downloads").iterdir()) == []


def test_what_is_missing_is_said_in_one_line(on_bigquery):
    process = on_bigquery.loader("doctor", "--source", "/", GOOGLE_CLOUD_PROJECT="")
    assert process.returncode == 2
    assert "GOOGLE_CLOUD_PROJECT" in process.stdout
    process = on_bigquery.loader("status", TLC_BUCKET="s3://somewhere")
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1


#: Commands that are refused in the same words.
COMMANDS = {"doctor": ("doctor",), "run": ("run", *APRIL), "status": ("status",)}


@pytest.mark.parametrize("command", ["doctor", "run"])
def test_a_project_without_billing_is_told_how_to_go_on(on_bigquery, command):
    project = {"GOOGLE_CLOUD_PROJECT": "sandbox", "BIGQUERY_ACCESS_TOKEN": OWNER}
    process = on_bigquery.loader(*COMMANDS[command], **project)
    assert process.returncode == 6
    told = process.stdout + process.stderr
    assert "billing is off for this project" in told
    assert "403" not in told


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("who", "can_allow_it"),
    [
        ("analyst", "grant `roles/bigquery.dataEditor` on schema `local.tlc"),
        ("nobody", "gcloud projects add-iam-policy-binding local"),
    ],
)
def test_another_member_of_the_project_is_told_who_can_allow_it(
    on_bigquery, command, who, can_allow_it
):
    process = on_bigquery.loader(*COMMANDS[command], BIGQUERY_ACCESS_TOKEN=who)
    assert process.returncode == 6
    told = process.stdout + process.stderr
    if who == "analyst" or command == "doctor":  # who reads metadata of a dataset needs no job
        assert can_allow_it in told
    assert "an owner of the project can allow it: " in told
    assert "403" not in told


def test_doctor_names_each_missing_piece_with_what_mends_it(on_bigquery):
    """In a project of the sandbox, by a user who may run queries, with a bucket that isn't made."""
    new = {"GOOGLE_CLOUD_PROJECT": "sandbox", "TLC_BUCKET": "gs://none", "BIGQUERY_LOCATION": "EU"}
    process = on_bigquery.loader("doctor", **new, BIGQUERY_ACCESS_TOKEN=LEAST)
    assert process.returncode == 6
    for piece in (
        "enable it at https://console.cloud.google.com/billing",
        "add-iam-policy-binding sandbox --member=user:YOU --role=roles/bigquery.user",
        "gcloud storage buckets create gs://none --location=EU",
    ):
        assert piece in process.stdout + process.stderr
    succeeded(on_bigquery.loader("doctor"))


def test_the_least_roles_are_those_of_the_docs():
    page = (PROJECT_DIR / "docs" / "bigquery.md").read_text()
    granted = [role for name in (LEAST, "first") for roles in GRANTS[name] for role in roles]
    # who makes a dataset owns it
    documented = re.findall(r"`(roles/bigquery\.\w+)`", page)
    assert {*granted} - {"roles/bigquery.dataOwner"} == {*documented}


DBT_BUILD = ("build", "--select", "yellow_tripdata", "--vars", "{dataset: yellow, month: 2019-02}")
SIXTY_DAYS = 60 * 24 * 3_600_000


@pytest.mark.parametrize("option", ["partition", "table"])
@pytest.mark.parametrize("schema", ["tlc_raw", "tlc", "tlc_marts"])
def test_datasets_that_expire_are_refused_before_anything_is_written(on_bigquery, schema, option):
    def expire_after(milliseconds: int | None) -> None:
        with closing(on_bigquery.client()) as client:
            dataset = client.get_dataset(schema)
            setattr(dataset, f"default_{option}_expiration_ms", milliseconds)
            client.update_dataset(dataset, [f"default_{option}_expiration_ms"])

    expire_after(SIXTY_DAYS)
    try:
        for command in (("doctor",), ("run", *APRIL, "--force")):
            process = on_bigquery.loader(*command)
            assert process.returncode == 6
            told = process.stdout + process.stderr
            assert f"dataset {schema} expire" in told
            assert f".{schema}` set options (default_partition_expiration_days = null" in told
    finally:
        expire_after(None)


@pytest.mark.parametrize(
    "command", [("doctor",), ("run", *FEBRUARY, "--force"), DBT_BUILD], ids=lambda one: one[0]
)
def test_an_expiration_that_appears_between_two_runs_loses_no_month(on_bigquery, command):
    """Rows of old months vanish when they are written: the emulator does the same."""
    content = "select count(*), max(unique_row_id) from tlc.yellow_tripdata"
    ledger = "select sha256, merged_at, is_current from tlc.file_ledger order by 1, 2"
    before = on_bigquery.query(content), on_bigquery.query(ledger)

    def expire_after(milliseconds: int | None) -> None:
        with closing(on_bigquery.client()) as client:
            table = client.get_table("tlc.yellow_tripdata")
            expiration = None if milliseconds is None else str(milliseconds)
            table._properties["timePartitioning"]["expirationMs"] = expiration
            client.update_table(table, ["time_partitioning"])

    expire_after(SIXTY_DAYS)
    try:
        if command == DBT_BUILD:  # the loader's first step is not there to look
            process, told = on_bigquery.dbt(*command), " 0 stored; nothing was changed"
        else:
            process = on_bigquery.loader(*command)
            told = "alter table `local.tlc.yellow_tripdata` set options"
            told += " (partition_expiration_days = null)"
        assert process.returncode
        assert told in process.stdout + process.stderr
    finally:
        expire_after(None)
    assert (on_bigquery.query(content), on_bigquery.query(ledger)) == before


@pytest.mark.parametrize("has_rows", [True, False])
def test_a_run_that_was_killed_before_it_recorded_the_drop_is_finished(on_bigquery, has_rows):
    """Raw rows are deleted first, and then recorded as dropped."""
    month = "file_month = date '2019-02-01'"
    raw = f"select count(*) from tlc_raw.yellow_tripdata where _{month}"
    table = f"select count(*), max(unique_row_id) from tlc.yellow_tripdata where {month}"
    before = on_bigquery.query(table)
    if has_rows:
        assert on_bigquery.query(raw)[0][0] == before[0][0]
    else:  # this month was run in the other case
        on_bigquery.query(
            "update tlc_raw.month_files set raw_dropped_at = null"
            f" where dataset = 'yellow' and {month}"
        )
    succeeded(on_bigquery.loader("run", "--marts", "later", *FEBRUARY))
    assert on_bigquery.query(raw) == [(0,)]
    assert on_bigquery.query(table) == before
    record = "select raw_dropped_at is not null from tlc_raw.month_files"
    assert on_bigquery.query(f"{record} where dataset = 'yellow' and {month}") == [(True,)]


def test_a_column_that_a_table_lacks_is_added_by_the_next_build(on_bigquery):
    content = (
        "select * from tlc.yellow_tripdata where file_month = date '2020-04-01' order by file_row"
    )
    before = on_bigquery.query(content)
    on_bigquery.query("alter table tlc.yellow_tripdata drop column request_source")
    succeeded(on_bigquery.loader("run", "--marts", "later", *APRIL, "--force"))
    assert on_bigquery.query(content) == before


@pytest.mark.slow
def test_a_month_is_removed_stays_away_and_comes_back_by_name(on_bigquery, tmp_path):
    publish(tmp_path, "green", "2021-05", 300)
    month = ("--dataset", "green", "--month", "2021-05")
    run = ("run", *month, "--source", tmp_path)
    of_month = "where dataset = 'green' and file_month = date '2021-05-01'"

    def counts() -> list[int]:
        tables = ("trips", "hourly_zone_trips", "zone_pairs", "monthly_fares", "month_quality")
        queries = (f"select count(*) from tlc_marts.{table} {of_month}" for table in tables)
        return [count for query in queries for (count,) in on_bigquery.query(query)]

    others = "select count(*) from tlc.green_tripdata where file_month != date '2021-05-01'"
    before = on_bigquery.query(others)
    succeeded(on_bigquery.loader(*run))
    assert counts()[0] == 300
    assert all(counts())
    succeeded(on_bigquery.loader("remove", *month))
    assert counts() == [0] * 5
    assert on_bigquery.query(others) == before
    record = f"select is_current, removed_at is not null from tlc.file_ledger {of_month}"
    assert on_bigquery.query(record) == [(False, True)]
    window = ("--since", "2021-05", "--to", "2021-05", "--source", tmp_path)
    synced = succeeded(on_bigquery.loader("sync", "--dataset", "green", *window))
    assert "nothing new" in synced.stdout
    succeeded(on_bigquery.loader(*run))
    assert counts()[0] == 300
    assert all(counts())
    succeeded(on_bigquery.loader("remove", *month))  # other tests compare all that is here


MARTS = ("hourly_zone_trips", "zone_pairs", "monthly_fares", "monthly_trips", "dropoff_hours")
MARTS += ("month_quality", "monthly_zone_revenue")


@pytest.mark.parametrize("dataset", MONTHS)
def test_marts_are_the_same_as_on_postgres(on_bigquery, on_postgres, dataset):
    """Months of several datasets share a partition: a build of one keeps the rows of the others."""
    for mart in MARTS:
        columns = [
            name
            for (name,) in on_postgres.query(
                "select column_name from information_schema.columns where table_name = %s"
                " and table_schema = %s order by ordinal_position",
                mart,
                f"{on_postgres.tlc}_marts",
            )
            # as of this warehouse's ledger and files
            if name not in ("merged_at", "days_until_published")
            and not name.startswith(("versions_", "rows_"))
        ]
        here, there = (
            sorted(
                workspace.query(
                    f"select {', '.join(columns)} from {workspace.tlc}_marts.{mart}"
                    f" where dataset = '{dataset}'"
                ),
                key=str,  # what a row is one of comes first
            )
            for workspace in (on_bigquery, on_postgres)
        )
        assert len(here) == len(there) > 0, mart
        for one, other in zip(here, there, strict=True):
            for name, left, right in zip(columns, one, other, strict=True):
                close = isinstance(left, float) and math.isclose(left, right, rel_tol=1e-12)
                assert close or left == right, (mart, name, one, other)


@pytest.mark.parametrize("bucket", ["the bucket", "no bucket"])
@pytest.mark.slow
def test_exported_files_are_the_same_as_from_postgres(
    rig, on_bigquery, on_postgres, tmp_path, settings_here, bucket
):
    before = (rig.jobs / "jobs.jsonl").read_text().count("export data options")
    month = ("--dataset", "green", "--month", "2025-01", "--trips")
    way = {} if bucket == "the bucket" else {"TLC_BUCKET": ""}
    succeeded(on_bigquery.loader("export", "--out", tmp_path / "here", *month, **way))
    succeeded(on_postgres.loader("export", "--out", tmp_path / "there", *month))
    files = {path.relative_to(tmp_path / "there") for path in tmp_path.glob("there/**/*.parquet")}
    assert files == {
        path.relative_to(tmp_path / "here") for path in tmp_path.glob("here/**/*.par*")
    }

    def both(name: str) -> tuple[pa.Table, pa.Table]:
        here, there = (pq.read_table(tmp_path / place / name) for place in ("here", "there"))
        assert here.schema == there.schema
        assert here.num_rows == there.num_rows > 0
        return here, there

    here, there = both("green_tripdata/green/2025-01.parquet")
    # Rows that are the same in every column may swap their ids.
    same = [name for name in there.column_names if name != "unique_row_id"]
    assert here.select(same) == there.select(same)
    here, there = both("hourly_zone_trips/green/2025-01.parquet")
    for name in ("trips", "reversals", "fare_amount", "tip_amount", "miles", "minutes"):
        found, wanted = (sum(filter(None, one[name].to_pylist())) for one in (here, there))
        assert found == wanted, name
    for name in ("zone_pairs", "monthly_fares", "monthly_trips", "dropoff_hours", "month_quality"):
        both(f"{name}/green/2025-01.parquet")
    for name in ("taxi_zones.parquet", "dates.parquet"):
        here, there = both(name)
        assert sorted(map(str, here.to_pylist())) == sorted(map(str, there.to_pylist()))
    assert open_filesystem("gs://tlc").find("gs://tlc/export") == []  # BigQuery's own files
    exports = (rig.jobs / "jobs.jsonl").read_text().count("export data options") - before
    assert bool(exports) == (bucket == "the bucket")


@pytest.mark.slow
def test_verdicts_follow_what_tlc_counted(on_bigquery, tmp_path):
    ((month, rows), *_) = on_bigquery.query(
        "select file_month, table_rows from tlc.file_ledger"
        " where dataset = 'green' and is_current order by file_month"
    )
    days = len(days_of(month))
    report = tmp_path / "data_reports_monthly.csv"
    for per_day, verdict in ((rows // days, "agrees"), (rows // days * 2 + 1, "file lacks")):
        lines = ["Month/Year,License Class,Trips Per Day", f'{month:%Y-%m},Green,"{per_day:,}"']
        report.write_text("\n".join([*lines, "2031-01,Green,1", ""]))
        succeeded(on_bigquery.loader("figures", "--source", report))
        expected = [(per_day * days, rows - per_day * days, verdict)]
        for table in ("tlc.official_verdicts", "tlc_marts.month_quality"):
            found = on_bigquery.query(
                f"select official_trips, official_difference, official_verdict from {table}"
                f" where dataset = 'green' and file_month = date '{month}'"
            )
            assert found == expected, table


def test_the_citys_list_of_bases_lands(on_bigquery, tmp_path):
    city = tmp_path / "current_bases.csv"
    city.write_text("license_number,entity_name,type_of_base\nB02510,LYFT INC,BLACK CAR BASE\n")
    succeeded(on_bigquery.loader("figures", "--source", city))
    found = on_bigquery.query(
        "select base_name, base_type, company, count(*) over () from tlc.licensed_bases"
        " order by landed_at is null limit 1"
    )
    assert found == [("LYFT INC", "BLACK CAR BASE", "Lyft", 1_099)]


def test_google_accepts_every_statement(on_bigquery, rig, new_database):
    """Stays the last of make test's: it analyzes what the tests above sent."""
    accept_all(rig, new_database)


@pytest.mark.slow
def test_google_accepts_what_dbts_own_tests_send(on_bigquery, rig, new_database):
    succeeded(on_bigquery.dbt("test", **ALL_TESTS))
    accept_all(rig, new_database)


def accept_all(rig, new_database) -> None:
    from tests.googlesql import jobs

    refused = jobs.refused(jobs.Jobs(rig.jobs), new_database())
    assert not refused, "\n\n".join(refused)


# dbt adds a column by BigQuery's API, which no analyzer of SQL sees: so this comes last.
@pytest.mark.slow
def test_raw_tables_get_the_columns_that_they_lack_where_nothing_lands(on_bigquery):
    column = "pickup_location_id_by_coordinates"
    on_bigquery.query(f"alter table tlc_raw.yellow_tripdata drop column {column}")
    on_bigquery.query("drop table if exists tlc_raw._project")
    green = "dataset = 'green' and file_month = date '2025-01-01'"
    on_bigquery.query(f"update tlc.marts_ledger set marts_version = 3 where {green}")
    month = ("--dataset", "green", "--month", "2025-01", "--to", "2025-01")
    assert succeeded(on_bigquery.loader("marts", *month)).stdout == "1 month built\n"
    assert on_bigquery.query(f"select count({column}) from tlc_raw.yellow_tripdata") == [(0,)]


def test_marts_of_an_earlier_version_are_built_again(on_bigquery):
    timed = ("timed_trips", "timed_miles", "timed_minutes")
    content = (
        f"select dataset, file_month, {', '.join(f'sum({name})' for name in timed)}"
        " from tlc_marts.hourly_zone_trips group by 1, 2 order by 1, 2"
    )
    before = on_bigquery.query(content)
    for name in timed:
        on_bigquery.query(f"alter table tlc_marts.hourly_zone_trips drop column {name}")
    on_bigquery.query("alter table tlc_marts.month_quality drop column marts_version")
    on_bigquery.query("drop table tlc.marts_ledger")
    built = ("marts_ledger", "hourly_zone_trips", "month_quality")
    succeeded(on_bigquery.dbt("build", "--select", *built))
    assert on_bigquery.query(content) == before
