"""Commands that messages print do what was meant when they are run as printed."""

import hashlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loader.calendar import file_name, parse_month
from loader.settings import PROJECT_DIR
from loader.source.published import redact
from loader.terminal import commands
from tests.conftest import Workspace, publish, succeeded

pytestmark = pytest.mark.slow

#: A command in a message: it ends where the message goes on.
COMMAND = re.compile(r"nyc-tlc .+?(?=; | \(put in | > in macro|$)", re.M)


def printed(process: subprocess.CompletedProcess[str]) -> list[str]:
    """The arguments of the last command that a process printed."""
    text = process.stdout + process.stderr
    # dbt breaks the lines of an error, and indents what follows.
    text = re.sub(r" *\n  (?=\S)", " ", text)
    program, *arguments = shlex.split(COMMAND.findall(text)[-1])
    assert program == "nyc-tlc"
    return arguments


def put(folder: Path, month: str, rows: int, suffix: str = ".parquet") -> Path:
    return publish(folder, "green", month, rows, suffix=suffix)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def current(workspace: Workspace, month: str) -> str | None:
    """The sha256 of the file whose rows the table holds."""
    rows = workspace.query(
        f"select sha256 from {workspace.tlc}.file_ledger"
        " where is_current and dataset = 'green' and file_month = %s",
        f"{month}-01",
    )
    return rows[0][0] if rows else None


def of(month: str) -> tuple[str, ...]:
    return ("--dataset", "green", "--month", month)


def built(month: str) -> tuple[str, ...]:
    return ("--vars", f"{{dataset: green, month: {month}}}")


@pytest.fixture(scope="module")
def merged(new_workspace) -> Workspace:
    """Months of 1,000 rows, merged; TLC_SOURCE is a folder that has other files of them."""
    made = new_workspace()
    months = ("2020-03", "2023-01", "2023-02", "2023-03", "2023-04", "2023-05")
    for month in months:
        put(made.source, month, 1_000)
    these = ("--all", "--dataset", "green", "--to", "2023-05")
    succeeded(made.loader("run", *these, "--source", made.source))
    made.env["TLC_SOURCE"] = str(made.local_dir / "elsewhere")
    for month in months:
        put(made.local_dir / "elsewhere", month, 900)
    return made


def test_a_suspect_file_is_accepted_from_the_source_that_was_given(merged):
    file = put(merged.local_dir / "my files", "2023-01", 400)
    # The options win over the environment, and a folder is relative to where one is.
    options = {"cwd": merged.local_dir, "TLC_TARGET": "local"}
    given = ("--source", "my files/", "--target", "postgres")
    refused = merged.loader("run", *of("2023-01"), *given, **options)
    assert refused.returncode == 7
    succeeded(merged.loader(*printed(refused), **options))
    assert current(merged, "2023-01") == sha256(file)


def test_a_suspect_file_of_the_settings_source_needs_no_source(merged):
    file = put(merged.local_dir / "setting", "2023-02", 400)
    setting = {"TLC_SOURCE": str(file.parent)}
    refused = merged.loader("run", *of("2023-02"), **setting)
    assert refused.returncode == 7
    assert "--source" not in printed(refused)
    succeeded(merged.loader(*printed(refused), **setting))
    assert current(merged, "2023-02") == sha256(file)


def test_a_csv_copy_is_accepted_over_parquet(merged):
    file = put(merged.local_dir / "csv", "2020-03", 1_000, ".csv")
    refused = merged.loader("run", *of("2020-03"), "--source", file.parent)
    assert "a CSV copy" in refused.stderr
    succeeded(merged.loader(*printed(refused)))
    assert current(merged, "2020-03") == sha256(file)


def test_an_empty_file_is_accepted(merged):
    file = put(merged.local_dir / "empty", "2023-03", 10)
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    refused = merged.loader("run", *of("2023-03"), "--source", file.parent, "--allow-empty")
    assert refused.returncode == 7
    file.touch()  # so that it is looked at again
    succeeded(merged.loader(*printed(refused)))
    assert current(merged, "2023-03") == sha256(file)


def test_dbt_names_the_source_of_a_suspect_version(merged):
    file = put(merged.local_dir / "Uber's files", "2023-04", 400)
    succeeded(merged.loader("load", *of("2023-04"), "--source", file.parent))
    told = succeeded(merged.dbt("build", *built("2023-04")))
    assert current(merged, "2023-04") != sha256(file)
    succeeded(merged.loader(*printed(told), TLC_TARGET="local"))
    assert current(merged, "2023-04") == sha256(file)


