"""Everything that `dbt docs` shows is described; Markdown pages are short, and name what exists."""

import csv
import re

import pytest

from loader.datasets import datasets
from loader.settings import PROJECT_DIR
from tests.unit.conftest import PACKAGE, of_project

DOCS = PROJECT_DIR / "docs"
PAGES = [
    *PROJECT_DIR.glob("*.md"),
    *DOCS.rglob("*.md"),
    *(PROJECT_DIR / "models").glob("*.md"),
    *(PROJECT_DIR / "benchmarks").glob("*.md"),
    PROJECT_DIR / "tests" / "faults" / "README.md",
]


def texts(thing):
    """Descriptions of a node and of its columns, by name."""
    columns = {f"{thing['name']}.{name}": one for name, one in thing.get("columns", {}).items()}
    named = {thing["name"]: thing} | columns
    return {name: one.get("description") or "" for name, one in named.items()}


@pytest.mark.parametrize("kind", ["nodes", "sources", "macros", "exposures", "unit_tests"])
def test_what_dbt_docs_shows_is_described(manifest, kind):
    things = of_project(manifest[kind])
    assert things
    assert [one["name"] for one in things if one["description"] != one["description"].strip()] == []
    if kind == "nodes":
        things = [one for one in things if one["resource_type"] in ("model", "seed")]
        # Of private views, the columns are those of the sources or of the trips, described there.
        private = {"staging", "intermediate"}
        assert all(one["columns"] for one in things if not private & set(one["fqn"]))
    if kind == "sources":
        assert all(source["columns"] and source["source_description"] for source in things)
    if kind == "macros":
        things = macros_that_models_call(manifest)
    described = {name: text for one in things for name, text in texts(one).items()}
    assert [name for name, text in described.items() if not text.strip()] == []


def signature(macro):
    """Names of a macro's arguments, as its definition has them."""
    found = re.search(r"{%-?\s*(?:macro|test)\s+\w+\s*\(([^)]*)\)", macro["macro_sql"])
    arguments = found[1].split(",") if found else []
    return [argument.split("=")[0].strip() for argument in arguments if argument.strip()]


def test_every_column_of_a_seed_is_listed(manifest):
    seeds = [n for n in of_project(manifest["nodes"]) if n["resource_type"] == "seed"]
    for seed in seeds:
        with (PROJECT_DIR / seed["original_file_path"]).open(newline="") as file:
            assert list(seed["columns"]) == next(csv.reader(file)), seed["name"]


def test_what_others_query_is_public_and_has_a_contract(manifest):
    models = [n for n in of_project(manifest["nodes"]) if n["resource_type"] == "model"]
    public = {model["name"] for model in models if model["access"] == "public"}
    tables = {dataset.table for dataset in datasets().values()}
    marts = {model["name"] for model in models if "marts" in model["fqn"]}
    assert {"trips", "app_trips", "hourly_zone_trips", "month_quality"} < marts
    official = {"official_figures", "official_trips", "official_verdicts"}
    official |= {"taxi_zone_shapes", "licensed_bases"}
    assert public == {"file_ledger", "marts_ledger"} | official | marts | tables
    assert public == {m["name"] for m in models if m["contract"]["enforced"]}


def test_every_code_of_a_trip_has_a_relationship_to_the_dictionary(manifest):
    keys = {
        node["attached_node"].split(".")[-1]: node["test_metadata"]["kwargs"]["relationships"]
        for node in of_project(manifest["nodes"])
        if node.get("test_metadata", {}).get("name") == "unusual_values"
    }
    codes = {"vendor_id", "rate_code_id", "payment_type", "trip_type"}
    codes |= {"pickup_location_id", "dropoff_location_id"}
    for dataset in ("yellow", "green"):
        table = f"{dataset}_tripdata"
        columns = manifest["nodes"][f"model.{PACKAGE}.{table}"]["columns"]
        assert set(keys[table]) == codes & set(columns)


