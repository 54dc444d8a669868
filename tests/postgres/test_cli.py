"""The commands: exit codes, one line for each mistake, output for people and for programs."""

import json
import logging
import os
import re
import sys
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from loader import cli
from loader.source import retries
from tests.cdn import cdn, with_headers
from tests.conftest import Workspace, publish, succeeded
from tests.months import load, run

__all__ = ["cdn"]

GREEN = ("--dataset", "green", "--month")
NAME = "green_tripdata_2023-01.parquet"


def one_line(stderr: str) -> str:
    """Return the error that a command ended with; there is nothing else on standard error."""
    assert "Traceback" not in stderr
    *progress, last = stderr.splitlines()
    assert last.startswith("error: ")
    assert not [line for line in progress if line.startswith("error: ")]
    return last


@pytest.fixture
def in_process(workspace, monkeypatch, capsys):
    """Run the command line here: a second faster than a process, for what ends before dlt."""
    monkeypatch.setattr(retries, "BACKOFF_SECONDS", 0)

    def run_here(*args: object, **env: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["loader", *map(str, args)])
        handlers = logging.root.handlers[:]
        capsys.readouterr()
        try:
            here = patch.dict(os.environ, workspace.env | env, clear=True)
            with here, pytest.raises(SystemExit) as end:
                cli.main()
        finally:
            logging.root.handlers[:] = handlers
        said = capsys.readouterr()
        return end.value.code or 0, said.out, said.err

    return run_here


def small_month(folder: Path, month: str = "2023-01", rows: int = 50) -> Path:
    return publish(folder, "green", month, rows)


# ---- 2: wrong usage ------------------------------------------------------------------------------

#: Other texts that are no months: tests/unit/test_contract.py; SQL: tests/security.
WRONG = {
    "unknown dataset": (("--dataset", "fhw", "--month", "2023-01"), "choose from fhv, fhvhv"),
    "dataset in capitals": (("--dataset", "Green", "--month", "2023-01"), "'Green'"),
    "month 13": ((*GREEN, "2023-13"), "'2023-13' is not a month"),
    "no month": ((*GREEN, ""), "YYYY-MM"),
    "last month wrong": ((*GREEN, "2023-01", "--to", "2023-1"), "'2023-1' is not a month"),
    "backwards": ((*GREEN, "2023-02", "--to", "2023-01"), "2023-01 is before --month 2023-02"),
    "before green's first": ((*GREEN, "2013-12"), "first month that can be loaded is 2014-01"),
    "before yellow's first": (("--dataset", "yellow", "--month", "2008-12"), "is 2009-01"),
    "year 1": ((*GREEN, "0001-01"), "green 0001-01: the first month"),
    "unknown target": ((*GREEN, "2023-01", "--target", "oracle"), "choose from local, postgres"),
    "source of another kind": ((*GREEN, "2023-01", "--source", "ftp://x/y"), "can't read from"),
}


