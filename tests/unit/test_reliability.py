"""The tables of faults are complete, and name tests that exist."""

import ast
import re

from loader.settings import PROJECT_DIR

TEXT = (PROJECT_DIR / "tests" / "faults" / "README.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def test_every_fault_has_a_row_with_a_test():
    rows = re.findall(r"^\| (\d+) \|.*$", TEXT, re.M)
    assert sorted(map(int, rows)) == list(range(1, len(rows) + 1))
    lines = [line for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)]
    assert all("::" in line for line in lines)


def test_every_test_that_is_named_exists():
    files = {path: ast.parse((PROJECT_DIR / path).read_text()) for path, _ in NAMED}
    tests = {(path, getattr(node, "name", "")) for path in files for node in files[path].body}
    assert set(NAMED) - tests == set()
