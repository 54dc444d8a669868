"""scripts/try_bigquery.py, whole, against the emulators."""

import subprocess

import pytest

from loader.sample import write_month
from loader.settings import PROJECT_DIR
from tests import forks
from tests.bigquery.test_bill import FIRST
from tests.conftest import clean_env, succeeded

pytestmark = pytest.mark.slow


def test_the_trial_loads_compares_reports_and_cleans_up(rig, tmp_path):
    write_month(tmp_path / f"green_tripdata_{FIRST:%Y-%m}.parquet", "green", FIRST, 200)
    report = tmp_path / "report.md"
    arguments = ("--month", f"{FIRST:%Y-%m}", "--source", tmp_path, "--report", report)
    done = subprocess.run(
        [forks.python(), "-P", PROJECT_DIR / "scripts/try_bigquery.py", *map(str, arguments)],
        env=clean_env(**rig.env),
        capture_output=True,
        text=True,
    )
    succeeded(done)
    said = report.read_text()
    assert "- run: exit 0, merged, 200 rows, 200 added, 0 removed, 0 unchanged" in said
    assert "- run: exit 0, merged, 199 rows, 1 added, 2 removed, 198 unchanged" in said
    assert "- 200 rows, each column and each id: as in the file" in said
    assert "- 199 rows, each column and each id: as in the file" in said
    assert "computed 629 MB" in said
    assert "- doctor, by your account: exit 0: " in said
    assert "- of 2 rows in an expired partition: 0 in the transaction, 0 after" in said
    assert "- doctor with a table that expires: exit 6" in said
    assert "- insert beside insert: committed, committed" in said
    assert "bytes: delete from `PROJECT.tlc.green_tripdata` where file_month >= " in said
    assert "- all is deleted" in said
    assert "| query | SCRIPT |" in said
