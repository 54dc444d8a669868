"""Merged months beside what TLC itself counted."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from loader.calendar import Month, name_months
from loader.datasets import get_dataset
from loader.warehouse.base import Warehouse


@dataclass(frozen=True)
class Verdict:
    """A merged month beside what TLC itself counted."""

    month: Month
    official_trips: int | None  #: trips that TLC counted; None when it gives no figure
    #: rows of the file less these; negative when the file lacks trips
    official_difference: int | None
    official_share: float | None  #: the difference as a share of what TLC counted
    official_verdict: str  #: agrees, file lacks, file has more, not comparable, or no figure
    cause: str | None  #: why they differ, where it is known
    awaits_republication: bool  #: whether TLC is expected to publish the month again

    @property
    def is_unexplained(self) -> bool:
        """Whether the file differs from what TLC counted, and no cause is known."""
        return self.official_verdict in ("file lacks", "file has more") and not self.cause

    @property
    def text(self) -> str:
        """The verdict as people read it."""
        if self.official_verdict not in ("file lacks", "file has more"):
            return self.official_verdict
        return f"{self.official_verdict} {abs(self.official_share or 0):.1%}"


def read_verdicts(warehouse: Warehouse) -> dict[Month, Verdict]:
    """Read how the merged months stand beside what TLC counted; none in an older warehouse."""
    rows: list[dict[str, Any]] = warehouse.read(
        "select dataset, file_month, official_trips, official_difference, official_share,"
        " official_verdict, cause, awaits_republication from {tlc}.official_verdicts"
    )
    verdicts = [Verdict(Month(row.pop("dataset"), row.pop("file_month")), **row) for row in rows]
    return {verdict.month: verdict for verdict in verdicts}


def describe_awaited(warehouse: Warehouse, verdict: Verdict) -> str:
    """Return why TLC will probably publish a month again, by company where that is known."""
    rows = warehouse.read(
        "with counted as (select companies.company, trips.file_month, count(*) as trips"
        f" from {{tlc}}.{get_dataset(verdict.month.dataset).table} as trips"
        " inner join {tlc}.hvfhs_licenses as companies"
        " on trips.hvfhs_license_num = companies.hvfhs_license_num"
        f" where trips.file_month = date '{verdict.month.month}' group by 1, 2),"
        " figures as (select *, row_number() over"
        " (partition by licence order by vintage desc, landed_at desc nulls last) as recency"
        " from {tlc}.official_figures"
        f" where source = 'base report' and month = date '{verdict.month.month}')"
        " select counted.company, counted.trips - figures.trips as difference"
        " from counted inner join figures"
        " on upper(counted.company) = figures.licence and figures.recency = 1"
        " where counted.trips != figures.trips order by 1"
    )
    by_company = [f"{row['company']} {row['difference']:+,}" for row in rows]
    told = ", ".join(by_company) or verdict.text
    return f"TLC will probably publish it again: beside TLC's own count, {told}"


def describe_unexplained(verdicts: Iterable[Verdict]) -> str:
    """Return a warning of the months that differ from what TLC counted, in one line."""
    months = name_months(one.month for one in verdicts if one.is_unexplained)
    return (
        f"TLC counted other trips than its files have, without a known cause: {months};"
        " see docs/what-the-files-lack.md"
    )
