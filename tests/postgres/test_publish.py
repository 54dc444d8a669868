"""scripts/publish.py: marts that are exported week by week, each week on an empty server."""

import json
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.embedded import local_server
from loader.settings import PROJECT_DIR
from tests import forks
from tests.conftest import clean_env, publish, succeeded

pytestmark = pytest.mark.slow

WINDOW = ("--since", "2023-01", "--to", "2023-04")
#: As of the run that loaded the month.
OF_RUN = {"merged_at", "days_until_published", "versions_seen", "rows_added_since"}
OF_RUN |= {"rows_removed_since"}


@pytest.fixture
def week(tmp_path):
    """Publish what a folder of month files has, on an empty server."""
    servers = []

    def run(*options, is_same_server=False):
        local_dir = servers[-1] if is_same_server else tmp_path / f"week-{len(servers)}"
        env = clean_env(TLC_LOCAL_DIR=str(local_dir), TLC_SOURCE=str(tmp_path / "source"))
        command = [forks.python(), "-P", "scripts/publish.py", tmp_path / "out", *WINDOW, *options]
        servers.append(local_dir)
        text = {"capture_output": True, "text": True, "check": False}
        return subprocess.run(command, cwd=PROJECT_DIR, env=env, **text), env

    yield run
    for local_dir in servers:
        local_server.stop(local_dir)


def test_what_is_published_week_by_week_is_what_one_warehouse_has(week, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    publish(source, "green", "2023-01", 400)
    publish(source, "fhvhv", "2023-01", 400)
    path = publish(source, "green", "2023-02", 400)
    succeeded(week()[0])
    first = json.loads((out / "datapackage.json").read_text())["resources"]

    publish(source, "green", "2023-03", 400)
    pq.write_table(pq.read_table(path).slice(100), path)
    done, env = week()
    assert [line for line in succeeded(done).stdout.splitlines() if "at the source" in line] == [
        "green 2023-02  changed at the source",
        "green 2023-03  new at the source",
    ]
    kept = {one["path"]: one["hash"] for one in first if "2023-01" in one["path"]}
    resources = json.loads((out / "datapackage.json").read_text())["resources"]
    found = {one["path"]: one["hash"] for one in resources}
    assert kept.items() <= found.items()
    ledger = pq.read_table(out / "file_ledger/green/2023-02.parquet").to_pylist()
    assert [(row["is_current"], row["table_rows"]) for row in ledger] == [(False, 400), (True, 300)]

    pages = {path.name: path.read_text() for path in (out / "reports").iterdir()}
    assert sorted(pages) == ["2023-01.html", "2023-02.html", "2023-03.html", "history.html"]
    # Compared with the month before, which that week's server had no file of.
    assert "isn't loaded" not in pages["2023-02.html"]

    # The same server once more, which has versions of the month already.
    pq.write_table(pq.read_table(path).slice(1), path)
    succeeded(week(is_same_server=True)[0])
    ledger = pq.read_table(out / "file_ledger/green/2023-02.parquet").to_pylist()
    assert sorted(row["table_rows"] for row in ledger) == [299, 300, 400]
    assert [row["table_rows"] for row in ledger if row["is_current"]] == [299]
    built = pq.read_table(out / "marts_ledger/green/2023-02.parquet").to_pylist()
    assert len({row["merged_at"] for row in built}) == len(built) == 3

    nothing, _ = week()
    assert succeeded(nothing).stdout == "nothing new\n"

    # One warehouse, which has loaded all.
    for dataset, last in (("green", "2023-03"), ("fhvhv", "2023-01")):
        months = ("--dataset", dataset, "--month", "2023-01", "--to", last)
        nyc_tlc(env, "run", *months, "--force")
    nyc_tlc(env, "export", "--out", tmp_path / "all")
    of_months = [name for name in found if "/" in name and "_ledger/" not in name]
    assert len(of_months) > 20
    for name in of_months:
        assert rows(out / name) == rows(tmp_path / "all" / name), name


def nyc_tlc(env, *arguments):
    command = [forks.python(), "-m", "loader", *map(str, arguments)]
    text = {"capture_output": True, "text": True, "check": False}
    succeeded(subprocess.run(command, cwd=PROJECT_DIR, env=env, **text))


def rows(path) -> pa.Table:
    table = pq.read_table(path)
    return table.drop_columns([name for name in table.column_names if name in OF_RUN])
