"""`make bench` at a small size: it runs, and its result has every figure. None is judged here."""

import datetime as dt
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.history import measure_history
from benchmarks.report import months_svg
from benchmarks.server import throwaway_server
from loader.datasets import datasets
from loader.settings import PROJECT_DIR
from tests.conftest import clean_env, succeeded

pytestmark = pytest.mark.slow

ROWS = 3_000

#: What a full run is judged by.
FIGURES = (
    "ratio_to_limit",
    "ratio_to_limit_with_id",
    "speedup_empty",
    "speedup_12_months",
    "landing_ratio",
    "landing_process_ratio",
    "flatness",
    "unchanged_seconds",
    "dbt_overhead_seconds",
    "mirror_ratio",
    "peak_mb",
    "marts_to_run",
    "official_ms",
    "bytes_a_row",
    "server_seconds_a_million",
    "written_ratio",
    "drift",
)


def bench(folder: Path, *options: str) -> str:
    """Run the benchmarks once, on months of few rows; return what they print."""
    size = ("--folder", str(folder), "--rows", str(ROWS), "--repeats", "1")
    command = [sys.executable, "-m", "benchmarks", *size, *options]
    done = subprocess.run(
        command, cwd=PROJECT_DIR, env=clean_env(), capture_output=True, text=True, check=False
    )
    return succeeded(done).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    bench(folder, "--months", "2")
    return folder


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_there(result, name):
    assert math.isfinite(result[name])
    assert result[name] > 0


def test_a_share_is_one_and_room_is_taken_or_not(result):
    assert 0 <= result["first_scan_dirtied"] <= 1
    assert math.isfinite(result["room_ratio"])


def test_all_ways_did_the_same_months(result):
    assert result["rows"] == ROWS
    assert [one["month"] for one in result["months"]] == [1, 2]
    assert [one["month"] for one in result["replaced_flow"]] == [1, 2]
    assert result["speedup_12_months_there"] == 1
    assert result["rows_checked"] == 2 * ROWS


def test_a_month_again_is_left_alone(result):
    assert [again["changed"] for again in result["unchanged"]] == [False]


def test_the_server_and_the_files_are_gone(folder):
    assert {path.name for path in folder.iterdir()} == {"lock", "result.json"}


def test_the_plot_has_a_dot_for_each_month(result):
    plot = months_svg(result["months"], result["replaced_flow"], ROWS)
    assert plot.count('aria-roledescription="point"') == 4


def test_another_dataset_is_held_against_the_limit(tmp_path):
    months = json.loads(bench(tmp_path, "--dataset", "fhv", "--months", "1"))
    assert [month["month"] for month in months] == ["2019-03", "2018-12"]
    for month in months:
        assert month["rows"] == ROWS
        assert min(month["seconds"], month["limit_seconds"], month["bytes_a_row"]) > 0


def test_a_history_is_loaded_in_spite_of_kills_and_compared():
    """A month of each dataset, and one more of green; `make bench HISTORY=1` does all."""
    months = [(dataset, dt.date(2023, 1, 1)) for dataset in datasets()]
    months.append(("green", dt.date(2023, 2, 1)))
    # Not pytest's folder, which the server's user may not enter.
    with (
        tempfile.TemporaryDirectory(prefix="nyc_tlc-history-") as folder,
        throwaway_server(Path(folder)) as server,
    ):
        found = measure_history(server, Path(folder) / "files", months, kills=1)
    assert found["problems"] == []
    assert found["kills"] == 1
    assert found["partitions"] == len(months)
    assert found["flatness"] > 0
