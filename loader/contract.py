"""The contract: what a month file holds. Read from the dbt sources file, where it stands once."""

import datetime as dt
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import yaml

from loader.months import parse_month
from loader.settings import PROJECT_DIR

SOURCES_FILE = PROJECT_DIR / "models" / "sources" / "sources.yml"

#: Types of the contract, as Arrow sees them: the loader casts to these.
ARROW_TYPES: dict[str, pa.DataType] = {
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}


@dataclass(frozen=True)
class Spelling:
    """A name that TLC used for a column, and the file months that had it.

    Attributes:
        name: as the file spells it.
        first: first file month.
        last: last file month; None while in use.
    """

    name: str
    first: dt.date
    last: dt.date | None

    def covers(self, month: dt.date) -> bool:
        """Tell whether files of this month are known to use the spelling."""
        return self.first <= month and (self.last is None or month <= self.last)


@dataclass(frozen=True)
class Column:
    """A column of the contract.

    Attributes:
        name: in the warehouse.
        data_type: one of `ARROW_TYPES`.
        spellings: TLC's names for it; empty for columns that the loader adds.
        key: whether it identifies a row, so that a file without it is refused.
    """

    name: str
    data_type: str
    spellings: tuple[Spelling, ...]
    key: bool

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type that values are cast to."""
        return ARROW_TYPES[self.data_type]

    def expected(self, month: dt.date) -> bool:
        """Tell whether files of this month are known to have the column."""
        return any(spelling.covers(month) for spelling in self.spellings)


@dataclass(frozen=True)
class Table:
    """A raw table of the contract.

    Attributes:
        name: in the raw schema.
        columns: all columns, in order.
        dataset: the dataset that lands in it; None for `month_files`.
        first_month: first file month whose layout the contract describes.
    """

    name: str
    columns: tuple[Column, ...]
    dataset: str | None
    first_month: dt.date | None

    @property
    def file_columns(self) -> tuple[Column, ...]:
        """The columns that come from the file."""
        return tuple(column for column in self.columns if column.spellings)


@cache
def load_contract() -> dict[str, Table]:
    """Read the contract.

    Returns:
        The raw tables by name.
    """
    document = yaml.safe_load(SOURCES_FILE.read_text(encoding="utf-8"))
    tables = document["sources"][0]["tables"]
    return {table["name"]: _table(table) for table in tables}


def dataset_table(dataset: str) -> Table:
    """Return the raw table that a dataset lands in.

    Args:
        dataset: its name, already checked.
    """
    return next(table for table in load_contract().values() if table.dataset == dataset)


def _table(spec: dict[str, Any]) -> Table:
    meta = spec.get("config", {}).get("meta", {})
    return Table(
        name=spec["name"],
        columns=tuple(_column(column) for column in spec["columns"]),
        dataset=meta.get("dataset"),
        first_month=parse_month(meta["first_month"]) if "first_month" in meta else None,
    )


def _column(spec: dict[str, Any]) -> Column:
    meta = spec.get("config", {}).get("meta", {})
    return Column(
        name=spec["name"],
        data_type=spec["data_type"],
        spellings=tuple(
            Spelling(
                name=spelling["name"],
                first=parse_month(spelling["from"]),
                last=parse_month(spelling["to"]) if "to" in spelling else None,
            )
            for spelling in meta.get("spellings", ())
        ),
        key=meta.get("key", False),
    )
