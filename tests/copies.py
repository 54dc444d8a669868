"""Copies of the project, for tests that change what it declares."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from loader.settings import PROJECT_DIR
from tests.processes import ran

FOLDERS = ("loader", "models", "macros", "seeds", "scripts", "docs", "tests", ".dlt")
FILES = ("dbt_project.yml", "profiles.yml", "pyproject.toml")
#: A column of green that TLC doesn't have, as models/sources/green.yml declares columns.
NEW_COLUMN = """\
          - name: tip_jar
            data_type: double
            description: What passengers left in the driver's jar.
            config: {meta: {tie_breaker: 20, spellings: [{name: TipJar, from: "2026-06"}]}}
"""


def copy_project(folder: Path) -> Path:
    """Copy what runs, what dbt reads, and what scripts/columns.py writes."""
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "*.png")
        shutil.copytree(PROJECT_DIR / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(PROJECT_DIR / name, folder)
    return folder


def declare_new_column(copy: Path) -> None:
    """Declare NEW_COLUMN as the last one of green's files."""
    path = copy / "models" / "sources" / "green.yml"
    before, loaders_own, after = path.read_text().partition("          - {name: _file_month")
    path.write_text(before + NEW_COLUMN + loaders_own + after)


def in_copy(
    copy: Path, *command: object, timeout: float | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a script or module of the copy by Python, with these variables besides."""
    env = os.environ | env | {"PYTHONPATH": str(copy)}
    return ran(sys.executable, *command, cwd=copy, env=env, timeout=timeout)
