"""How month files are laid out: header, order and Arrow type of the columns, month by month."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from loader.sample.row_group import RowGroup

T = TypeVar("T")
#: A value that changes over time: the first month of each value, ascending.
Dated = dict[dt.date, T]
#: Columns of trips, by name.
Trips = dict[str, pa.Array]

ALWAYS = dt.date.min


def since(year: int, month: int) -> dt.date:
    """Return the month that a value is in force from."""
    return dt.date(year, month, 1)


def at(month: dt.date, dated: Mapping[dt.date, T]) -> T:
    """Return the value in force in a month."""
    return [value for first, value in dated.items() if first <= month][-1]


@dataclass(frozen=True)
class Column:
    """A column of a layout.

    Attributes:
        header: as TLC spells it.
        types: Arrow type; None: files have no such column then. The null type is what pandas wrote
            for a column without any value.
        alias: name of the column in `Trips`, unless it is the header in lower case.
    """

    header: str
    types: Dated[pa.DataType | None]
    alias: str = ""

    @property
    def name(self) -> str:
        """The column's name in `Trips`."""
        return self.alias or self.header.lower()


@dataclass(frozen=True)
class Layout:
    """The columns of a dataset's files, and the trips in them.

    Attributes:
        columns: in the order of the file.
        make: makes the trips of a row group; it is given the names of the columns that have values.
    """

    columns: tuple[Column, ...]
    make: Callable[[RowGroup, set[str]], Trips]

    def present(self, month: dt.date) -> list[tuple[Column, pa.DataType]]:
        """Return the columns that a month's file has, with their types."""
        types = [(column, at(month, column.types)) for column in self.columns]
        return [(column, kind) for column, kind in types if kind is not None]

    def schema(self, month: dt.date) -> pa.Schema:
        """Return the Arrow schema of a month's file."""
        return pa.schema([(column.header, kind) for column, kind in self.present(month)])

    def trips(self, group: RowGroup) -> Trips:
        """Make the columns of a row group, by name; values have the types that suit them best."""
        present = self.present(group.month)
        filled = {column.name for column, kind in present if not pa.types.is_null(kind)}
        trips = self.make(group, filled)
        empty = pa.nulls(group.rows)
        return {
            column.name: trips[column.name] if column.name in filled else empty
            for column, _ in present
        }

    def table(self, group: RowGroup) -> pa.Table:
        """Make a row group as the Parquet file holds it."""
        trips = self.trips(group)
        values = [trips[column.name].cast(kind) for column, kind in self.present(group.month)]
        return pa.table(values, schema=self.schema(group.month))


# ---- Types that datasets share, as TLC changed them ---------------------------------------------

TIME: Dated[pa.DataType | None] = {ALWAYS: pa.timestamp("us")}
AMOUNT: Dated[pa.DataType | None] = {ALWAYS: pa.float64()}
ID: Dated[pa.DataType | None] = {ALWAYS: pa.int64(), since(2023, 2): pa.int32()}
TEXT: Dated[pa.DataType | None] = {ALWAYS: pa.string(), since(2023, 2): pa.large_string()}
CBD_FEE = Column("cbd_congestion_fee", {ALWAYS: None, since(2025, 1): pa.float64()})

#: Codec and level. Arrow's default level of gzip, 9, takes eight times longer for the same size.
COMPRESSION: Dated[tuple[str, int]] = {ALWAYS: ("gzip", 5), since(2023, 2): ("zstd", 1)}
