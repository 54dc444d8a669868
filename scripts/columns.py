#!/usr/bin/env python3
"""Write what follows from declarations and seeds: lists of columns, of layouts, of odd values.

The lists of models/trips and of the marts `trips` and `app_trips` get the declared types and
descriptions. A trips table also gets the columns that it lacks, as its last ones; a mart of single
trips gets those whose names are added to its list, and one of amounts those that the macro
`amounts` names. Listed columns keep their order, which is the table's, and what isn't declared
stays as it is.

`--check` writes nothing, and fails when a file isn't as it would be written.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from loader.calendar import format_month
from loader.datasets import Dataset, Kind, datasets
from loader.settings import PROJECT_DIR

#: The marts that show single trips, and the kind of their datasets.
KINDS = {"trips": Kind.TAXI, "app_trips": Kind.APP}
#: The marts that sum all amounts.
MARTS_OF_AMOUNTS = ("hourly_zone_trips", "daily_zone_trips")
#: Types that contracts call otherwise; `*time` is an anchor of the file.
TYPES = {"double": "float", "timestamp": "*time"}
TYPES_OF_MARTS = TYPES | {"smallint": "integer"}

LIST = re.compile(r"(?<=# written by scripts/columns\.py\n)(?: {6}.*\n)+")
TABLE = re.compile(r"(?<=<!-- written by scripts/columns\.py -->\n\n)(?:\|.*\n)+")


def main() -> None:
    """Write the files, or check them."""
    tables = ["".join(oddities()), "".join(layouts())]
    written = {PROJECT_DIR / "docs/data.md": (TABLE, tables)}
    for dataset in datasets().values():
        path = PROJECT_DIR / "models/trips" / f"{dataset.table}.yml"
        written[path] = (LIST, [columns(path, declared([dataset], TYPES), {})])
    for path in (PROJECT_DIR / "models/marts").glob("*.yml"):
        if not LIST.search(path.read_text(encoding="utf-8")):
            continue  # unit tests
        shown = [one for one in datasets().values() if one.kind == KINDS.get(path.stem, "")]
        new = new_amounts(path) if path.stem in MARTS_OF_AMOUNTS else {}
        written[path] = (LIST, [columns(path, new, declared(shown, TYPES_OF_MARTS))])
    stale = []
    for path, (block, texts) in written.items():
        before = path.read_text(encoding="utf-8")
        if not block.search(before):
            sys.exit(
                f"{path.relative_to(PROJECT_DIR)}: no list under `written by scripts/columns.py`"
            )
        after = block.sub(lambda _, left=texts: left.pop(0), before)
        if after != before:
            stale.append(str(path.relative_to(PROJECT_DIR)))
            if "--check" not in sys.argv:
                path.write_text(after, encoding="utf-8")
    if "--check" in sys.argv and stale:
        sys.exit(f"not as models/sources declares; run scripts/columns.py: {', '.join(stale)}")


def declared(shown: list[Dataset], types: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return type and description of the columns that come from the files of datasets, by name."""
    found: dict[str, dict[str, Any]] = {}
    for dataset in shown:
        text = (PROJECT_DIR / dataset.declaration).read_text(encoding="utf-8")
        (table,) = yaml.safe_load(text)["sources"][0]["tables"]
        for column in table["columns"]:
            if "config" in column:
                data_type = types.get(column["data_type"], column["data_type"])
                entry = {"data_type": data_type, "description": column.get("description", "")}
                found.setdefault(column["name"], entry)
    return found


def new_amounts(path: Path) -> dict[str, dict[str, Any]]:
    """Return type and description of the amounts that a mart doesn't list yet, by name."""
    macro = (PROJECT_DIR / "macros/marts/amounts.sql").read_text(encoding="utf-8")
    listed = path.read_text(encoding="utf-8")
    return {
        name: {
            "data_type": "*sum",
            "description": f"Sum of {name}, in dollars, reversals included.",
        }
        for name in re.findall(r"^ {8}'(\w+)': {", macro, re.MULTILINE)
        if f"{{name: {name}," not in listed
    }


def columns(path: Path, all_of: dict[str, Any], some_of: dict[str, Any]) -> str:
    """Write the list of the model that a file describes.

    Args:
        path: the file, which has the model's name.
        all_of: declared columns, which the model has all.
        some_of: declared columns, of which the model has those that are listed.
    """
    text = path.read_text(encoding="utf-8")
    aliases = {
        yaml.safe_load(value): f"*{name}" for name, value in re.findall(r'- &(\w+) (".*")', text)
    }
    (model,) = (one for one in yaml.safe_load(text)["models"] if one["name"] == path.stem)
    listed = {column["name"]: column for column in model["columns"]}
    lines = []
    for name in listed | all_of:
        column = {"name": name} | listed.get(name, {}) | all_of.get(name, some_of.get(name, {}))
        column["data_type"] = aliases.get(column["data_type"], column["data_type"])
        entry = yaml.safe_dump(
            column, default_flow_style=True, sort_keys=False, allow_unicode=True, width=100
        )
        entry = re.sub(r"'(\*\w+)'", r"\1", entry)
        lines.append("      - " + entry.replace("\n  ", "\n        "))
    return "".join(lines)


def oddities() -> Iterator[str]:
    """Write the odd values of the seed `oddities`, and how to read them."""
    yield "| what | how often | whose | how to read it |\n|---|---|---|---|\n"
    with (PROJECT_DIR / "seeds/oddities.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            where = "" if row["datasets"] == "all" else f"{row['datasets']}: "
            flag = f"; `{row['flag']}`" if row["flag"] else ""
            verdict = row["verdict"].partition(" in the")[0]
            cells = (f"{where}{row['what']}", row["how_often"], verdict)
            yield f"| {' | '.join(cells)} | {row['how_to_read']}{flag} |\n"


def layouts() -> Iterator[str]:
    """Write when the headers of each dataset's files changed, and the new ones."""
    yield "| from | dataset | columns | new |\n|---|---|--:|---|\n"
    for dataset in datasets().values():
        spellings = [spelling for column in dataset.file_columns for spelling in column.spellings]
        before: list[str] = []
        for month in sorted({spelling.first for spelling in spellings}):
            now = [spelling.name for spelling in spellings if spelling.covers(month)]
            new = ", ".join(f"`{name}`" for name in now if before and name not in before)
            yield f"| {format_month(month)} | {dataset.name} | {len(now)} | {new} |\n"
            before = now


if __name__ == "__main__":
    main()