@pytest.mark.parametrize("command", ["load", "run"])
@pytest.mark.parametrize(("options", "reason"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.empty_warehouse
def test_wrong_options_are_told_in_one_line(in_process, workspace, command, options, reason):
    code, stdout, stderr = in_process(command, *options)
    assert (code, stdout) == (2, "")
    assert reason in one_line(stderr)
    assert workspace.query("select to_regnamespace(%s)", workspace.raw) == [(None,)]


@pytest.mark.parametrize("prefix", ["Dev_", "1x", "a-b", 'a"; drop', "x" * 22, "ü_"])
def test_a_schema_prefix_that_cant_be_right_is_refused(in_process, prefix):
    code, _, stderr = in_process("status", TLC_SCHEMA_PREFIX=prefix)
    assert code == 2
    assert "TLC_SCHEMA_PREFIX" in one_line(stderr)


@pytest.mark.parametrize("args", [(), ("postgres",)])
def test_incomplete_commands_show_usage(in_process, args):
    code, stdout, stderr = in_process(*args)
    assert code == 2
    assert "Usage" in stdout + stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    "command",
    [
        *((), ("load",), ("run",), ("status",), ("available",), ("doctor",), ("postgres",)),
        *(("postgres", name) for name in ("start", "stop", "status", "psql", "env")),
    ],
    ids=lambda command: " ".join(command) or "loader",
)
def test_every_command_has_help(command):
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout


# ---- 3, 4, 5: the source and its files -----------------------------------------------------------


def test_a_month_that_is_not_there_ends_with_3(in_process, workspace, cdn):
    code, _, stderr = in_process("load", *GREEN, "2024-01", "--source", workspace.source)
    assert (code, "green 2024-01" in one_line(stderr)) == (3, True)
    small_month(cdn.folder)  # the month that tells "not published" from "blocked"
    code, _, stderr = in_process("run", *GREEN, "2024-01", "--source", cdn.url)
    assert (code, "green 2024-01" in one_line(stderr)) == (3, True)


def test_a_source_that_fails_ends_with_4(in_process, workspace, cdn):
    code, _, stderr = in_process("load", *GREEN, "2023-01", "--source", workspace.source / "none")
    assert code == 4
    assert "doesn't exist" in one_line(stderr)
    cdn.forbid_all = True
    blocked = cdn.url.replace("http://", "http://me:secret@")
    code, _, stderr = in_process("load", *GREEN, "2023-01", "--source", blocked)
    assert code == 4
    assert "blocked or throttled" in one_line(stderr)
    assert "secret" not in stderr
    code, stdout, _ = in_process("run", *GREEN, "2023-01", "--json", "--source", blocked)
    assert code == 4
    (told,) = json.loads(stdout)
    assert (told["state"], "blocked or throttled" in told["error"]) == ("failed", True)


def breaching(table: pa.Table, column: str, kind: pa.DataType, row: int, value: object) -> pa.Table:
    values = table[column].cast(kind).to_pylist()
    values[row] = value
    index = table.schema.get_field_index(column)
    return table.set_column(index, pa.field(column, kind), pa.array(values, kind))


def test_refused_files_end_with_5_and_change_nothing(in_process, workspace):
    path = small_month(workspace.source)
    good = path.read_bytes()
    table = pq.read_table(path)
    command = ("load", *GREEN, "2023-01", "--source", workspace.source)

    def refused(content: bytes | pa.Table) -> str:
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content)
        code, _, stderr = in_process(*command)
        assert code == 5
        line = one_line(stderr)
        assert "green 2023-01" in line
        assert NAME in line
        return line

    assert "isn't a whole Parquet file" in refused(b"<html>")
    assert "isn't a whole Parquet file" in refused(b"")
    assert "isn't a whole Parquet file" in refused(good[:-1])
    assert "corrupt" in refused(b"PAR1" + b"\0" * 100 + b"PAR1")
    assert "empty file" in refused(table.slice(0, 0))
    missing = refused(table.drop_columns(["PULocationID"]))
    assert "column pickup_location_id: missing" in missing


def test_a_value_that_breaks_the_contract_ends_with_5(workspace):
    path = small_month(workspace.source)
    table = breaching(pq.read_table(path), "passenger_count", pa.float64(), 7, 1.5)
    pq.write_table(table, path)
    command = ("run", *GREEN, "2023-01", "--source", workspace.source)
    process = workspace.loader(*command)
    assert process.returncode == 5
    line = one_line(process.stderr)
    for part in ("green 2023-01", NAME, "passenger_count", "1.5"):
        assert part in line
    # Pages that don't decompress: found in the middle of the file, after the checks of its ends.
    small_month(workspace.source, rows=5_000)
    broken = bytearray(path.read_bytes())
    broken[200:20_000] = bytes(19_800)
    path.write_bytes(broken)
    process = workspace.loader(*command)
    assert process.returncode == 5
    assert "green 2023-01" in one_line(process.stderr)
    counts = f"select (select count(*) from {workspace.raw}.month_files),"
    counts += f" (select count(*) from {workspace.raw}.green_tripdata)"
    assert workspace.query(counts) == [(0, 0)]


# ---- 6, 8: the warehouse -------------------------------------------------------------------------


def test_a_server_that_cant_be_reached_ends_with_6(in_process):
    for command in (("status",), ("load", *GREEN, "2023-01"), ("available", "--dataset", "green")):
        code, stdout, stderr = in_process(*command, PGPORT="1")
        assert (code, stdout) == (6, "")
        assert "Postgres can't be reached" in one_line(stderr)


