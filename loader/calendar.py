"""File months and the names of month files: the one place that reads and writes them."""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from loader.errors import UsageError

#: Suffixes of month files, TLC's own and those of CSV copies. The first that a source has is used.
SUFFIXES = (".parquet", ".csv.gz", ".csv")

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def parse_month(text: str) -> dt.date:
    """Return the file month of YYYY-MM, which is its first day; refuse any other text."""
    if not _MONTH.fullmatch(text) or text.startswith("0000"):
        raise UsageError(f"{text!r} is not a month: write YYYY-MM, for example 2023-01")
    return dt.date(int(text[:4]), int(text[5:]), 1)


def format_month(month: dt.date) -> str:
    """Write a file month as YYYY-MM."""
    return f"{month.year:04}-{month.month:02}"


class Month(NamedTuple):
    """A month of a dataset."""

    dataset: str  #: green, yellow, …
    month: dt.date  #: the file month: its first day

    @property
    def text(self) -> str:
        """The file month as YYYY-MM."""
        return format_month(self.month)

    @property
    def label(self) -> str:
        """How messages name it: green 2023-01."""
        return f"{self.dataset} {self.text}"

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a command that name it."""
        return "--dataset", self.dataset, "--month", self.text


def name_months(months: Iterable[Month]) -> str:
    """Name months in a few words, whatever their order: green 2023-01 to 2023-03, 2023-05."""
    by_dataset: dict[str, list[dt.date]] = {}
    for dataset, month in months:
        by_dataset.setdefault(dataset, []).append(month)
    return " and ".join(
        f"{dataset} {name_runs(by_dataset[dataset])}" for dataset in sorted(by_dataset)
    )


def name_runs(months: Iterable[dt.date]) -> str:
    """Name months in a few words: 2023-01 to 2023-03, 2023-05."""
    runs: list[list[dt.date]] = []
    for month in sorted(months):
        if runs and runs[-1][-1] == add_months(month, -1):
            runs[-1].append(month)
        else:
            runs.append([month])
    return ", ".join(map(_name_run, runs))


def _name_run(months: Sequence[dt.date]) -> str:
    ends = [format_month(month) for month in (months[0], months[-1])]
    return ends[0] if len(months) == 1 else (" and " if len(months) == 2 else " to ").join(ends)


def next_month(month: dt.date) -> dt.date:
    """Return the month after the given one."""
    return add_months(month, 1)


def month_number(month: dt.date) -> int:
    """Return a month as a number; those of months that follow each other do so, too."""
    return month.year * 12 + month.month - 1


def add_months(date: dt.date, count: int) -> dt.date:
    """Return the first day of the month `count` months away; a negative count goes back."""
    months = month_number(date) + count
    return dt.date(months // 12, months % 12 + 1, 1)


def days_of(month: dt.date) -> list[dt.date]:
    """List the days of a month."""
    return [month + dt.timedelta(day) for day in range((next_month(month) - month).days)]


def month_range(first: dt.date, last: dt.date) -> list[dt.date]:
    """List the months from first to last, both included; refuse a last one before the first."""
    if last < first:
        raise UsageError(f"--to {format_month(last)} is before --month {format_month(first)}")
    return [add_months(first, n) for n in range(month_number(last) - month_number(first) + 1)]


def month_of(name: str, dataset: str) -> dt.date | None:
    """Return the month of a dataset's month file by its name; None for any other name."""
    try:
        month = parse_month(name.removeprefix(f"{dataset}_tripdata_").partition(".")[0])
    except UsageError:
        return None
    return month if name in [file_name(dataset, month, suffix) for suffix in SUFFIXES] else None


def format_of(name: str) -> str:
    """Return the format of a month file by its name: parquet or csv."""
    return "parquet" if name.endswith(SUFFIXES[0]) else "csv"


def file_name(dataset: str, month: dt.date, suffix: str = SUFFIXES[0]) -> str:
    """Return the name of a month file as TLC publishes it; `suffix` is one of `SUFFIXES`."""
    return f"{dataset}_tripdata_{format_month(month)}{suffix}"
