"""What tests without a server share: a web server, and the project as dbt understands it."""

import json
import os
import subprocess
import sys

import pytest

from loader.settings import PROJECT_DIR
from loader.source import retries
from tests.cdn import cdn

__all__ = ["cdn"]

PACKAGE = "nyc_tlc"


@pytest.fixture
def no_waiting(monkeypatch):
    """What is tried again is tried at once."""
    monkeypatch.setattr(retries, "BACKOFF_SECONDS", 0)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """The project as dbt understands it. Parsing needs no server."""
    target_path = tmp_path_factory.mktemp("target")
    process = subprocess.run(
        [
            *(sys.executable, "-m", "dbt.cli.main", "--no-use-colors"),
            # A warning of dbt, a deprecation above all, is an error here.
            *("--warn-error-options", '{"error": "all"}', "parse", "--show-all-deprecations"),
            *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)),
        ],
        env=os.environ
        | {
            "DBT_TARGET_PATH": str(target_path),
            "DBT_LOG_PATH": str(target_path),
            "TLC_TARGET": "local",
            # Has dbt compare the documented arguments with the macro's own, names and types.
            "DBT_VALIDATE_MACRO_ARGS": "true",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    return json.loads((target_path / "manifest.json").read_text())


def of_project(nodes):
    return [node for node in nodes.values() if node["package_name"] == PACKAGE]
