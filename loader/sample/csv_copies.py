"""The frozen CSV copies of yellow, green and fhv: the trips of the Parquet files as text."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from loader.sample.layouts import ALWAYS, Column, Dated, Layout, Trips, at, since
from loader.sample.row_group import RowGroup, remainder

FIRST_MONTH, LAST_MONTH = since(2019, 1), since(2021, 7)


@dataclass(frozen=True)
class CsvCopy:
    """How the CSV copies of a dataset differ from TLC's Parquet files.

    Attributes:
        line_end: what ends a line.
        without: names of the columns that the copies lack.
        headers: names of the columns with other headers, and these headers.
        two_decimals: names of the columns written as 1.50 and .50; others are 1.5 and 0.5.
        adjust: changes values of a row group; None: they are the same.
    """

    line_end: str
    without: tuple[str, ...] = ()
    headers: Dated[dict[str, str]] = field(default_factory=lambda: {ALWAYS: {}})
    two_decimals: tuple[str, ...] = ()
    adjust: Callable[[RowGroup, Trips], Trips] | None = None

    def schema(self, layout: Layout, month: dt.date) -> pa.Schema:
        """Return header and order of a month's columns; all are text.

        Args:
            layout: of the Parquet file.
            month: the file month.
        """
        headers = at(month, self.headers)
        columns = self._columns(layout, month)
        return pa.schema([(headers.get(c.name, c.header), pa.string()) for c in columns])

    def table(self, layout: Layout, group: RowGroup) -> pa.Table:
        """Make a row group as the CSV file holds it: every value as text."""
        trips = layout.trips(group)
        if self.adjust:
            trips = self.adjust(group, trips)
        texts = [
            _with_two_decimals(trips[column.name])
            if column.name in self.two_decimals
            else _text(trips[column.name])
            for column in self._columns(layout, group.month)
        ]
        return pa.table(texts, schema=self.schema(layout, group.month))

    def _columns(self, layout: Layout, month: dt.date) -> list[Column]:
        return [column for column, _ in layout.present(month) if column.name not in self.without]


def _text(values: pa.Array) -> pa.Array:
    """Write values as short as can be: 8, 9.3, 2020-04-01 00:44:02."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("s"))
    return values.cast(pa.string())


def _with_two_decimals(values: pa.Array) -> pa.Array:
    """Write values from 0 on with two decimals, and without a zero before the point."""
    hundredths = pc.cast(pc.round(pc.multiply(values, 100.0)), pa.int64())
    whole = pc.divide(hundredths, 100)
    before = pc.if_else(pc.equal(whole, 0), "", whole.cast(pa.string()))
    after = pc.utf8_lpad(remainder(hundredths, 100).cast(pa.string()), 2, "0")
    return pc.binary_join_element_wise(before, after, ".")
