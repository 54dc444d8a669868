"""scripts/columns.py: a column is declared once, and what follows from that is written."""

import pyarrow.parquet as pq
import pytest
import yaml

from tests.conftest import succeeded
from tests.copies import copy_project, declare_new_column, in_copy

WRITTEN = {"data_type": "float", "description": "What passengers left in the driver's jar."}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project that declares one more column of green."""
    folder = copy_project(tmp_path_factory.mktemp("copy") / "project")
    succeeded(in_copy(folder, "scripts/columns.py", "--check"))
    declare_new_column(folder)
    return folder


def test_what_is_not_written_yet_is_found_and_written(copy):
    stale = in_copy(copy, "scripts/columns.py", "--check")
    assert stale.returncode == 1
    files = stale.stderr.rpartition(": ")[2].strip().split(", ")
    assert files == ["docs/data.md", "models/trips/green_tripdata.yml"]
    succeeded(in_copy(copy, "scripts/columns.py"))
    succeeded(in_copy(copy, "scripts/columns.py", "--check"))
    (model,) = yaml.safe_load((copy / files[1]).read_text())["models"]
    assert model["columns"][-1] == {"name": "tip_jar"} | WRITTEN
    row = "| 2026-06 | green | 23 | `request_source`, `TipJar` |\n"
    assert row in (copy / files[0]).read_text()


def test_a_mart_that_names_it_gets_its_type_and_description(copy):
    path = copy / "models/marts/trips.yml"
    first = "      - {name: dataset,"
    path.write_text(path.read_text().replace(first, f"      - {{name: tip_jar}}\n{first}"))
    succeeded(in_copy(copy, "scripts/columns.py"))
    for model in yaml.safe_load(path.read_text())["models"]:
        assert model["columns"][0] == {"name": "tip_jar"} | WRITTEN


def test_it_is_in_the_generated_month_and_in_what_tests_compare(copy, tmp_path):
    month = ("--dataset", "green", "--month", "2026-06", "--rows", 100, tmp_path)
    succeeded(in_copy(copy, "-m", "loader.sample", *month))
    path = tmp_path / "green_tripdata_2026-06.parquet"
    values = pq.read_table(path)["TipJar"].to_pylist()
    assert {None, 0.0, 19.75} <= set(values)
    compared = f"from tests import exact; print(exact.expected({str(path)!r}, 'green')['tip_jar'])"
    compared += "; print(exact.TIE_BREAKERS['green'][-1])"
    assert succeeded(in_copy(copy, "-c", compared)).stdout.endswith("tip_jar\n")
    contract = ("-m", "pytest", "tests/unit/test_contract.py", "-k", "maps or ids or spelling")
    assert " passed" in succeeded(in_copy(copy, *contract, "-v")).stdout


def test_an_amount_of_the_marts_is_one_line(copy):
    macro = copy / "macros/marts/amounts.sql"
    last = "        'driver_pay': {'app': 'driver_pay'},\n"
    macro.write_text(
        macro.read_text().replace(last, f"{last}        'jar': {{'taxi': 'tip_jar'}},\n")
    )
    succeeded(in_copy(copy, "scripts/columns.py"))
    for mart in ("hourly_zone_trips", "daily_zone_trips"):
        text = (copy / f"models/marts/{mart}.yml").read_text()
        assert "{name: jar, data_type: *sum, description: 'Sum of jar," in text
