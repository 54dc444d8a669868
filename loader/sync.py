"""What there is to do: a source's months, held against what the warehouse has of them."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from loader.datasets import get_dataset
from loader.errors import UsageError
from loader.landing.land import same_signal
from loader.months import add_months, format_month, month_range
from loader.settings import Settings
from loader.source import discover
from loader.source.published import PublishedFile
from loader.warehouse.base import LandedFile, Warehouse, merged_versions

#: TLC publishes months again, mostly recent ones: so far back a sync looks for changed files.
MONTHS_BACK = 6
#: An empty warehouse is filled from a year back.
MONTHS_BACK_WHEN_EMPTY = 12


@dataclass(frozen=True)
class MonthPlan:
    """How a month stands.

    Attributes:
        dataset: dataset of the month.
        month: file month.
        file: what the source has; None when the month is not published.
        landed: the version that landed last, if any.
        rows: the month's rows in the trips table; None when it isn't merged.
        here: merged; landed, not merged; suspect; or nothing.
    """

    dataset: str
    month: dt.date
    file: PublishedFile | None
    landed: LandedFile | None
    rows: int | None
    here: str

    @property
    def changed(self) -> bool:
        """Whether the source shows another version than the one that landed."""
        return bool(self.file and self.landed and not same_signal(self.landed, self.file))

    @property
    def is_due(self) -> bool:
        """Whether there is something to run."""
        return self.file is not None and (self.changed or self.here != "merged")

    @property
    def reason(self) -> str:
        """Why the month is run, or left alone."""
        if self.file is None:
            return "not yet published"
        if self.changed:
            return "changed at the source"
        if self.landed and self.here == "merged":
            return f"unchanged since {self.landed.landed_at:%Y-%m-%d}"
        return self.here or "new at the source"


def standing(version: LandedFile | None, entry: dict[str, Any] | None) -> str:
    """Say how a month stands in the warehouse.

    Args:
        version: the version that landed last, if any.
        entry: the ledger's row of the version that the trips table holds, if any.

    Returns:
        merged; landed, not merged; suspect; or an empty text.
    """
    if entry and (version is None or entry["sha256"] == version.sha256):
        return "merged"
    if version and version.suspect:
        return "suspect: landed, not merged until --accept"
    return "landed, not merged" if version else ""


def window(
    warehouse: Warehouse,
    dataset: str,
    today: dt.date,
    since: dt.date | None = None,
    to: dt.date | None = None,
) -> list[dt.date]:
    """List the months that a sync looks at.

    Args:
        warehouse: the warehouse.
        dataset: dataset to sync.
        today: the date it is.
        since: first month; default six months before the newest merged one, and a year back when
            there is none.
        to: last month; default the month of today.

    Returns:
        The months, oldest first.

    Raises:
        UsageError: when there is no month between first and last.
    """
    last = to or today.replace(day=1)
    if since is None:
        merged = [month for name, month in merged_versions(warehouse) if name == dataset]
        since = (
            add_months(max(merged), -MONTHS_BACK)
            if merged
            else add_months(today, -MONTHS_BACK_WHEN_EMPTY)
        )
    first = max(since, get_dataset(dataset).first_month)
    if last < first:
        raise UsageError(
            f"{dataset}: no month to look at, from {format_month(first)} to {format_month(last)};"
            " give an earlier --since or a later --to"
        )
    return month_range(first, last)


def look(
    settings: Settings, warehouse: Warehouse, months: Iterable[tuple[str, dt.date]]
) -> list[MonthPlan]:
    """Ask the source for months, one after the other, and hold them against the warehouse.

    Args:
        settings: the settings, with the source.
        warehouse: the warehouse.
        months: datasets and file months to look at.

    Returns:
        How each one stands, in the same order.

    Raises:
        SourceError: when the source fails or blocks us; it is not asked any further.
        WarehouseError: when the warehouse fails.
    """
    landed = {(v.dataset, v.file_month): v for v in warehouse.landed_files()}
    merged = merged_versions(warehouse)
    plans = []
    for key in months:
        version, entry = landed.get(key), merged.get(key)
        plans.append(
            MonthPlan(
                *key,
                file=discover.find(settings.source, *key),
                landed=version,
                rows=entry["table_rows"] if entry else None,
                here=standing(version, entry),
            )
        )
    return plans
