#!/usr/bin/env python3
"""Write the dictionary of all tables from their descriptions in dbt.

docs/dictionary.md is for people. loader/dictionary.json is for programs, and part of the package:
`nyc-tlc export` describes by it what it writes. dbt_package/ has the tables as sources of other
projects. `make check` fails when they are stale.
"""

import json
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from dbt.cli.main import dbtRunner

from loader.settings import PROJECT_DIR

#: Kinds of tables, and their headings. The folder of a model names its kind; a seed is a lookup.
KINDS = {
    "trips": "Trips, as they are in the files",
    "marts": "Marts",
    "ledger": "Ledgers",
    "official": "What TLC itself counted, and its shapes of zones",
    "lookup": "Codes and names",
}
#: The unit of a column, by its name and else by its description, the first that fits.
UNITS = {
    "": re.compile(r"_(share|rows|trips)$"),  # a part of one, or a count
    "mi/h": re.compile(r"_mph$|^miles_per_hour$"),
    "USD": re.compile(r"in (US )?dollars|^total_per_trip$"),
    "sq mi": re.compile(r"_square_miles$"),
    "mi": re.compile(r"(^|_)(miles|distance)(_|$)"),
    "min": re.compile(r"(^|_)minutes$"),
    "s": re.compile(r"^trip_time$"),
    "%": re.compile(r"_percent$"),
    "deg": re.compile(r"in degrees"),
    "B": re.compile(r"_bytes$"),
}
SOURCES = "# Written by scripts/dictionary.py.\n"
NUMBERS = ("bigint", "float", "integer", "numeric")


def main() -> None:
    """Write all files."""
    for name, text in written(describe(parse())).items():
        (PROJECT_DIR / name).write_text(text, encoding="utf-8")


def written(tables: list[dict[str, Any]]) -> dict[str, str]:
    """Return the text of each file, by its path in the project."""
    return {
        "docs/dictionary.md": "".join(markdown(tables)),
        "loader/dictionary.json": "".join(as_json(tables)),
        "dbt_package/models/sources.yml": SOURCES
        + yaml.safe_dump(sources(tables), sort_keys=False, width=100),
    }


def parse() -> Any:
    """Return dbt's manifest of the project, as it is on Postgres."""
    nowhere = dict.fromkeys(("PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE"), "none")
    os.environ |= nowhere | {"PGPORT": "1", "TLC_SCHEMA_PREFIX": ""}
    with tempfile.TemporaryDirectory() as folder:
        place = ("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR))
        written = ("--target-path", folder, "--log-path", folder)
        parsed = dbtRunner().invoke(["--quiet", "parse", "--target", "postgres", *place, *written])
        if not parsed.success:
            sys.exit(f"dbt can't parse the project: {parsed.exception}")
        return json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))


def describe(manifest: Any) -> list[dict[str, Any]]:
    """Describe each table that users read, kind by kind."""
    nodes = manifest["nodes"]
    grains = {
        node["attached_node"]: node["test_metadata"]["kwargs"]["columns"]
        for node in nodes.values()
        if node.get("test_metadata", {}).get("name") == "grain"
    }
    tables = []
    for key, node in nodes.items():
        kind = "lookup" if node["resource_type"] == "seed" else node["fqn"][1]
        if node["resource_type"] not in ("model", "seed") or kind not in KINDS:
            continue
        of_seed = node["config"].get("column_types", {})
        table = {
            "name": node["name"],
            "schema": node["schema"],
            "kind": kind,
            "is_view": node["config"]["materialized"] == "view_in_place",
            "description": one_line(node["description"]),
            "grain": grains.get(key, []),
            "columns": [],
        }
        for name, column in node["columns"].items():
            described = {
                "name": name,
                "type": column["data_type"] or of_seed.get(name, "text"),
                "description": one_line(column["description"]),
            }
            table["columns"].append(described | {"unit": unit(**described)})
        tables.append(table)
    return sorted(tables, key=lambda table: ([*KINDS].index(table["kind"]), table["name"]))


def unit(name: str, type: str, description: str) -> str | None:
    """Return the unit of a column's values; None for a count, a code, or what is no number."""
    if type.partition("(")[0] not in NUMBERS:
        return None
    fitting = (
        unit for text in (name, description) for unit, form in UNITS.items() if form.search(text)
    )
    return next(fitting, None) or None


def one_line(text: str) -> str:
    """Return a description without line breaks."""
    return " ".join(text.split())


def markdown(tables: list[dict[str, Any]]) -> Iterator[str]:
    """Write the dictionary for people."""
    yield "# Dictionary\n\n"
    yield "The tables and views, with the descriptions that they have in the warehouse, too.\n"
    yield "Written by scripts/dictionary.py; for programs: "
    yield "[dictionary.json](../loader/dictionary.json).\n"
    kind = ""
    for table in tables:
        if table["kind"] != kind:
            kind = table["kind"]
            yield f"\n## {KINDS[kind]}\n"
        description = textwrap.fill(table["description"], 100, break_on_hyphens=False)
        yield f"\n### {table['schema']}.{table['name']}\n\n{description}\n\n"
        yield "| column | type | unit | description |\n|---|---|---|---|\n"
        for column in table["columns"]:
            told = column["description"].replace("|", "\\|")
            yield f"| `{column['name']}` | {column['type']} | {column['unit'] or ''} | {told} |\n"


def as_json(tables: list[dict[str, Any]]) -> Iterator[str]:
    """Write the dictionary for programs: a column a line, so that a change shows as one."""
    yield "[\n"
    for table in tables:
        head = json.dumps(table | {"columns": []}, ensure_ascii=False).removesuffix("[]}")
        columns = ",\n".join(json.dumps(one, ensure_ascii=False) for one in table["columns"])
        yield f"{head}[\n{columns}\n]}}{'' if table is tables[-1] else ','}\n"
    yield "]\n"


def sources(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe the tables as dbt's sources: one for each schema, whose name variables may give."""
    schemas = sorted({table["schema"] for table in tables})
    return {
        "sources": [
            {
                "name": schema,
                "database": "{{ var('tlc_database', target.database) }}",
                "schema": f"{{{{ var('{schema}_schema', '{schema}') }}}}",
                "tables": [
                    {"name": table["name"], "description": table["description"]}
                    for table in tables
                    if table["schema"] == schema
                ],
            }
            for schema in schemas
        ],
    }


if __name__ == "__main__":
    main()
