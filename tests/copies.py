"""Copies of the project, for tests that change what it declares."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from loader.settings import PROJECT_DIR
from tests.processes import ran

_NOT_IN_A_CHECKOUT = (
    *(".git", ".venv", ".local", ".env", ".hypothesis", ".*_cache", "__pycache__"),
    *("target", "logs", "site"),
)
#: A column of green that TLC doesn't have, as models/sources/green.yml declares columns.
NEW_COLUMN = """\
          - name: tip_jar
            data_type: double
            description: What passengers left in the driver's jar.
            config: {meta: {tie_breaker: 20, spellings: [{name: TipJar, from: "2026-06"}]}}
"""


def copy_project(folder: Path) -> Path:
    """Copy the project as a checkout has it."""
    ignored = shutil.ignore_patterns(*_NOT_IN_A_CHECKOUT)
    return shutil.copytree(PROJECT_DIR, folder, ignore=ignored, dirs_exist_ok=True)


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
