"""What a month's file holds: layouts.yml, with the columns and headers that are declared."""

import datetime as dt
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from loader.calendar import format_month
from loader.datasets import check_supported, get_dataset
from loader.errors import UsageError

#: Rules of the declared columns that layouts.yml doesn't list, by their declared type.
OTHER_COLUMNS = {
    "smallint": {"type": "int64", "weights": {0: 5, 1: 3, 7: 1, None: 1}},
    "integer": {"type": "int64", "weights": {0: 5, 1: 3, 70_000: 1, None: 1}},
    "double": {"type": "double", "weights": {0: 5, 25: 3, 1975: 1, None: 1}},
    "text": {"type": "string", "weights": {"A": 5, "B": 4, None: 1}},
    "timestamp": {"type": "timestamp[us]", "weights": {1_230_768_000: 9, None: 1}},
    "date": {"type": "date32", "weights": {dt.date(2009, 1, 1): 9, None: 1}},
}


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Attributes:
        header: as TLC spells it.
        type: Arrow type in the file.
        data_type: type in the declaration.
        rule: its entry in layouts.yml, in force in the month; without one, of `OTHER_COLUMNS`.
    """

    header: str
    type: pa.DataType
    data_type: str
    rule: dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """All that is particular to a month of a dataset.

    Attributes:
        columns: by name, in the order of the file.
        trips: which function of trips.py makes the trips.
        facts: shares, row numbers and weights, by name.
        csv: how the frozen CSV copies differ; empty: there are none.
    """

    dataset: str
    month: dt.date
    columns: dict[str, Column]
    trips: str
    facts: dict[str, Any]
    csv: dict[str, Any]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of TLC's Parquet file."""
        return pa.schema([(column.header, column.type) for column in self.columns.values()])

    @property
    def amounts(self) -> list[str]:
        """Names of the columns with amounts of money, but for their total."""
        return [name for name, column in self.columns.items() if column.rule["type"] == "money"]


@cache
def layout_of(dataset: str, month: dt.date) -> Layout:
    """Return the layout of a month.

    Raises:
        UsageError: when there is no such dataset, or the month is before its first.
    """
    if dataset not in _table():
        raise UsageError(f"unknown dataset {dataset!r}: choose from {', '.join(sorted(_table()))}")
    check_supported(dataset, month)
    entry = _in_force(_table()[dataset], format_month(month))
    declared = {column.name: column for column in get_dataset(dataset).file_columns}
    others = {
        name: OTHER_COLUMNS[column.data_type]
        for name, column in declared.items()
        if name not in entry["columns"]
    }
    columns = {}
    for name, rule in (entry["columns"] | others).items():
        rule = rule if isinstance(rule, dict) else {"type": rule}
        if name in declared:
            header = next((s.name for s in declared[name].spellings if s.covers(month)), None)
        else:
            header = None if rule["type"] == "absent" else name
        if header:
            kind = {None: "null", "money": "double"}.get(rule["type"], rule["type"])
            data_type = declared[name].data_type if name in declared else ""
            columns[name] = Column(header, pa.type_for_alias(kind), data_type, rule)
    return Layout(dataset, month, columns, entry["trips"], entry["facts"], entry.get("csv", {}))


@cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("layouts.yml")
    table: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return table


def _in_force(value: Any, month: str) -> Any:
    """Replace all that changes over time, inside of value too, by what is in force in a month."""
    if not isinstance(value, dict):
        return value
    if all(re.fullmatch("[0-9]{4}-[0-9]{2}", str(key)) for key in value):
        begun = [since for since in value if since <= month]
        return _in_force(value[max(begun)], month) if begun else None
    return {key: _in_force(each, month) for key, each in value.items()}
