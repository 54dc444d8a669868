"""What BigQuery bills for a statement, on demand, by its documented rules.

A query is billed the columns that it reads, in the partitions that it names; UPDATE and DELETE also
the partitions that they change; a DELETE of whole partitions nothing. A table counts as 10 MB at
least. Loads, DDL, and queries that can return no row are free.
"""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Container

from zetasql.wasi._pb2.zetasql.public.value_pb2 import ValueProto

from tests.googlesql.engine import Table, python_of
from tests.googlesql.scripts import Database, nodes

#: Tables and their partitions, by month; None for a table without.
Sizes = dict[tuple[str, dt.date | None], int]

_PARTITION_COLUMNS = {"_file_row": "_file_month", "file_row": "file_month"}
#: By which dbt asks for the columns of a model.
_NO_ROW = re.compile(r"\blimit 0$|\bwhere false and current_timestamp\(\)", re.IGNORECASE)
_WHOLE_PARTITION = re.compile(
    r"where _file_month >= @month and _file_month < @next_month$"
    r"|where file_month >= (date '\d{4}-\d\d-01')"
    r" and file_month < date_add\(\1, interval 1 month\)$"
)


def bytes_read(database: Database, kind: str, text: str) -> Sizes:
    """Return what a statement (query, insert, update, delete, or a mart's) reads."""
    if kind == "query" and _NO_ROW.search(text):
        return {}
    if kind == "delete" and _WHOLE_PARTITION.search(text):
        return {}
    columns: dict[str, set[str]] = defaultdict(set)
    for node in nodes(database.resolved_to_tables(text)):
        if node.DESCRIPTOR.name == "ResolvedTableScanProto":
            columns[node.table.name] |= {column.name for column in node.parent.column_list}
    read: Sizes = defaultdict(int)
    months = _months_named(database, text)
    for name, names in columns.items():
        for month, count in size(database.tables[name], names).items():
            if month is None or not months or month in months:
                read[name, month] += count
    if kind in ("update", "delete"):
        name = database.changed_table(text)
        for month, count in size(database.tables[name], database.tables[name].columns).items():
            if month is None or not months or month in months:
                read[name, month] += count
    return read


def size(table: Table, names: Container[str]) -> dict[dt.date | None, int]:
    """Return the bytes of some columns, by partition."""
    places = [place for place, name in enumerate(table.columns) if name in names]
    partition = next((p for row, p in _PARTITION_COLUMNS.items() if row in table.columns), None)
    of_month = list(table.columns).index(partition) if partition else None
    found: dict[dt.date | None, int] = {} if partition else {None: 0}
    for row in table.rows:
        month = None if of_month is None else python_of(row[of_month])
        found[month] = found.get(month, 0) + sum(_bytes(row[place]) for place in places)
    return found


def _bytes(value: ValueProto) -> int:
    kind = value.WhichOneof("value")
    if kind is None:
        return 0
    if kind == "string_value":
        return 2 + len(value.string_value.encode())
    return 1 if kind == "bool_value" else 8


def _months_named(database: Database, text: str) -> set[dt.date]:
    found = {dt.date.fromisoformat(day) for day in re.findall(r"date '(\d{4}-\d\d-01)'", text)}
    for name, (_, value) in database.parameters.items():
        if re.search(rf"file_month = @{name}\b", text):
            found.add(python_of(value))
    return found
