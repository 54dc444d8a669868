"""Landing: brings one month file into the raw schema, verified, or changes nothing."""

import datetime as dt
from dataclasses import dataclass, replace

from loader.calendar import Month
from loader.settings import Settings
from loader.source import discover, download
from loader.source.download import LocalFile
from loader.terminal.commands import nyc_tlc
from loader.terminal.progress import Reporter
from loader.terminal.words import count
from loader.warehouse.base import Warehouse
from loader.warehouse.versions import FileVersion


@dataclass(frozen=True)
class Landing:
    """The version that is landed now, and whether its rows landed now or were there already."""

    landed: FileVersion
    changed: bool


def fetch_month(
    settings: Settings,
    month: Month,
    landed: FileVersion | None,
    reporter: Reporter,
    *,
    allow_empty: bool = False,
) -> LocalFile | None:
    """Download a month file; None when the source still has the version that landed.

    It doesn't touch the warehouse, so it may run beside other work.

    Args:
        landed: its newest landed version, if there is one.
        allow_empty: accept a file with zero rows too.

    Raises:
        NotPublishedError: when the source doesn't have the month.
        SourceError: when the source fails.
        FileRefusedError: when the file is corrupt.
    """
    published = discover.require(settings.source, *month)
    if landed and landed.is_still(published.size, published.etag, published.last_modified):
        reporter.say(f"{month.label}  unchanged since it landed on {landed.landed_at:%Y-%m-%d}")
        return None
    with reporter.stage(month.label, "download", "bytes", published.size) as stage:
        downloads = settings.local_dir / "downloads"
        file = download.fetch(published, downloads, stage.set, allow_empty=allow_empty)
        stage.set(file.size)
    return file


def land_month(
    settings: Settings,
    warehouse: Warehouse,
    file: LocalFile | None,
    newest: FileVersion | None,
    merged: FileVersion | None,
    reporter: Reporter,
    *,
    keeps_rows: bool = True,
) -> Landing:
    """Land a month file. Hold the month's lock.

    A version with far fewer rows than the trips table holds, or with another month's trips, lands
    too, marked as suspect: it is not merged until it is accepted.

    Args:
        file: the month file; None when the source has the version that landed.
        newest: the month's newest landed version, if there is one.
        merged: the version that the trips table holds, if there is one.
        keeps_rows: the raw rows are to outlive a crash of the server. Without, fewer bytes are
            written; after a crash the month is as if it had never landed.

    Raises:
        FileRefusedError: when the file is corrupt or breaks the contract.
        WarehouseError: when the warehouse fails.
        ReconciliationError: when landed rows don't add up to the file's.
    """
    if file is None:
        assert newest  # noqa: S101 - `fetch_month` returns no file only for a version that landed
        return Landing(newest, changed=False)
    if newest and newest.sha256 == file.sha256:
        # TLC gives files new times without changing them: the rows stay.
        updated = replace(newest, etag=file.etag, last_modified=file.last_modified)
        warehouse.update_record(updated)
        reporter.say(f"{newest.month.label}  same bytes as landed on {newest.landed_at:%Y-%m-%d}")
        return Landing(updated, changed=False)

    from loader.landing.pipeline import load_file  # dlt, which takes its time to import

    landed = load_file(settings, warehouse, file, reporter, keeps_rows=keeps_rows)
    landed = replace(landed, suspect=landed.suspect or _suspicion(settings, landed, merged))
    if newest:  # which a machine may have landed whose clock is ahead
        after = newest.landed_at + dt.timedelta(microseconds=1)
        landed = replace(landed, landed_at=max(landed.landed_at, after))
    warehouse.commit_landing(landed)
    if landed.suspect:
        reporter.say(f"{landed.month.label}  warning: {describe_suspicion(landed)}")
    return Landing(landed, changed=True)


def describe_suspicion(landed: FileVersion) -> str:
    """Return why a suspect version is not merged, and how to accept it."""
    empty = () if landed.file_rows else ("--allow-empty",)
    return (
        f"suspect: {landed.suspect}; landed, and not merged: look at {landed.file_name}, and if it"
        f" is right, run: {nyc_tlc('run', *landed.month.options, *empty, '--accept')}"
    )


def _suspicion(settings: Settings, landed: FileVersion, merged: FileVersion | None) -> str | None:
    """Return why a new version is suspicious, compared with the merged one; None if it isn't."""
    if merged and (merged.format, landed.format) == ("parquet", "csv"):
        return "a CSV copy where the table holds TLC's Parquet file"
    before = (merged and merged.table_rows) or 0
    if landed.file_rows >= before * (1 - settings.max_row_drop):
        return None
    return f"{count(landed.file_rows, 'row')} where the table holds {before:,}"


def complete_raw_tables(settings: Settings, warehouse: Warehouse) -> None:
    """Create the raw tables, and the columns that those of an earlier version lack.

    Views name all columns. A landing completes its own table; this is for a build without one.
    """
    from loader.landing import pipeline  # dlt, which takes its time to import

    pipeline.complete_raw_tables(settings, warehouse)
