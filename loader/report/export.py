"""Writes tables as Parquet, a file a month, with a description for programs: datapackage.json."""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from loader import __version__
from loader.calendar import Month
from loader.datasets import get_dataset
from loader.errors import ReconciliationError, UsageError
from loader.months.state import read_states
from loader.terminal.progress import Reporter
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion

#: Arrow's and Frictionless' types by those of the dictionary.
_TYPES: dict[str, tuple[pa.DataType, str]] = {
    "bigint": (pa.int64(), "integer"),
    "boolean": (pa.bool_(), "boolean"),
    "date": (pa.date32(), "date"),
    "double precision": (pa.float64(), "number"),
    "float": (pa.float64(), "number"),
    "integer": (pa.int32(), "integer"),
    "numeric(20, 4)": (pa.decimal128(20, 4), "number"),
    "smallint": (pa.int16(), "integer"),
    "text": (pa.string(), "string"),
    "timestamp": (pa.timestamp("us"), "datetime"),
    "uuid": (pa.string(), "string"),
}
_BY_MONTH = {"dataset", "file_month"}
_PACKAGE = "datapackage.json"


@dataclass(frozen=True)
class Table:
    """A table that is exported, as the dictionary describes it.

    Attributes:
        name: its name.
        schema: of a warehouse whose schemas have no prefix; for readers of the dictionary.
        kind: trips, marts, ledger, official or lookup.
        is_view: whether its rows follow from other tables.
        description: what a row is.
        grain: columns of which no two rows have the same values.
        columns: name, type, unit and description of each.
    """

    name: str
    schema: str
    kind: str
    is_view: bool
    description: str
    grain: Sequence[str]
    columns: Sequence[dict[str, Any]]

    @property
    def place(self) -> str:
        """Where queries find it; {tlc} and {marts} stand for the schemas."""
        return f"{'{marts}' if self.kind == 'marts' else '{tlc}'}.{self.name}"

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns as the files have them."""
        return pa.schema([(one["name"], _TYPES[one["type"]][0]) for one in self.columns])

    @property
    def is_by_month(self) -> bool:
        """Whether it has a file for each dataset and month."""
        return self.kind == "trips" or {one["name"] for one in self.columns} >= _BY_MONTH


@cache
def tables() -> tuple[Table, ...]:
    """Return what can be exported: tables, and the views that are no other form of one."""
    dictionary = Path(__file__).parents[1].joinpath("dictionary.json").read_text("utf-8")
    found = (Table(**one) for one in json.loads(dictionary))
    return tuple(t for t in found if not (t.is_view and t.kind == "marts") or t.name == "dates")


def export(
    warehouse: Warehouse,
    reporter: Reporter,
    folder: Path,
    is_chosen: Callable[[Month], bool],
    *,
    with_trips: bool = False,
) -> "Package":
    """Write the marts of months, and the tables that belong to no month.

    Files of other months that the folder has stay, and go on being described.

    Args:
        is_chosen: whether to export a month of the ledger.

    Raises:
        ReconciliationError: when a month changes meanwhile.
        UsageError: when the folder can't be written.
    """
    package = Package(folder)
    for month, state in read_states(warehouse, for_reader=True).items():
        if not is_chosen(month) or state.merged is None:
            continue
        if state.has_marts is False:
            package.without_marts.append(month)
            continue
        package.months.append(month)
        kinds = {"ledger", "official"} | ({"marts"} if get_dataset(month.dataset).kind else set())
        chosen = [
            table
            for table in tables()
            if (with_trips and table.name == get_dataset(month.dataset).table)
            or (table.is_by_month and table.kind in kinds)
        ]
        with reporter.stage(month.label, "export", "rows") as stage:
            stage.set(package.write(warehouse, chosen, state.merged))
    if package.months:
        package.write(warehouse, [table for table in tables() if not table.is_by_month])
        package.describe()
    return package


class Package:
    """A folder of Parquet files, and what describes them.

    Attributes:
        files: number of files that were written.
        file_bytes: their size.
        months: months that were exported.
        without_marts: months that weren't, as their marts aren't built.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = self.file_bytes = 0
        self.months: list[Month] = []
        self.without_marts: list[Month] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            described = json.loads((folder / _PACKAGE).read_text("utf-8"))
        except FileNotFoundError:
            described = {"resources": []}
        except OSError as error:
            raise UsageError(f"can't write to {folder}: {error.strerror}") from error
        except json.JSONDecodeError as error:
            raise UsageError(f"{folder / _PACKAGE} isn't one of ours: {error}") from error
        self._resources = {one["path"]: one for one in described["resources"]}

    def write(
        self,
        warehouse: Warehouse,
        chosen: Sequence[Table],
        version: FileVersion | None = None,
    ) -> int:
        """Write tables, or a merged month of them, all or none; return the number of rows."""
        month = version.month if version else None
        rows: dict[str, int] = {}
        try:
            for table in chosen:
                name = f"{table.name}/{month.dataset}/{month.text}" if month else table.name
                path = self.folder / f"{name}.part"
                path.parent.mkdir(parents=True, exist_ok=True)
                rows[name] = 0
                rows[name] = _write(warehouse, table, version, path)
        except BaseException:
            for name in rows:
                (self.folder / f"{name}.part").unlink(missing_ok=True)
            raise
        for table, (name, count) in zip(chosen, rows.items(), strict=True):
            path = self.folder / f"{name}.parquet"
            path.with_suffix(".part").replace(path)
            self.files += 1
            self.file_bytes += path.stat().st_size
            self._resources[f"{name}.parquet"] = {
                "name": name.replace("/", "."),
                # Frictionless compares the bytes and their hash. As a table, through pandas, it
                # would take a NULL in a column of integers for NaN, and refuse it.
                "type": "file",
                "path": f"{name}.parquet",
                "format": "parquet",
                "mediatype": "application/vnd.apache.parquet",
                "description": table.description,
                "bytes": path.stat().st_size,
                "hash": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
                "table_rows": count,
                **({"source_sha256": version.sha256} if version else {}),
                "schema": f"schemas/{table.name}.json",
            }
        return sum(rows.values())

    def describe(self) -> None:
        """Write datapackage.json, a schema for each table, and a page for people."""
        (self.folder / "schemas").mkdir(exist_ok=True)
        schemas = {one["schema"] for one in self._resources.values()}
        for table in tables():
            if (schema := f"schemas/{table.name}.json") in schemas:
                self._put(schema, _json({"fields": list(_fields(table))}))
        package = {
            "name": "nyc-tlc",
            "title": "New York's taxi trips, from TLC's files",
            "version": __version__,
            "created": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
            "sources": [
                {
                    "title": "TLC Trip Record Data",
                    "path": "https://www.nyc.gov/site/tlc/about/tlc-trip-record-data.page",
                }
            ],
            "resources": [one for _, one in sorted(self._resources.items())],
        }
        self._put("README.md", "".join(_readme(self._resources)))
        self._put(_PACKAGE, _json(package))  # last: it says that all is there

    def _put(self, name: str, text: str) -> None:
        part = self.folder / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(self.folder / name)


