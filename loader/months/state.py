"""The state of a month, at the source and in the warehouse."""

import re
from collections.abc import Collection
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from loader import __version__
from loader.calendar import Month
from loader.datasets import get_dataset
from loader.errors import NoRightError, WarehouseError
from loader.source.published import PublishedFile, redact
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion

#: Version of the marts, as in macros/marts/months_of_marts.sql: others are built again.
MARTS_VERSION = 4


class State(StrEnum):
    """The state of a month."""

    ABSENT = "absent"
    NEW = "new"
    CHANGED = "changed"
    LANDED = "landed"
    SUSPECT = "suspect"
    MERGED = "merged"
    #: Its rows are gone from the trips table, but `nyc-tlc remove` didn't remove them.
    GONE = "gone"
    #: `nyc-tlc remove` removed it: only a run that names the month loads it again.
    REMOVED = "removed"


class Step(StrEnum):
    """What a run may still have to do for a month that has landed."""

    MERGE = "merge"
    MARTS = "build marts"
    DROP = "drop raw rows"


@dataclass(frozen=True)
class MonthState:
    """A month at the source and in the warehouse."""

    month: Month
    #: the newest landed version, unless its rows are gone and it was never merged
    landed: FileVersion | None
    merged: FileVersion | None  #: the version that the trips table holds, from the ledger
    #: what the source has; None if it was not asked, or doesn't have the month
    published: PublishedFile | None = None
    #: the version that the ledger says the table holds, where the table has no rows
    gone: FileVersion | None = None
    #: the version that `nyc-tlc remove` removed, if no other was merged since
    removed: FileVersion | None = None

    @property
    def is_in_marts(self) -> bool | None:
        """Whether the marts count the merged version; None if there is none, or it has no marts.

        Where an earlier version of the project recorded nothing, they count as they are.
        """
        if self.merged is None or get_dataset(self.month.dataset).kind is None:
            return None
        return self.merged.marts_version != 0

    @property
    def has_marts(self) -> bool | None:
        """The same, with today's version of the marts; None also where nothing is recorded."""
        if self.is_in_marts is None or self.merged is None or self.merged.marts_version is None:
            return None
        return self.merged.marts_version == MARTS_VERSION

    @property
    def here(self) -> State:
        """The state in the warehouse: never new or changed."""
        if self.landed and (self.merged is None or self.merged.sha256 != self.landed.sha256):
            return State.SUSPECT if self.landed.suspect else State.LANDED
        if self.merged:
            return State.MERGED
        if self.gone:
            return State.GONE
        return State.REMOVED if self.removed else State.ABSENT

    @property
    def is_other_copy(self) -> bool:
        """Whether switching between Parquet and CSV needs the user's decision.

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
    def lacks(self) -> frozenset[Step]:
        """What a run has to do for the versions that are here, by the warehouse's records.

        Raw rows are dropped after the merge; those with columns that the contract doesn't know are
        always kept.
        """
        if self.here in (State.LANDED, State.SUSPECT):
            return frozenset(Step)
        lacks = set()
        if self.merged and self.has_marts is False:
            lacks.add(Step.MARTS)
        landed = self.landed
        if landed and landed.raw_dropped_at is None and not landed.unknown_columns:
            lacks.add(Step.DROP)
        return frozenset(lacks)

    @property
    def state(self) -> State:
        """The state, compared with the source if that has the month."""
        if self.published is None:
            return self.here
        if self.here in (State.ABSENT, State.GONE):
            return State.NEW
        newest = self.landed or self.merged  # none of a month that was removed
        there = self.published
        if newest and not newest.is_still(there.size, there.etag, there.last_modified):
            return State.CHANGED
        return self.here


def current_versions(warehouse: Warehouse) -> dict[Month, FileVersion]:
    """Read the version that each month of the trips tables holds."""
    return {v.month: v for v in warehouse.merged_versions() if v.is_current}


def read_states(
    warehouse: Warehouse, months: Collection[Month] | None = None, *, for_reader: bool = False
) -> dict[Month, MonthState]:
    """Read the states of months in the warehouse, in order.

    Args:
        months: the months to read; None for all that the warehouse knows.
        for_reader: do without what a user who only reads the trips may not see: what is landed.

    Raises:
        NoRightError: when the user may not read the ledger, or what is landed.
        WarehouseError: when a newer version of the loader wrote what is landed.
    """
    landed: dict[Month, FileVersion] = {}
    with suppress(NoRightError) if for_reader else nullcontext():
        versions = warehouse.landed_versions()
        if not for_reader:
            _require_as_new_as(versions)
        landed = {v.month: v for v in versions}
    # The newest version of a month is the last.
    newest = {v.month: v for v in warehouse.merged_versions()}
    merged = {key: version for key, version in newest.items() if version.is_current}
    stored = warehouse.stored_months()
    gone = {}
    if stored is not None:
        gone = {key: v for key, v in merged.items() if v.table_rows and key not in stored}
    states = {}
    for key in sorted(landed.keys() | newest.keys()) if months is None else months:
        state = MonthState(
            key,
            landed=landed.get(key),
            merged=None if key in gone else merged.get(key),
            gone=gone.get(key),
            removed=newest[key] if key in newest and newest[key].removed_at else None,
        )
        if state.here in (State.LANDED, State.SUSPECT) and not warehouse.has_raw_rows(key):
            state = replace(state, landed=None)
        states[key] = state
    return states


def _require_as_new_as(landed: Collection[FileVersion]) -> None:
    """Refuse a warehouse into which a newer version of the loader has landed files."""
    newest = max((one.loader_version for one in landed), key=_major_and_minor, default=__version__)
    if _major_and_minor(newest) > _major_and_minor(__version__):
        raise WarehouseError(
            f"nyc_tlc {newest} has loaded this warehouse, and this is {__version__}: install"
            f" {newest} or newer"
        )


def _major_and_minor(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def read_state(warehouse: Warehouse, month: Month) -> MonthState:
    """Read the state of one month in the warehouse. Hold the month's lock."""
    return read_states(warehouse, [month])[month]
