"""A warehouse that version 0.1.0 made goes on with this one: nothing is loaded again or lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from loader.months import file_name, parse_month
from loader.sample import write_month
from loader.settings import PROJECT_DIR
from tests.conftest import Workspace, succeeded
from tests.exact import assert_same, expected, stored

#: The last commit of version 0.1.0.
VERSION_BEFORE = "ee89a65"
MONTHS = ("2023-01", "2023-02")


@pytest.fixture(scope="module")
def version_before(tmp_path_factory) -> Path:
    """The project as it was, from the repository's own history."""
    packed = subprocess.run(
        ["git", "archive", VERSION_BEFORE], cwd=PROJECT_DIR, capture_output=True, check=False
    )
    if packed.returncode:
        pytest.skip("the checkout has no history to take version 0.1.0 from")
    folder = tmp_path_factory.mktemp("before")
    # tarfile's own filter is not in the first versions of Python 3.11.
    subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    return folder


def ids(workspace: Workspace) -> list[tuple]:
    return workspace.query(
        f"select file_month, file_row, unique_row_id from {workspace.tlc}.green_tripdata"
        " order by 1, 2"
    )


def test_a_warehouse_of_the_version_before_goes_on(workspace, version_before):
    for month in MONTHS:
        path = workspace.source / file_name("green", parse_month(month))
        write_month(path, "green", parse_month(month), 3_000)
    options = ("--dataset", "green", "--month", MONTHS[0], "--to", MONTHS[1])
    options += ("--source", str(workspace.source))
    before = subprocess.run(
        [sys.executable, "-m", "loader", "run", *options],
        cwd=version_before,
        env=workspace.env | {"PYTHONPATH": str(version_before)},
        capture_output=True,
        text=True,
    )
    assert before.returncode == 0, before.stderr
    assert workspace.query(f"select distinct loader_version from {workspace.tlc}.file_ledger") == [
        ("0.1.0",)
    ]
    wanted = ids(workspace)
    assert len(wanted) == 6_000
    workspace.query(
        f"create view {workspace.tlc}.mine as select * from {workspace.tlc}.green_tripdata"
    )

    again = succeeded(workspace.loader("run", *options))
    assert again.stdout.count("nothing to do") == 2
    assert ids(workspace) == wanted

    # A republished month, and one that is built again.
    path = workspace.source / file_name("green", parse_month(MONTHS[1]))
    write_month(path, "green", parse_month(MONTHS[1]), 2_900, seed=1)
    succeeded(workspace.loader("run", *options, "--force"))
    assert_same(stored(workspace, "green", MONTHS[1]), expected(path, "green"))
    january = [row for row in wanted if row[0].month == 1]
    assert [row for row in ids(workspace) if row[0].month == 1] == january
    assert workspace.query(f"select count(*) from {workspace.tlc}.mine") == [(5_900,)]
