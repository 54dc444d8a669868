"""What the emulator ran, as `tests/emulator/serve_bigquery.py` records it."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from zetasql.wasi._pb2.zetasql.public.type_pb2 import TypeProto
from zetasql.wasi._pb2.zetasql.public.value_pb2 import ValueProto

from tests.googlesql import Refused
from tests.googlesql.engine import Table, type_of, value_of
from tests.googlesql.scripts import Database

_NODE = re.compile(r'"node_id": "([^"]+)"')
_NAMES_AND_NUMBERS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")


class Jobs:
    """Jobs of an emulator, in the order in which they started; each is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Read the jobs that ran since the last time."""
        lines = (self._folder / "jobs.jsonl").read_text().splitlines()
        first, self._read = self._read, len(lines)
        yield from sorted(map(json.loads, lines[first:]), key=itemgetter("number"))

    def load(self, database: Database, job: dict[str, Any]) -> None:
        """Give a loaded table its columns, and its rows to a database that executes."""
        content = pq.read_table(self._folder / job["file"])
        kinds = [_type_of(field.type) for field in content.schema]
        table = database.tables[job["table"]] = Table(
            dict(zip(content.column_names, kinds, strict=True))
        )
        if database.executes:
            values = [
                [value_of(kind, value) for value in _python_of(column)]
                for kind, column in zip(kinds, content.columns, strict=True)
            ]
            table.rows = list(map(list, zip(*values, strict=True)))

    def run(self, database: Database, job: dict[str, Any]) -> list[tuple]:
        """Run a query; one that makes a geography is only analyzed."""
        sql = job["sql"].replace(", make_valid => true", "")  # which is younger than the engine
        executes = database.executes
        database.executes &= "st_geogfromgeojson" not in sql
        try:
            return database.run(sql, _parameters_of(job), job["dataset"])
        finally:
            database.executes = executes


def _parameters_of(job: dict[str, Any]) -> dict[str, tuple[TypeProto, ValueProto]]:
    found = {}
    for place, parameter in enumerate(job["parameters"], 1):
        name, text = parameter["parameterType"]["type"], parameter["parameterValue"].get("value")
        value = value_of(type_of(name), text and _parsed(name, text))
        found[parameter.get("name") or f"p{place}"] = type_of(name), value
    return found


def refused(jobs: Jobs, database: Database) -> list[str]:
    """Analyze every query, each text once; return what the engine refuses, with its origin.

    Texts are the same that differ in numbers and ids only, unless they make a table.
    """
    found, seen = [], set()
    for job in jobs.new():
        if "table" in job:
            jobs.load(database, job)
            continue
        if (job["error"] or "").startswith("Not found"):
            continue  # asked whether it is there
        shape = _NAMES_AND_NUMBERS.sub("0", job["sql"])
        if shape in seen:
            continue
        before = set(database.tables)
        try:
            jobs.run(database, job)
        except Refused as error:
            node = _NODE.search(job["sql"])
            found.append(f"{node[1] if node else 'the loader, dlt or a test'}: {error}")
        if before == set(database.tables):
            seen.add(shape)
    return found


def _parsed(name: str, text: str) -> Any:
    match name:
        case "INT64":
            return int(text)
        case "FLOAT64":
            return float(text)
        case "BOOL":
            return text == "true"
        case "DATE":
            return dt.date.fromisoformat(text)
        case "TIMESTAMP":
            return dt.datetime.fromisoformat(text).astimezone(dt.UTC).replace(tzinfo=None)
        case _:
            return text


def _type_of(kind: pa.DataType) -> TypeProto:
    if pa.types.is_timestamp(kind):
        return type_of("TIMESTAMP" if kind.tz else "DATETIME")
    for is_kind, name in (
        (pa.types.is_integer, "INT64"),
        (pa.types.is_floating, "FLOAT64"),
        (pa.types.is_boolean, "BOOL"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_string, "STRING"),
    ):
        if is_kind(kind):
            return type_of(name)
    raise NotImplementedError(kind)


def _python_of(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.to_pylist()
