"""Removes each check of a file, one after the other: without it, a test has to fail.

`python -m tests.security.checks` takes ten minutes. It works on a copy of the project.
"""

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loader.settings import PROJECT_DIR
from tests.copies import copy_project, in_copy

#: The modules that check, and the quick tests of them, beside tests/security/test_malformed.py.
MODULES = {
    "loader/landing/conform.py": ("conform", "csv"),
    "loader/landing/values.py": ("conform", "csv"),
    "loader/source/csv_file.py": ("csv", "conform"),
    "loader/source/download.py": ("download", "csv", "mirror"),
    "loader/source/http.py": ("discover", "download", "retries"),
}
#: Tested on the emulator, in tests/bigquery/test_mirror_gs.py.
OF_BUCKETS = "_BucketTransfer"
SECONDS = 600


def without_each_check(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each `raise`, and the source without it."""
    lines = source.splitlines(keepends=True)
    for part in ast.parse(source).body:
        if isinstance(part, ast.ClassDef) and part.name == OF_BUCKETS:
            continue
        for node in ast.walk(part):
            if isinstance(node, ast.Raise) and node.exc and node.end_lineno:
                nothing = " " * node.col_offset + "pass\n"
                without = [*lines[: node.lineno - 1], nothing, *lines[node.end_lineno :]]
                yield node.lineno, "".join(without)


def main() -> int:
    """Print the checks that no test misses."""
    unmissed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        for module, names in MODULES.items():
            source = (PROJECT_DIR / module).read_text()
            tests = [f"tests/unit/test_{name}.py" for name in names]
            tests.append("tests/security/test_malformed.py")
            command = ("-m", "pytest", "-q", "-x", "-n0", "-m", "not slow", *tests)
            for line, changed in without_each_check(source):
                (copy / module).write_text(changed)
                try:
                    is_missed = in_copy(copy, *command, timeout=SECONDS).returncode
                except subprocess.TimeoutExpired:  # without it, something never ends
                    is_missed = True
                unmissed += not is_missed
                print(f"{module}:{line}: {'missed' if is_missed else 'NOT MISSED'}", flush=True)
            (copy / module).write_text(source)
    return 1 if unmissed else 0


if __name__ == "__main__":
    sys.exit(main())
