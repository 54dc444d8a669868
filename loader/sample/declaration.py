"""What is declared of each dataset, in its module."""

import datetime as dt
from dataclasses import dataclass

from loader.calendar import format_month
from loader.errors import UsageError
from loader.sample.csv_copies import FIRST_MONTH, LAST_MONTH, CsvCopy
from loader.sample.layouts import Dated, Layout, at


@dataclass(frozen=True)
class Dataset:
    """All that is particular to a dataset of TLC's.

    Attributes:
        name: as in the names of its files.
        layouts: the first one starts with the first published month.
        csv: its frozen CSV copies; None: there are none.
    """

    name: str
    layouts: Dated[Layout]
    csv: CsvCopy | None = None

    def layout(self, month: dt.date) -> Layout:
        """Return the layout of a month.

        Raises:
            UsageError: when the month is before the first published one.
        """
        first = min(self.layouts)
        if month < first:
            raise UsageError(
                f"{self.name} {format_month(month)}: the first month that can be made is"
                f" {format_month(first)}"
            )
        return at(month, self.layouts)

    def csv_copy(self, month: dt.date) -> CsvCopy:
        """Return how a month looks as CSV.

        Raises:
            UsageError: when there is no copy of the month.
        """
        if self.csv is None:
            raise UsageError(f"{self.name}: there are no CSV copies of its files")
        if not FIRST_MONTH <= month <= LAST_MONTH:
            raise UsageError(
                f"{self.name} {format_month(month)}: there are CSV copies of"
                f" {format_month(FIRST_MONTH)} to {format_month(LAST_MONTH)} only"
            )
        return self.csv