@pytest.fixture
def by_password(server, workspace):
    """A database user who must give a password, and may not create anything."""
    rules = server / "pg_hba.conf"
    before = rules.read_text()
    workspace.query("create role guest login password 'right'")
    rules.write_text(f"local all guest scram-sha-256\n{before}")
    workspace.query("select pg_reload_conf()")
    yield "guest"
    rules.write_text(before)
    workspace.query("select pg_reload_conf()")
    workspace.query("drop role guest")


@pytest.mark.empty_warehouse
def test_a_wrong_password_ends_with_6_and_is_not_shown(in_process, by_password):
    code, _, stderr = in_process("status", PGUSER=by_password, PGPASSWORD="wr0ng-one")
    assert code == 6
    assert "password authentication failed" in one_line(stderr)
    assert "wr0ng-one" not in stderr
    assert in_process("status", PGUSER=by_password, PGPASSWORD="right")[0] == 0


@pytest.mark.empty_warehouse
def test_doctor_names_the_right_that_is_missing(in_process, by_password, workspace):
    code, stdout, stderr = in_process("doctor", "--source", workspace.source)
    assert (code, stderr) == (0, "")
    assert stdout.count("ok  ") == len(stdout.splitlines()) >= 4
    guest = {"PGUSER": by_password, "PGPASSWORD": "right"}
    code, stdout, _ = in_process("doctor", "--source", workspace.source / "none", **guest)
    failures = [line for line in stdout.splitlines() if line.startswith("FAIL")]
    assert code == 6  # the first that failed
    assert len(failures) == 2
    assert "no right to create schemas" in failures[0]


def test_a_month_that_another_run_works_on_ends_with_8(in_process, workspace):
    small_month(workspace.source)
    other = workspace.connect()
    key = f"nyc_tlc {workspace.raw} green 2023-01"
    with other.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
    for command in ("load", "run"):
        code, _, stderr = in_process(command, *GREEN, "2023-01", "--source", workspace.source)
        assert code == 8
        assert "green 2023-01: another run" in one_line(stderr)
    # Another month isn't locked: it is looked for, and not there.
    assert in_process("load", *GREEN, "2023-02", "--source", workspace.source)[0] == 3
    other.close()


def test_a_lock_on_postgres_needs_no_freeing(in_process):
    code, stdout, _ = in_process("unlock")
    assert (code, stdout) == (
        0,
        "nothing to free: on Postgres a lock ends with the session of its run\n",
    )


# ---- dbt's --vars --------------------------------------------------------------------------------

BAD_VARS = {
    "SQL in the month": ('{"month": "2024-01\'; drop table x; --"}', "is not a month"),
    "Jinja in the month": ('{"month": "{{ target.password }}"}', "is not a month"),
    "month 13": ("{month: 2024-13}", "'2024-13' is not a month"),
    "short year": ("{month: 24-1}", "'24-1' is not a month"),
    "other digits": ('{"month": "\\uff12\\uff10\\uff12\\uff14-01"}', "is not a month"),
    "a line break": ('{"month": "2024-01\\n"}', "is not a month"),
    "a number": ("{month: 202401}", "'202401' is not a month"),
    "a day, which YAML makes a date": ("{month: 2024-01-01}", "is not a month"),
    "a month as the list": ("{months: 2024-01}", "months is a list"),
    "an empty list": ("{months: []}", "months is a list"),
    "a bad month in the list": ("{months: [2023-01, 2023-1]}", "'2023-1' is not a month"),
    "both": ("{month: 2023-01, months: [2023-01]}", "not both"),
    "unknown dataset": ("{dataset: fhw, month: 2023-01}", "unknown dataset 'fhw'"),
    "unknown name": ("{mnoth: 2023-01}", "unknown name 'mnoth'"),
}

