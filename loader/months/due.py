"""Compares the source with the warehouse, and lists the months to run."""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from loader.calendar import Month, add_months, format_month, month_range
from loader.datasets import datasets, get_dataset
from loader.errors import UsageError
from loader.months.state import MonthState, State, Step
from loader.settings import Settings
from loader.source import discover
from loader.terminal.commands import nyc_tlc

#: Months before the newest merged one to check for changes: TLC republishes mostly recent months.
MONTHS_BACK = 6
#: Months before today to load into an empty warehouse.
MONTHS_BACK_WHEN_EMPTY = 12

#: The states of a month in words.
IN_WORDS = {
    State.ABSENT: "",
    State.LANDED: "landed, not merged",
    State.SUSPECT: "suspect: landed, not merged until --accept",
    State.MERGED: "merged",
    State.GONE: "its rows are gone from the table",
    State.REMOVED: "removed",
}
#: What a merged month lacks, in words.
_LACKS = {Step.MARTS: "without its marts", Step.DROP: "its raw rows are left"}


@dataclass(frozen=True)
class RunOptions:
    """Options of a run."""

    keep_raw: bool = False  #: keep the raw rows after the merge
    keep_files: bool = False  #: keep the downloaded files after the merge
    accept: bool = False  #: merge versions that are suspect, too
    allow_empty: bool = False  #: land files with zero rows, too
    force: bool = False  #: land and merge each month again, even if its version is there
    marts: bool = True  #: build the marts of each month

    def due(self, state: MonthState) -> frozenset[Step]:
        """Return what is left to do for a landed month, if the source has nothing new."""
        left_out = {Step.DROP} if self.keep_raw else set()
        return state.lacks - left_out - (set() if self.marts else {Step.MARTS})


def is_due(state: MonthState, options: RunOptions) -> bool:
    """Return whether there is something to run for a month that the source was asked for."""
    if state.published is None or state.state == State.REMOVED:
        return False
    if options.force or state.state == State.NEW:
        return True
    if state.state == State.CHANGED:
        return not state.is_other_copy
    return bool(options.due(state))


def reason(state: MonthState) -> str:
    """Return why a month that the source was asked for is run, or left alone."""
    if state.published is None:
        expected = get_dataset(state.month.dataset).expected_by(state.month.month)
        return "not yet published" + (f", expected by {expected}" if expected else "")
    if state.here == State.GONE:
        return IN_WORDS[State.GONE]
    if state.state == State.NEW:
        return "new at the source"
    if state.state == State.CHANGED and state.is_other_copy:
        return (
            f"another copy ({state.published.format}) than the one that is merged; to take it:"
            f" {_by_name(state)}"
        )
    if state.state == State.CHANGED:
        return "changed at the source"
    if state.removed and state.state == State.REMOVED:
        return f"removed on {state.removed.removed_at:%Y-%m-%d}; to have it back: {_by_name(state)}"
    if state.state == State.MERGED and state.lacks:
        return ", ".join(_LACKS[step] for step in sorted(state.lacks))
    if state.state == State.MERGED and state.landed:
        return f"unchanged since {state.landed.landed_at:%Y-%m-%d}"
    return IN_WORDS[state.state]


def _by_name(state: MonthState) -> str:
    return nyc_tlc("run", *state.month.options)


def followed(states: Collection[Month]) -> list[str]:
    """List the datasets that a sync checks when none is named; all when the warehouse is empty.

    These are the datasets of which the warehouse has months. A dataset that is new in this version
    of the project is loaded when a user names it, not by the next scheduled sync.
    """
    here = {month.dataset for month in states}
    return [name for name in datasets() if name in here] or list(datasets())


def window(
    states: Mapping[Month, MonthState],
    dataset: str,
    today: dt.date,
    since: dt.date | None = None,
    to: dt.date | None = None,
) -> list[dt.date]:
    """List the months that a sync checks, oldest first; refuse a window without any.

    Args:
        since: first month; default six months before the newest merged one, and a year back when
            there is none.
        to: last month; default the month of today.
    """
    last = to or today.replace(day=1)
    if since is None:
        merged = [key.month for key, one in states.items() if key.dataset == dataset and one.merged]
        end, back = (max(merged), MONTHS_BACK) if merged else (today, MONTHS_BACK_WHEN_EMPTY)
        since = add_months(end, -back)
    first = max(since, get_dataset(dataset).first_month)
    if last < first:
        raise UsageError(
            f"{dataset}: no month to look at, from {format_month(first)} to {format_month(last)};"
            " give an earlier --since or a later --to"
        )
    return month_range(first, last)


def compare(
    settings: Settings, states: Mapping[Month, MonthState], months: Iterable[Month]
) -> Iterator[MonthState]:
    """Ask the source for months, one after the other, and compare with the warehouse.

    Raises:
        SourceError: when the source fails or blocks us; it is not asked any further.
    """
    for month in months:
        yield replace(
            states.get(month) or MonthState(month, landed=None, merged=None),
            published=discover.find(settings.source, *month),
        )
