"""The plan of a run: files to download, and the disk space and time that they take."""

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from loader.datasets import get_dataset
from loader.errors import UsageError
from loader.months.state import MonthState
from loader.warehouse.versions import FileVersion

#: Bytes of a value on Postgres. NULLs take none, so columns that a month lacks don't count.
_VALUE_BYTES = {"smallint": 2, "integer": 4, "double": 8, "timestamp": 8, "text": 4}
#: Bytes of a row of a trips table besides its values: header, id, month, position, index entry.
_ROW_BYTES = 36 + 24 + 29
#: Months in flight at the peak, in units of the largest: raw rows and the new partition of a month,
#: raw rows of the next, and the download after that.
_IN_FLIGHT = 4
#: Seconds on two cores, on idle and busy machines, without the download: to start dbt, per month of
#: any size, per month of marts, and per row of either.
_START, _MONTH, _MARTS = (5.0, 15.0), (0.6, 3.5), (0.8, 2.5)
_ROW, _ROW_OF_MARTS = (1 / 450_000, 1 / 200_000), (1 / 400_000, 1 / 200_000)
#: Smaller months are no measure of the time per row.
_MANY_ROWS = 1_000_000
#: Merges that follow each other this closely belong to one run.
_ONE_RUN = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class Plan:
    """What a run will do, for one dataset or all."""

    files: int  #: files to load
    rows: int  #: rows in them, estimated
    download_bytes: int  #: size of the files
    disk_bytes: int  #: space that their months take on Postgres in the end
    peak_bytes: int  #: space that is needed during the run
    first_month: str | None = None  #: the oldest month, YYYY-MM; None when there is no file
    last_month: str | None = None  #: the newest


def plan_of(due: Sequence[MonthState]) -> Plan:
    """Add up what the files that the source has of these months take."""
    sizes = [(_rows(one), one.published.size) for one in due if one.published]
    disk = [_disk_bytes(one) for one in due]
    months = [one.month.text for one in due]
    return Plan(
        files=len(sizes),
        rows=sum(rows for rows, _ in sizes),
        download_bytes=sum(size for _, size in sizes),
        disk_bytes=sum(disk),
        peak_bytes=sum(disk) + _IN_FLIGHT * max(disk, default=0),
        first_month=min(months, default=None),
        last_month=max(months, default=None),
    )


def seconds_of(
    plan: Plan, merged: Sequence[FileVersion], *, marts: bool
) -> tuple[float, float, bool]:
    """Estimate a run's seconds, without the download: least, most, and whether measured here."""
    row, row_of_marts = _ROW, _ROW_OF_MARTS
    if (measured := _measured_row(merged)) is not None:
        # The ledger doesn't say whether the marts were built too, which takes as long again.
        row = row_of_marts = (measured / 2, measured)
    least, most = (
        _START[bound]
        + plan.files * (_MONTH[bound] + marts * _MARTS[bound])
        + plan.rows * (row[bound] + marts * row_of_marts[bound])
        for bound in (0, 1)
    )
    return least, most, measured is not None


def _measured_row(merged: Sequence[FileVersion]) -> float | None:
    """Return the seconds of a row in the large months that were merged one after the other."""
    times = sorted((v.merged_at, v.table_rows or 0) for v in merged if v.merged_at)
    seconds = [
        ((now - before).total_seconds() - _MONTH[0]) / rows
        for (before, _), (now, rows) in pairwise(times)
        if now - before < _ONE_RUN and rows >= _MANY_ROWS
    ]
    return max(median(seconds), 0.0) if len(seconds) > 1 else None


def require_room(plan: Plan, folder: Path) -> None:
    """Refuse a plan that the disk can't hold."""
    missing = plan.peak_bytes - shutil.disk_usage(folder).free
    if missing > 0:
        raise UsageError(
            f"the disk of {folder} lacks {missing / 1e9:,.1f} GB: run fewer months, with --dataset,"
            " --since or --to, or set TLC_LOCAL_DIR to a larger disk"
        )


def _rows(state: MonthState) -> int:
    assert state.published  # noqa: S101 - only what the source has is planned
    per_row = get_dataset(state.month.dataset).file_bytes_per_row(state.month.month)
    return round(state.published.size / per_row)


def _disk_bytes(state: MonthState) -> int:
    columns = get_dataset(state.month.dataset).file_columns
    of_month = (column for column in columns if column.expected(state.month.month))
    return _rows(state) * (_ROW_BYTES + sum(_VALUE_BYTES[one.data_type] for one in of_month))