# One process for all, which parses once: dbt takes seconds for each.
BUILDS = """
import json, sys
from pathlib import Path
from dbt.cli.main import dbtRunner
from loader.settings import PROJECT_DIR

answers = {}
folders = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
manifest = dbtRunner().invoke(["--quiet", "parse", *folders]).result
for name, text in json.loads(sys.argv[1]).items():
    said = []
    runner = dbtRunner(manifest, callbacks=[lambda event: said.append(event.info.msg)])
    result = runner.invoke(["--quiet", "build", *folders, "--vars", text])
    answers[name] = [result.success, f"{result.exception} {chr(10).join(said)}"]
Path(sys.argv[2]).write_text(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(new_workspace) -> dict:
    """What dbt said to each of BAD_VARS, with a month landed and merged; the tables around it."""
    workspace = new_workspace()
    small_month(workspace.source)
    small_month(workspace.source, "2023-02")
    run(workspace, "green", "2023-01", "--keep-raw")
    load(workspace, "green", "2023-02")
    schemas = (workspace.raw, workspace.tlc, f"{workspace.prefix}tlc_staging")
    before = [workspace.relations(schema) for schema in schemas]
    out = workspace.local_dir / "answers.json"
    texts = {name: text for name, (text, _) in BAD_VARS.items()}
    succeeded(workspace.python(BUILDS, json.dumps(texts), out))
    after = [workspace.relations(schema) for schema in schemas]
    told = {"workspace": workspace, "before": before, "after": after}
    return json.loads(out.read_text()) | told


@pytest.mark.parametrize("name", BAD_VARS)
def test_vars_that_cant_be_right_are_refused(answers, name):
    success, said = answers[name]
    assert not success
    assert "--vars: " in said
    assert BAD_VARS[name][1] in said


def test_refused_vars_change_nothing(answers):
    assert answers["before"][0]
    assert answers["after"] == answers["before"]


def test_a_month_without_a_value_is_refused(answers):
    # What `--vars "{month: $MONTH}"` becomes when the variable isn't set: not a wish for all.
    workspace = answers["workspace"]
    refused = workspace.dbt("build", "--vars", "{month: }")
    assert refused.returncode != 0
    assert "--vars: " in refused.stdout


# ---- What commands show --------------------------------------------------------------------------


#: To the second, in UTC.
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def stocked(new_workspace) -> Workspace:
    """2023-01 merged, 2023-02 landed, 2023-03 only published."""
    workspace = new_workspace()
    for number, month in enumerate(("2023-01", "2023-02", "2023-03"), 1):
        small_month(workspace.source, month, rows=1_000 * number)
    # From another folder than the project's.
    anywhere = {"cwd": Path("/")}
    run(workspace, "green", "2023-01", **anywhere)
    load(workspace, "green", "2023-02", **anywhere)
    return workspace


def test_status_shows_the_ledger(stocked):
    rows = json.loads(succeeded(stocked.loader("status", "--json", cwd=Path("/"))).stdout)
    told = [(r["month"], r["state"], r["file_rows"], r["table_rows"]) for r in rows]
    assert told == [
        ("2023-01", "merged", 1_000, 1_000),
        ("2023-02", "landed, not merged", 2_000, None),
    ]
    assert all(len(row["sha256"]) == 64 for row in rows)
    times = [rows[0]["landed_at"], rows[0]["merged_at"], rows[1]["landed_at"]]
    assert all(ISO_8601.fullmatch(time) for time in times)
    assert rows[1]["merged_at"] is None
    lines = succeeded(stocked.loader("status")).stdout.splitlines()
    assert len(lines) == 4
    assert "1,000" in lines[1]
    assert "landed, not merged" in lines[2]
    assert lines[3] == "without their marts: 1; to build them: nyc-tlc marts"


def test_available_compares_the_source_with_the_warehouse(stocked):
    options = ("--dataset", "green", "--month", "2022-12", "--to", "2023-03")
    command = ("available", *options, "--source", stocked.source)
    rows = json.loads(succeeded(stocked.loader(*command, "--json")).stdout)
    told = [(r["month"], r["published"], r["here"], r["changed"]) for r in rows]
    assert told == [
        ("2022-12", False, "", False),
        ("2023-01", True, "merged", False),
        ("2023-02", True, "landed, not merged", False),
        ("2023-03", True, "", False),
    ]
    assert all(ISO_8601.fullmatch(row["last_modified"]) for row in rows[1:])
    small_month(stocked.source, "2023-01", rows=900)
    try:
        lines = succeeded(stocked.loader(*command)).stdout.splitlines()
    finally:
        small_month(stocked.source, "2023-01", rows=1_000)
    assert "not yet" in lines[1]
    assert "merged, changed at the source" in lines[2]


def test_available_takes_a_source_that_tells_no_dates(in_process, cdn):
    path = small_month(cdn.folder)
    cdn.script(path.name, [with_headers(Last_Modified="")] * 2, method="HEAD")
    options = (*GREEN, "2023-01", "--to", "2023-01", "--source", cdn.url)
    code, stdout, stderr = in_process("available", *options)
    assert (code, stderr) == (0, "")
    assert "yes" in stdout


@pytest.mark.parametrize("last", ["2014-03", "0001-01"])
def test_available_starts_at_the_first_month_there_is(in_process, cdn, last):
    # Of a web address, a year before the last month is the default; the first month bounds it.
    small_month(cdn.folder)  # the month that tells "not published" from "blocked"
    code, stdout, stderr = in_process(
        "available", "--dataset", "green", "--to", last, "--source", cdn.url, "--json"
    )
    if last == "2014-03":
        assert (code, stderr) == (0, "")
        assert [row["month"] for row in json.loads(stdout)] == ["2014-01", "2014-02", "2014-03"]
    else:
        assert code == 2
        assert one_line(stderr)


def test_empty_warehouse_says_what_to_try(in_process):
    code, stdout, _ = in_process("status")
    assert code == 0
    assert "nothing is landed yet: try nyc-tlc run" in stdout
    code, stdout, _ = in_process("status", "--json")
    assert (code, json.loads(stdout)) == (0, [])


def test_postgres_commands_tell_a_server_that_was_never_started(in_process):
    code, stdout, _ = in_process("postgres", "status", "--json")
    assert (code, json.loads(stdout)["running"]) == (0, False)
    code, stdout, _ = in_process("postgres", "status")
    assert code == 0
    assert "not running" in stdout
    assert in_process("postgres", "stop")[:2] == (0, "not running\n")


def test_errors_go_to_the_log_with_their_stack(in_process, workspace):
    in_process("load", *GREEN, "2024-01", "--source", workspace.source)
    log = (workspace.local_dir / "logs" / "loader.log").read_text()
    assert "Traceback" in log
    assert "NotPublishedError" in log


def test_counts_that_differ_end_with_7_and_keep_the_raw_rows(workspace):
    small_month(workspace.source)
    run(workspace, "green", "2023-01", "--keep-raw")
    workspace.query(f"delete from {workspace.tlc}.green_tripdata where file_row = 7")
    again = ("run", *GREEN, "2023-01", "--source", workspace.source, "--keep-raw")
    process = workspace.loader(*again)
    assert process.returncode == 7
    assert "50 in the file" in process.stderr
    assert "49 in the table" in process.stderr
    # Without --keep-raw the raw rows are there to be dropped, so the month is built anew first.
    run(workspace, "green", "2023-01")
    count = f"select count(*) from {workspace.tlc}.green_tripdata"
    assert workspace.query(count) == [(50,)]


def test_a_failed_month_does_not_stop_the_others(workspace):
    source = workspace.source
    for month in ("2023-01", "2023-03"):
        small_month(source, month)
    (source / "green_tripdata_2023-02.parquet").write_bytes(b"PAR1 not what it says PAR1")
    option = ("run", *GREEN, "2023-01", "--to", "2023-04", "--json")
    result = workspace.loader(*option, "--source", source)
    assert result.returncode == 5  # that of the first which failed
    told = json.loads(result.stdout)
    assert [row["state"] for row in told] == ["merged", "failed"] * 2
    assert "green_tripdata_2023-02.parquet" in told[1]["error"]
    assert "2023-04" in told[3]["error"]
    assert "error: 2 of 4 months failed; run again to go on" in result.stderr
    assert workspace.query(
        f"select file_month::text from {workspace.tlc}.green_tripdata group by 1 order by 1"
    ) == [("2023-01-01",), ("2023-03-01",)]


def test_a_month_that_the_warehouse_refuses_does_not_stop_the_others(workspace):
    for month in ("2023-01", "2023-02", "2023-03"):
        small_month(workspace.source, month)
    run(workspace, "green", "2023-01")
    workspace.query(
        f"""
        create function {workspace.raw}.refuse() returns trigger language plpgsql
        as $$ begin raise exception 'not this one'; end $$;
        create trigger refuse before insert on {workspace.raw}.month_files for each row
        when (new.file_month = date '2023-02-01') execute function {workspace.raw}.refuse();
        select 1
        """
    )
    both = (*GREEN, "2023-02", "--to", "2023-03", "--source", workspace.source)
    result = workspace.loader("run", *both, "--json")
    assert result.returncode == 6
    failed, merged = json.loads(result.stdout)
    assert (failed["state"], merged["state"]) == ("failed", "merged")
    assert failed["error"].startswith("green 2023-02: Postgres: not this one")
