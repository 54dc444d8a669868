"""Rules of dbt-project-evaluator, read off dbt's manifest. Exceptions say why."""

import re

from loader.settings import PROJECT_DIR
from tests.unit.conftest import of_project

#: Models whose rows are those of another model, or of the files, one by one: theirs is the grain.
ROW_BY_ROW = re.compile(r"stg_\w+|int_\w+|trips|trips_clean|app_trips")
#: Models that read no model, and the reason.
ROOTS = {
    "dates": "a calendar",
    "file_ledger": "filled by the merge of each month",
    "marts_ledger": "filled by the last mart of each month",
}
#: Who reads a source besides its staging model, and the reason.
READERS_OF_SOURCES = {
    ("month_files", "trips"): "a merge takes the version that landed, and records it",
    ("official_figures", "official"): "its columns are the table's",
    ("taxi_zone_shapes", "official"): "its columns are the view's",
    ("base_list", "official"): "its columns are the view's",
}


def models(manifest):
    return {n["name"]: n for n in of_project(manifest["nodes"]) if n["resource_type"] == "model"}


def parents(node, kind):
    return {name for name in node["depends_on"]["nodes"] if name.startswith(f"{kind}.")}


def test_each_model_has_a_test_of_its_grain(manifest):
    tested = {
        node["attached_node"].split(".")[-1]
        for node in of_project(manifest["nodes"])
        if node.get("test_metadata", {}).get("name") in ("grain", "unique_rows")
    }
    untested = {name for name in models(manifest) if name not in tested}
    assert [name for name in sorted(untested) if not ROW_BY_ROW.fullmatch(name)] == []


def test_models_begin_at_the_sources(manifest):
    roots = {
        name
        for name, node in models(manifest).items()
        if not parents(node, "model") | parents(node, "source") | parents(node, "seed")
    }
    assert roots == set(ROOTS)


def test_sources_are_read_by_staging(manifest):
    readers = {
        (source.split(".")[-1], node["fqn"][1])
        for node in models(manifest).values()
        for source in parents(node, "source")
        if not (node["fqn"][1] == "staging" and source.endswith("_tripdata"))
    }
    assert readers - {("month_files", "staging")} == set(READERS_OF_SOURCES)


def test_names_say_the_folder(manifest):
    for name, node in models(manifest).items():
        prefix = {"staging": "stg_tlc__", "intermediate": "int_", "trips": ""}.get(node["fqn"][1])
        assert prefix is None or name.startswith(prefix)
        assert (prefix in (None, "")) == (not name.startswith(("stg_", "int_")))


def test_hashes_are_of_the_pinned_versions():
    pinned, hashed = (
        set(re.findall(r"^([\w.-]+==[\w.+!-]+)", (PROJECT_DIR / name).read_text(), re.M))
        for name in ("constraints.txt", "hashes.txt")
    )
    # What builds the package is of the group `build`, and pinned there.
    assert {
        one for one in hashed - pinned if not one.startswith(("editables", "hatchling"))
    } == set()
    assert len(hashed) > 100
