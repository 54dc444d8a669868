"""The tables of faults are complete, and name tests that exist."""

import ast
import re
from pathlib import Path

PROJECT_DIR = Path(__file__).parents[2]
TEXT = (PROJECT_DIR / "tests" / "faults" / "README.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def test_every_fault_has_a_row_with_a_test():
    rows = re.findall(r"^\| (\d+) \|.*$", TEXT, re.M)
    assert sorted(map(int, rows)) == list(range(1, len(rows) + 1))
    lines = [line for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)]
    assert all("::" in line for line in lines)


def test_every_test_that_is_named_exists():
    for path, name in NAMED:
        tree = ast.parse((PROJECT_DIR / path).read_text())
        assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}, (path, name)
