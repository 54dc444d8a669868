"""Two clones on one machine don't meet, and plain dbt finds the server of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loader.embedded import local_server
from loader.settings import PROJECT_DIR
from tests import forks
from tests.conftest import DATA_TESTS, Workspace, clean_env, publish, succeeded

pytestmark = [pytest.mark.slow, pytest.mark.empty_warehouse]

MONTH = ("--dataset", "green", "--month", "2023-01")


@pytest.fixture(scope="module")
def clones() -> Iterator[list[Workspace]]:
    """Two clones, told apart by TLC_LOCAL_DIR alone, with 100 and 200 rows of one month.

    The first one's folder is given relative to the project, as `.local` is.
    """
    made = []
    # Short and not below pytest's folder, which a server of another user may not enter.
    folders = [Path(tempfile.mkdtemp(prefix="nyc_tlc-clone-")) for _ in range(2)]
    for rows, folder in zip((100, 200), folders, strict=True):
        name = os.path.relpath(folder, PROJECT_DIR) if rows == 100 else str(folder)
        env = clean_env(
            TLC_LOCAL_DIR=name,
            TLC_SOURCE=str(folder / "source"),
            DBT_TARGET_PATH=str(folder / "dbt"),
            DBT_LOG_PATH=str(folder / "logs"),
            **DATA_TESTS,
        )
        clone = Workspace(env, folder, "")
        publish(clone.source, "green", "2023-01", rows)
        made.append(clone)
    try:
        yield made
    finally:
        for clone, folder in zip(made, folders, strict=True):
            clone.loader("postgres", "stop")
            for named in (PROJECT_DIR / clone.env["TLC_LOCAL_DIR"], folder):
                shutil.rmtree(local_server.socket_dir(named), ignore_errors=True)
            shutil.rmtree(folder)


def answer(clone: Workspace, query: str) -> object:
    """Ask a clone's server for one value."""
    named = PROJECT_DIR / clone.env["TLC_LOCAL_DIR"]
    there = replace(clone, env=local_server.connection_env(named))
    return there.query(query)[0][0]


def plain_dbt(clone: Workspace, *args: str, cwd: Path = PROJECT_DIR) -> str:
    """Run dbt as a user does: in the project's folder, with nothing said of folders."""
    process = subprocess.run(
        [forks.python(), "-m", "dbt.cli.main", "--no-use-colors", *args],
        cwd=cwd,
        env=clone.env,
        capture_output=True,
        text=True,
        check=False,
    )
    return succeeded(process).stdout


def test_clones_dont_disturb_each_other_and_plain_dbt_finds_its_own(clones):
    one, two = clones
    for clone in clones:
        succeeded(clone.loader("load", *MONTH))
    counts = "select count(*) from tlc.green_tripdata"
    # PG* variables of the user's own lead elsewhere: target local doesn't look at them.
    one.env["PGHOST"] = "/nowhere"
    plain_dbt(one, "build", "--vars", "{month: 2023-01}")
    assert answer(one, counts) == 100
    assert answer(two, "select to_regclass('tlc.green_tripdata')") is None

    succeeded(two.loader("run", *MONTH))
    assert (answer(one, counts), answer(two, counts)) == (100, 200)
    told = one.loader("postgres", "psql", "--", "-XAtc", counts)
    assert succeeded(told).stdout == "100\n"

    hosts = {succeeded(clone.loader("postgres", "env")).stdout for clone in clones}
    assert len(hosts) == 2
    assert all("export PGHOST=" in text and "export PGDATABASE=" in text for text in hosts)

    assert succeeded(one.loader("postgres", "stop")).stdout == "stopped\n"
    assert "not running" in succeeded(one.loader("postgres", "status")).stdout
    assert "running, pid" in succeeded(two.loader("postgres", "status")).stdout
    assert answer(two, counts) == 200
    # Any command with target local starts the server again; its data are still there.
    assert "100" in succeeded(one.loader("status")).stdout
    assert answer(one, counts) == 100


def test_profiles_folder_may_be_given_as_a_dot(clones):
    # With the folder's default, the one thing that differs is how dbt was told of profiles.yml.
    one, _ = clones
    succeeded(one.loader("postgres", "start"))
    assert "OK connection ok" in plain_dbt(one, "debug", "--profiles-dir", ".", "--connection")