def test_dbt_says_how_to_land_rows_that_are_gone(merged):
    file = put(merged.local_dir / "again", "2023-05", 800)
    succeeded(merged.loader("load", *of("2023-05"), "--source", file.parent))
    merged.query(f"delete from {merged.raw}.green_tripdata where _file_row <= 300")
    refused = merged.dbt("build", *built("2023-05"))
    assert "800 rows landed, 500 built" in refused.stdout
    succeeded(merged.loader(*printed(refused)))
    assert current(merged, "2023-05") == sha256(file)


@pytest.mark.parametrize(
    ("dataset", "month", "options"),
    [("green", "2023-07", built("2023-07")), ("yellow", "2009-01", ("--vars", "{month: 2009-01}"))],
)
def test_what_is_not_landed_is_loaded_by_dbts_command(merged, dataset, month, options):
    publish(merged.local_dir / "elsewhere", dataset, month, 100)
    refused = merged.dbt("build", *options)
    assert f"{month}: not landed" in refused.stdout
    assert "landed 100 rows" in succeeded(merged.loader(*printed(refused))).stderr


def test_a_load_is_merged_by_its_next_command(merged):
    file = put(merged.local_dir / "elsewhere", "2023-08", 100)
    landed = succeeded(
        merged.loader("load", *of("2023-08"), "--target", "postgres", TLC_TARGET="local")
    )
    succeeded(merged.loader(*printed(landed), TLC_TARGET="local"))
    assert current(merged, "2023-08") == sha256(file)


def test_available_lists_what_the_source_of_the_message_has(merged):
    folder = put(merged.local_dir / "few", "2019-05", 10).parent
    put(folder, "2023-01", 10)
    (folder / "notes.txt").touch()
    refused = merged.loader("run", *of("2024-01"), "--source", folder)
    assert refused.returncode == 3
    told = succeeded(merged.loader(*printed(refused), "--json"))
    assert [row["month"] for row in json.loads(told.stdout)] == ["2019-05", "2023-01"]


def test_marts_that_status_misses_are_built_by_its_command(merged):
    told = succeeded(merged.loader("status"))
    succeeded(merged.loader(*printed(told)))
    assert "nothing to do" in succeeded(merged.loader("marts")).stdout


def test_the_documented_command_writes_analyses_that_run(merged):
    text = (PROJECT_DIR / "docs" / "marts.md").read_text()
    (command,) = re.findall(r"`nyc-tlc (dbt compile [^`]+)`", text)
    succeeded(merged.loader(*shlex.split(command)))
    written = Path(merged.env["DBT_TARGET_PATH"]) / "compiled" / "nyc_tlc" / "analyses"
    names = {path.relative_to(written) for path in written.rglob("*.sql")}
    ours = PROJECT_DIR / "analyses"
    assert names == {path.relative_to(ours) for path in ours.rglob("*.sql")}
    for name in names:
        merged.query((written / name).read_text())


def test_a_file_for_a_source_is_told_with_its_folder(merged):
    file = merged.source / file_name("green", parse_month("2023-01"))
    refused = merged.loader("run", *of("2023-01"), "--source", file)
    assert refused.returncode == 2
    assert refused.stderr.endswith(f"{file} is a file: give its folder, {file.parent}\n")


def test_a_folder_without_files_of_a_dataset_says_so(merged):
    told = succeeded(merged.loader("available", "--dataset", "fhv"))
    assert told.stdout == f"{merged.env['TLC_SOURCE']} has no file of fhv\n"
    assert succeeded(merged.loader("available", "--dataset", "fhv", "--json")).stdout == "[]\n"


def test_a_command_carries_what_was_given_and_no_secret():
    assert commands.nyc_tlc("run", "--accept") == "nyc-tlc run --accept"
    commands.remember("bigquery", "gs://b/trips")
    assert commands.nyc_tlc("run") == "nyc-tlc run --source gs://b/trips --target bigquery"
    assert commands.nyc_tlc("marts") == "nyc-tlc marts --target bigquery"
    assert commands.nyc_tlc("mirror", "x y") == "nyc-tlc mirror 'x y' --source gs://b/trips"
    commands.remember(None, redact("https://me:s3cret@example.org/trips?key=s3cret"))
    told = commands.nyc_tlc("run")
    assert "s3cret" not in told
    # As it stands the server refuses it: it never takes another source's file.
    assert told.startswith(
        "nyc-tlc run --source 'https://***@example.org/trips?***' (put in for ***"
    )