def _write(warehouse: Warehouse, table: Table, version: FileVersion | None, path: Path) -> int:
    query = _query(table, version.month if version else None)
    of_what = {"nyc_tlc": __version__} | ({"source_sha256": version.sha256} if version else {})
    schema = table.arrow_schema.with_metadata(of_what)
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in warehouse.record_batches(query, table.arrow_schema):
            if version and table.kind == "marts":
                merged_at = batch["merged_at"].unique().to_pylist()
                if any(time != version.merged_at for time in merged_at):
                    raise _changed(version.month)
            writer.write_batch(batch)
            rows += batch.num_rows
    if version and table.kind == "trips" and rows != version.table_rows:
        raise _changed(version.month)
    return rows


def _query(table: Table, month: Month | None) -> str:
    names = (one["name"] for one in table.columns)
    columns = ", ".join("{geojson}" if name == "geometry" else name for name in names)
    order = ["file_row"] if table.kind == "trips" else table.grain or ["1"]
    where = f" where file_month = date '{month.month}'" if month else ""
    if month and table.kind != "trips":
        where += f" and dataset = '{month.dataset}'"
    return f"select {columns} from {table.place}{where} order by {', '.join(order)}"


def _changed(month: Month) -> ReconciliationError:
    return ReconciliationError(f"{month.label} changed while it was exported; export it again")


def _fields(table: Table) -> Iterator[dict[str, Any]]:
    for column in table.columns:
        unit = {"unit": column["unit"]} if column["unit"] else {}
        kind = _TYPES[column["type"]][1]
        yield {"name": column["name"], "type": kind, "description": column["description"], **unit}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _readme(paths: Collection[str]) -> Iterator[str]:
    yield "# New York's taxi trips\n\n"
    yield f"Tables of nyc-tlc {__version__} as Parquet. `datapackage.json` lists the files, with\n"
    yield "sizes and sha256; `schemas/` has each table's columns: type, unit, description.\n\n"
    yield "```sql\n-- DuckDB\nselect dataset, sum(trips) as trips\n"
    yield "from 'hourly_zone_trips/*/*.parquet' group by dataset;\n```\n\n"
    yield "| table | files | a row is |\n|---|--:|---|\n"
    for table in tables():
        if files := sum(path.startswith((f"{table.name}/", f"{table.name}.")) for path in paths):
            told = table.description.partition(". ")[0].rstrip(".").replace("|", "\\|")
            yield f"| {table.name} | {files} | {told} |\n"
