"""The state of a month, at the source and in the warehouse; and what a run did for it."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from loader.datasets import get_dataset
from loader.errors import LoaderError
from loader.source.published import PublishedFile, redact
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion

#: A dataset and a file month.
Month = tuple[str, dt.date]
#: Tests that warned: by name, the number of rows by column ("rows" for a test that names none).
Warnings = dict[str, dict[str, int]]


class State(StrEnum):
    """The state of a month."""

    ABSENT = "absent"
    NEW = "new"
    CHANGED = "changed"
    LANDED = "landed"
    SUSPECT = "suspect"
    MERGED = "merged"


@dataclass(frozen=True)
class MonthState:
    """A month at the source and in the warehouse.

    Attributes:
        dataset: dataset of the month.
        month: file month.
        landed: the newest landed version; None if there is none, or if its rows are gone and it
            was never merged.
        merged: the version that the trips table holds, from the ledger.
        published: what the source has; None if it was not asked, or doesn't have the month.
    """

    dataset: str
    month: dt.date
    landed: FileVersion | None
    merged: FileVersion | None
    published: PublishedFile | None = None

    @property
    def here(self) -> State:
        """The state in the warehouse: absent, landed, suspect or merged."""
        if self.landed and (self.merged is None or self.merged.sha256 != self.landed.sha256):
            return State.SUSPECT if self.landed.suspect else State.LANDED
        return State.MERGED if self.merged else State.ABSENT

    @property
    def is_other_copy(self) -> bool:
        """Whether the source has a copy that must not take the month's place by itself.

        A month comes from TLC's Parquet files, or from a CSV copy at one place: going from one to
        the other is the user's choice.
        """
        newest = self.landed or self.merged
        if newest is None or self.published is None:
            return False
        place, here = (
            url.rpartition("/")[0] for url in (redact(self.published.url), newest.source_url)
        )
        is_csv = "csv" in (newest.format, self.published.format)
        return is_csv and (newest.format, here) != (self.published.format, place)

    @property
    def is_unfinished(self) -> bool:
        """Whether the merged version still has raw rows, which a run drops last.

        A run was stopped after the merge, or kept them. Rows with columns that the contract doesn't
        know are always kept.
        """
        if self.landed is None or self.state != State.MERGED:
            return False
        return self.landed.raw_dropped_at is None and not self.landed.unknown_columns

    @property
    def state(self) -> State:
        """The state, compared with the source if that has the month."""
        if self.published is None:
            return self.here
        if self.here == State.ABSENT:
            return State.NEW
        newest = self.landed or self.merged
        if newest and not same_validators(newest, self.published):
            return State.CHANGED
        return self.here


@dataclass(frozen=True)
class MonthRun:
    """What a run did for a month.

    Attributes:
        dataset: dataset of the month.
        month: file month.
        state: merged, nothing to do, or failed.
        seconds: how long it took.
        rows: rows of the month in the trips table; None when it failed.
        rows_added: rows that the version before didn't have.
        rows_removed: rows that only the version before had.
        rows_unchanged: rows that both have.
        warnings: tests that warned, by name, with the number of rows by column.
        bytes_billed: what BigQuery billed for it; None on Postgres.
        dollars: the price of these bytes.
        error: why it failed; None when it didn't.
    """

    dataset: str
    month: dt.date
    state: str
    seconds: float = 0.0
    rows: int | None = None
    rows_added: int = 0
    rows_removed: int = 0
    rows_unchanged: int = 0
    warnings: Warnings = field(default_factory=dict)
    bytes_billed: int | None = None
    dollars: float | None = None
    error: LoaderError | None = None


def same_validators(version: FileVersion, published: PublishedFile) -> bool:
    """Compare size and ETag, or time, with what the source says now; no bytes are read.

    Args:
        version: a version in the warehouse.
        published: what the source says.
    """
    if version.file_bytes != published.size or version.etag != published.etag:
        return False
    return published.etag is not None or version.last_modified == published.last_modified


def current_versions(warehouse: Warehouse) -> dict[Month, FileVersion]:
    """Read the version that each month of the trips tables holds.

    Args:
        warehouse: the warehouse.
    """
    versions = warehouse.merged_versions()
    return {(v.dataset, v.file_month): v for v in versions if v.is_current}


def read_states(
    warehouse: Warehouse, months: Collection[Month] | None = None
) -> dict[Month, MonthState]:
    """Read the states of months in the warehouse.

    Args:
        warehouse: the warehouse.
        months: the months to read; None for all that the warehouse knows.

    Returns:
        The states, by month, in order.
    """
    landed = {(v.dataset, v.file_month): v for v in warehouse.landed_versions()}
    merged = current_versions(warehouse)
    states = {}
    for key in sorted(landed.keys() | merged.keys()) if months is None else months:
        state = MonthState(*key, landed=landed.get(key), merged=merged.get(key))
        if state.here in (State.LANDED, State.SUSPECT) and not warehouse.has_raw_rows(*key):
            state = MonthState(*key, landed=None, merged=state.merged)
        states[key] = state
    return states


def read_state(warehouse: Warehouse, dataset: str, month: dt.date) -> MonthState:
    """Read the state of one month in the warehouse. Hold the month's lock.

    Args:
        warehouse: the warehouse.
        dataset: dataset of the month.
        month: file month.
    """
    return read_states(warehouse, [(dataset, month)])[dataset, month]


def has_marts(dataset: str) -> bool:
    """Return whether the marts show a dataset: those that declare no kind are in none."""
    return get_dataset(dataset).kind is not None


def months_without_marts(warehouse: Warehouse) -> list[FileVersion]:
    """Return the merged versions whose marts are missing, or of an earlier merge; oldest first.

    Args:
        warehouse: the warehouse.
    """
    built = {
        (row["dataset"], row["file_month"]): row["merged_at"]
        for row in warehouse.read(
            "select dataset, file_month, merged_at from {marts}.month_quality"
        )
    }
    without = []
    for key, version in current_versions(warehouse).items():
        # Of a file without rows, the marts have nothing.
        is_done = built.get(key) == version.merged_at if version.table_rows else key not in built
        if not is_done and has_marts(version.dataset):
            without.append(version)
    return sorted(without, key=lambda version: (version.file_month, version.dataset))