def macros_that_models_call(manifest):
    """Those of which dbt's docs tell; any other has a comment where its name doesn't say enough."""
    models = [n for n in of_project(manifest["nodes"]) if n["resource_type"] != "test"]
    code = "".join(node.get("raw_code") or "" for node in models)
    macros = {macro["name"]: macro for macro in of_project(manifest["macros"])}
    return [macro for name, macro in macros.items() if re.search(rf"\b{name}\(", code)]


def test_macros_that_models_call_are_described_with_their_arguments(manifest):
    for macro in macros_that_models_call(manifest):
        documented = [argument["name"] for argument in macro["arguments"]]
        assert documented == signature(macro), macro["name"]
        assert all(a["type"] and a["description"] for a in macro["arguments"]), macro["name"]


def test_yaml_documents_no_macro_that_is_gone(manifest):
    names = {macro["name"] for macro in of_project(manifest["macros"])}
    text = (PROJECT_DIR / "macros" / "_macros.yml").read_text()
    assert sorted(set(re.findall(r"^  - name: (\w+)$", text, re.M)) - names) == []


def test_docs_have_no_block_that_nothing_uses(manifest):
    blocks = {block["name"] for block in of_project(manifest["docs"])}
    blocks.remove("__overview__")  # the front page
    yaml = "".join(
        path.read_text()
        for folder in ("models", "seeds", "macros")
        for path in (PROJECT_DIR / folder).rglob("*.yml")
    )
    assert sorted(blocks - set(re.findall(r"""doc\(["'](\w+)["']\)""", yaml))) == []


def relative(path):
    return str(path.relative_to(PROJECT_DIR))


def prose(page):
    """Lines of a page outside code blocks, with their numbers."""
    is_code = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        is_code ^= line.startswith("```")
        if not is_code:
            yield number, line


def anchors(page):
    """The anchors that GitHub gives to a page's headings."""
    headings = (line.lstrip("# ") for _, line in prose(page) if re.match("#+ ", line))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page):
    text = "\n".join(line for _, line in prose(page))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_paths_that_pages_name_exist(page):
    folders = r"(?:benchmarks|docs|loader|macros|models|scripts|seeds|tests|\.github|\.dlt)"
    for path in re.findall(rf"`({folders}/[\w./-]*)(?:::\w+)?`", page.read_text()):
        assert (PROJECT_DIR / path).exists(), path


def test_pages_that_other_files_name_exist():
    suffixes = {".py", ".sql", ".yml", ".toml", ".md", ""}
    folders = ("loader", "macros", "models", "scripts", "tests", "benchmarks", ".github")
    for folder in folders:
        for path in (PROJECT_DIR / folder).rglob("*"):
            if path.suffix in suffixes and path.is_file():
                for name in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text()):
                    assert (PROJECT_DIR / name).exists(), (relative(path), name)


def test_readme_and_pages_of_the_docs_are_short():
    pages = {PROJECT_DIR / "README.md", *DOCS.rglob("*.md")} - {DOCS / "dictionary.md"}
    words = {relative(page): len(page.read_text().split()) for page in pages}
    limits = {name: 400 if "/decisions/" in name else 1_200 for name in words}
    limits["README.md"] = 1_000
    assert {name: count for name, count in words.items() if count > limits[name]} == {}


def test_the_indexes_of_the_docs_are_complete():
    for folder in (DOCS, DOCS / "decisions"):
        index = (folder / "README.md").read_text()
        pages = {page.name for page in folder.glob("*.md")} - {"README.md"}
        assert {name for name in pages if f"({name})" not in index} == set()


def test_lines_of_prose_are_short():
    long = [
        f"{relative(page)}:{number}"
        for page in PAGES
        for number, line in prose(page)
        if len(line) > 100 and not line.lstrip().startswith(("|", "!"))
    ]
    assert long == []
