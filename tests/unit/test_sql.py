"""What BigQuery refuses, or takes for something else, and its emulator doesn't."""

import re

import pytest
from sqlfluff.core import FluffConfig, Linter

from loader.settings import PROJECT_DIR

COLUMNS = {
    name
    for path in (PROJECT_DIR / "models").rglob("*.yml")
    for name in re.findall(r"^ +- {?name: (\w+)", path.read_text(), re.M)
}


def test_no_variable_of_a_script_has_a_columns_name():
    macros = "".join(path.read_text() for path in (PROJECT_DIR / "macros").rglob("*.sql"))
    declared = re.findall(r"declare ([\w, ]+) \w+;", macros)
    variables = {name for names in declared for name in names.split(", ")}
    assert len(variables) >= 3
    assert "table_rows" in COLUMNS
    assert variables & COLUMNS == set()


MODELS = sorted((PROJECT_DIR / "models").rglob("*.sql"))


@pytest.mark.parametrize("path", MODELS, ids=[path.stem for path in MODELS])
def test_every_where_has_a_from(path):
    linter = Linter(config=FluffConfig.from_root(overrides={"dialect": "postgres"}))
    tree = linter.parse_string(path.read_text()).tree
    selects = list(tree.recursive_crawl("select_statement"))
    assert selects
    for select in selects:
        clauses = {segment.get_type() for segment in select.segments}
        assert not ("where_clause" in clauses and "from_clause" not in clauses), select.raw
