"""Reads the declarations of the datasets: models/sources/<dataset>.yml, which dbt reads too."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

import pyarrow as pa
import yaml

from loader.calendar import Month, format_month, parse_month
from loader.errors import UsageError
from loader.settings import PROJECT_DIR

SOURCES_DIR = PROJECT_DIR / "models" / "sources"

#: Default when a declaration has no bytes_per_row.
_BYTES_PER_ROW = 20.0

#: The Arrow type for each type of the declarations.
ARROW_TYPES: dict[str, pa.DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}


class Kind(StrEnum):
    """The kind of a dataset's trips, which decides the mart that shows them."""

    TAXI = "taxi"
    APP = "app"


@dataclass(frozen=True)
class Spelling:
    """A name that TLC used for a column, and the file months that had it.

    Attributes:
        last: None while in use.
        is_text: the values may be text, which is parsed to the column's type.
        values: the column's values by those in the file, as text; None when they are the same.
    """

    name: str
    first: dt.date
    last: dt.date | None
    is_text: bool = False
    values: Mapping[str, int | str] | None = None

    def covers(self, month: dt.date) -> bool:
        """Return whether files of this month use the spelling."""
        return self.first <= month and (self.last is None or month <= self.last)


@dataclass(frozen=True)
class Column:
    """A column of a raw table.

    Attributes:
        data_type: one of `ARROW_TYPES`.
        spellings: TLC's names for it; empty for columns that the loader adds.
        key: place among the columns that identify a row; None for others. Of several columns with
            one place, the later ones stand in for the first where that is NULL. A file is refused
            without a key column that its month should have.
        decimals: of a double, the decimals that identify a row.
        clean: how its texts are cleaned, in this order: names of `values.CLEANERS`.
        coordinates: of a zone that the loader computes, the columns of longitude and latitude.
    """

    name: str
    data_type: str
    spellings: tuple[Spelling, ...]
    key: int | None
    decimals: int = 2
    clean: tuple[str, ...] = ()
    coordinates: tuple[str, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type that values are cast to."""
        return ARROW_TYPES[self.data_type]

    def expected(self, month: dt.date) -> bool:
        """Return whether files of this month have the column."""
        return any(spelling.covers(month) for spelling in self.spellings)

    def spelling(self, name: str, month: dt.date) -> Spelling | None:
        """Return the spelling that a file of this month has; None for one of other months."""
        for spelling in self.spellings:
            if spelling.covers(month) and spelling.name.lower() == name.lower():
                return spelling
        return None


@dataclass(frozen=True)
class Dataset:
    """A dataset of TLC, and the raw table that its month files land in.

    Attributes:
        name: yellow, green, …
        table: name of the raw table, and of the trips table.
        first_month: first file month that can be loaded.
        columns: all columns of the raw table, in order.
        kind: what its trips are; None for a dataset without marts.
        label: how sentences name its cars, in the plural.
        expected_days: days from a month's first in which TLC publishes it, as a rule.
        ignored: names of columns in files that are no data of TLC's, in lower case.
        bytes_per_row: size of the files, by the first month for which it holds.
    """

    name: str
    table: str
    first_month: dt.date
    columns: tuple[Column, ...]
    kind: Kind | None = None
    label: str = ""
    expected_days: int | None = None
    ignored: tuple[str, ...] = ()
    bytes_per_row: Mapping[dt.date, float] = field(default_factory=dict)

    def file_bytes_per_row(self, month: dt.date) -> float:
        """Return about how many bytes of a month's file a row takes."""
        sizes = [size for first, size in self.bytes_per_row.items() if first <= month]
        return sizes[-1] if sizes else _BYTES_PER_ROW

    def expected_by(self, month: dt.date) -> dt.date | None:
        """Return the day by which TLC publishes a month, as a rule."""
        return month + dt.timedelta(self.expected_days) if self.expected_days else None

    @property
    def file_columns(self) -> tuple[Column, ...]:
        """The columns that come from the file, or are computed of those that do."""
        return tuple(column for column in self.columns if column.spellings or column.coordinates)

    def needs_shapes(self, month: dt.date) -> bool:
        """Return whether trips of this month have coordinates, of which zones are computed."""
        names = {name for column in self.columns for name in column.coordinates}
        return any(column.name in names and column.expected(month) for column in self.columns)

    @property
    def declaration(self) -> str:
        """Path of the declaration, for messages."""
        return f"models/sources/{self.name}.yml"


@cache
def datasets() -> dict[str, Dataset]:
    """Read the declarations: the datasets by name, in alphabetical order."""
    found = [_dataset(table) for table in _tables() if "meta" in table.get("config", {})]
    return {dataset.name: dataset for dataset in sorted(found, key=lambda dataset: dataset.name)}


def get_dataset(name: str) -> Dataset:
    """Return a dataset by name, or raise a UsageError."""
    if name not in datasets():
        raise UsageError(f"unknown dataset {name!r}: choose from {', '.join(datasets())}")
    return datasets()[name]


@cache
def record_tables() -> list[str]:
    """Name the raw tables besides those of the trips, like `month_files`."""
    return [one["name"] for one in _tables() if "meta" not in one.get("config", {})]


@cache
def record_columns(table: str) -> tuple[Column, ...]:
    """Return the columns of one of the `record_tables`."""
    (found,) = (one for one in _tables() if one["name"] == table)
    return tuple(_column(column) for column in found["columns"])


def check_supported(dataset: str, month: dt.date) -> None:
    """Refuse months from before the dataset's first.

    Raises:
        UsageError: when the dataset has no such month, or one whose layout isn't declared.
    """
    first = get_dataset(dataset).first_month
    if month < first:
        raise UsageError(
            f"{Month(dataset, month).label}: the first month that can be loaded is"
            f" {format_month(first)}"
        )


def _tables() -> Iterator[dict[str, Any]]:
    for path in sorted(SOURCES_DIR.glob("*.yml")):
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        for source in document["sources"]:
            yield from source["tables"]


def _dataset(spec: dict[str, Any]) -> Dataset:
    meta = spec["config"]["meta"]
    first_month = parse_month(meta["first_month"])
    return Dataset(
        name=spec["name"].removesuffix("_tripdata"),
        table=spec["name"],
        first_month=first_month,
        columns=tuple(_column(column, first_month) for column in spec["columns"]),
        kind=Kind(meta["kind"]) if "kind" in meta else None,
        label=meta.get("label", f"cars of {spec['name'].removesuffix('_tripdata')}"),
        expected_days=spec["config"].get("freshness", {}).get("warn_after", {}).get("count"),
        ignored=tuple(name.lower() for name in meta.get("ignore", ())),
        bytes_per_row={
            parse_month(first): size for first, size in meta.get("bytes_per_row", {}).items()
        },
    )


def _column(spec: dict[str, Any], first_month: dt.date = dt.date.min) -> Column:
    meta = spec.get("config", {}).get("meta", {})
    return Column(
        name=spec["name"],
        data_type=spec["data_type"],
        spellings=tuple(_spelling(found, first_month) for found in meta.get("spellings", ())),
        key=meta.get("key"),
        decimals=meta.get("decimals", 2),
        clean=tuple(meta.get("clean", ())),
        coordinates=tuple(meta.get("coordinates", ())),
    )


def _spelling(spec: str | dict[str, Any], first_month: dt.date) -> Spelling:
    """Read a spelling: a name, or a name with the months that had it, and what their values are."""
    if isinstance(spec, str):
        return Spelling(spec, first_month, None)
    return Spelling(
        name=spec["name"],
        first=parse_month(spec["from"]) if "from" in spec else first_month,
        last=parse_month(spec["to"]) if "to" in spec else None,
        is_text=spec.get("text", False),
        values=spec.get("values"),
    )
