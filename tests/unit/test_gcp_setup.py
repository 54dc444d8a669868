"""scripts/gcp_setup.sh, against a `gcloud` and a `bq` that record what they are asked."""

import subprocess
from pathlib import Path

import pytest

from loader.settings import PROJECT_DIR
from tests.conftest import clean_env
from tests.processes import ran

STAND_IN = """#!/usr/bin/env bash
case "$*" in
    *billingEnabled*) echo "$BILLING" ;;
    *projectNumber*) echo 42 ;;
    *" describe "* | "show "*) exit "$MISSING" ;;
    *) { printf '%s' "$(basename "$0")"; printf ' %q' "$@"; printf '\\n'; } >> "$RECORD" ;;
esac
"""
SETTINGS = {"PROJECT": "my-project", "BUCKET": "my-bucket", "REPOSITORY": "me/nyc_tlc"}


@pytest.fixture
def set_up(tmp_path):
    record = tmp_path / "record"
    for name in ("gcloud", "bq"):
        program = tmp_path / name
        program.write_text(STAND_IN)
        program.chmod(0o755)

    def run(*options: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        record.write_text("")
        env = clean_env(RECORD=str(record), TMPDIR=str(tmp_path), BILLING="True", MISSING="1")
        env |= {"PATH": f"{tmp_path}:{env['PATH']}"} | SETTINGS | variables
        script = PROJECT_DIR / "scripts" / "gcp_setup.sh"
        return ran(script, *options, env=env), record.read_text().splitlines()

    return run


def commands(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith(("gcloud ", "bq "))]


def test_what_is_printed_is_what_is_run(set_up):
    shown, asked = set_up()
    assert (shown.returncode, asked) == (0, [])
    done, asked = set_up("--run")
    assert done.returncode == 0, done.stderr
    assert asked == commands(done.stdout)
    assert asked == [line.replace("PROJECT_NUMBER", "42") for line in commands(shown.stdout)]


def test_each_piece_is_asked_for(set_up):
    _, asked = set_up("--run", LOCATION="EU", PREFIX="test_", STORAGE="PHYSICAL")
    for name in ("tlc_raw", "tlc_staging", "tlc", "tlc_marts"):
        made = (
            f"bq --location=EU mk --dataset --storage_billing_model=PHYSICAL my-project:test_{name}"
        )
        assert asked.count(made) == 1
        (granted,) = (line for line in asked if "grant" in line and f".test_{name}\\`" in line)
        assert "roles/bigquery.dataEditor" in granted
        assert "default_partition_expiration_days" in granted
    for piece in (
        "services enable bigquery.googleapis.com",
        "--role=roles/bigquery.jobUser",
        "buckets create gs://my-bucket --project=my-project --location=EU",
        "--role=roles/storage.objectAdmin",
        r"--attribute-condition=assertion.repository\ ==\ \'me/nyc_tlc\'",
        "projects/42/locations/global/workloadIdentityPools/github/attribute.repository/me/nyc_tlc",
    ):
        assert [line for line in asked if piece in line], piece


def test_what_is_there_is_not_made_again(set_up):
    done, asked = set_up("--run", MISSING="0")
    assert done.returncode == 0, done.stderr
    assert asked
    assert not [line for line in asked if " create" in line or " mk " in line]


def test_nothing_is_made_without_billing_or_by_a_wrong_option(set_up):
    done, asked = set_up("--run", BILLING="False")
    assert (done.returncode, asked) == (1, [])
    assert "billing is off for my-project" in done.stderr
    assert set_up("--rum")[0].returncode == 2


def test_no_bucket_and_no_repository_are_no_commands_for_them(set_up):
    _, asked = set_up("--run", BUCKET="", REPOSITORY="")
    assert not [line for line in asked if "storage buckets" in line or "workload" in line]


def test_its_rule_for_the_bucket_is_that_of_the_loads(set_up, tmp_path):
    set_up("--run")
    assert '"matchesPrefix": ["staging/"]' in Path(tmp_path, "nyc_tlc_lifecycle.json").read_text()
