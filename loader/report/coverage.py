"""Which months a report is about, and which of them the marts count."""

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from loader.calendar import (
    Month,
    add_months,
    days_of,
    format_month,
    month_range,
    name_months,
    name_runs,
)
from loader.datasets import get_dataset
from loader.months.state import MonthState, read_states
from loader.terminal.commands import nyc_tlc
from loader.terminal.words import count
from loader.warehouse.base import Warehouse


@dataclass(frozen=True)
class Coverage:
    """The months of a report.

    A month counts when it is merged and its marts are of the merged version. That of a file
    without rows counts too, with zero trips.

    Attributes:
        first: first month.
        last: last month.
        counting: all months that count, not only the report's.
        unbuilt: merged months that lack their marts, or whose marts are of an earlier version.
        states: the months that the warehouse knows.
    """

    first: dt.date
    last: dt.date
    counting: set[Month]
    unbuilt: set[Month]
    states: list[MonthState]

    @property
    def title(self) -> str:
        """The months, as people write them."""
        names = [f"{month:%B %Y}" for month in (self.first, self.last)]
        return names[0] if self.first == self.last else " to ".join(names)

    @property
    def length(self) -> int:
        """How many months the report is about."""
        return len(month_range(self.first, self.last))

    @property
    def datasets(self) -> list[str]:
        """The datasets of which a month of the report counts."""
        return sorted({month.dataset for month in self.counting if self.months(month.dataset)})

    @property
    def notes(self) -> list[str]:
        """What the report lacks, by dataset, with the commands for it; and months without rows."""
        notes = []
        for dataset in sorted({month.dataset for month in self.counting | self.unbuilt}):
            there, unbuilt = self.months(dataset), self._of_report(self.unbuilt, dataset)
            if not there and not unbuilt:
                continue
            wanted = month_range(max(self.first, get_dataset(dataset).first_month), self.last)
            problems = []
            if unbuilt:
                verb = "lacks its marts" if len(unbuilt) == 1 else "lack their marts"
                problems.append(f"{name_runs(unbuilt)} {verb}: {nyc_tlc('marts')}")
            if absent := [month for month in wanted if month not in {*there, *unbuilt}]:
                verb = "isn't loaded" if len(absent) == 1 else "aren't loaded"
                to = ("--to", format_month(absent[-1])) if len(absent) > 1 else ()
                months = (*Month(dataset, absent[0]).options, *to)
                problems.append(f"{name_runs(absent)} {verb}: {nyc_tlc('run', *months)}")
            if problems:
                of_all = count(len(wanted), "month")
                notes.append(f"{len(there)} of {of_all} of {dataset}: {'; '.join(problems)}")
        empty = [
            one.month
            for one in self.states
            if one.merged and not one.merged.table_rows
            if one.month.month in self.months(one.month.dataset)
        ]
        if empty:
            notes.append(f"The file has no rows: {name_months(empty)}")
        return notes

    def months(self, dataset: str, months_back: int = 0) -> list[dt.date]:
        """List the months of a dataset that count: the report's, or those so many before them."""
        return self._of_report(self.counting, dataset, months_back)

    def days(self, dataset: str, months_back: int = 0) -> list[dt.date]:
        """List the days of the months that `months` lists."""
        return [day for month in self.months(dataset, months_back) for day in days_of(month)]

    def is_comparable(self, dataset: str, months_back: int) -> bool:
        """Return whether all months of the report count, and all those so many months before."""
        return all(len(self.months(dataset, back)) == self.length for back in (0, months_back))

    def comparable(self, months_back: int) -> list[str]:
        """List the datasets that are comparable."""
        return [one for one in self.datasets if self.is_comparable(one, months_back)]

    def condition(self, months: Iterable[dt.date], datasets: Collection[str]) -> str:
        """Write a condition in SQL: the months of these that count, of these datasets."""
        wanted = set(months)
        parts = []
        for dataset in sorted(datasets):
            own = sorted(m for name, m in self.counting if name == dataset and m in wanted)
            if own:
                dates = ", ".join(f"date '{month}'" for month in own)
                parts.append(f"dataset = '{dataset}' and file_month in ({dates})")
        # Without a month: one that no file has.
        return f"({' or '.join(parts)})" if parts else "file_month = date '0001-01-01'"

    def _of_report(
        self, months: Collection[Month], dataset: str, months_back: int = 0
    ) -> list[dt.date]:
        here = [add_months(month, -months_back) for month in month_range(self.first, self.last)]
        return [month for month in here if Month(dataset, month) in months]


def read_coverage(warehouse: Warehouse, first: dt.date, last: dt.date) -> Coverage:
    """Read which months count."""
    states = read_states(warehouse, for_reader=True)
    # Marts of an earlier version's shape count as well.
    counting = {month for month, state in states.items() if state.is_in_marts}
    unbuilt = {month for month, state in states.items() if state.is_in_marts is False}
    return Coverage(first, last, counting, unbuilt, list(states.values()))
