"""Landing: brings one month file into the raw schema, verified, or changes nothing."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

from loader.months import format_month
from loader.progress import Reporter
from loader.settings import Settings
from loader.source import discover, download, published
from loader.source.download import LocalFile
from loader.warehouse.base import LandedFile, Warehouse, merged_versions


@dataclass(frozen=True)
class Standing:
    """How a month stands in the warehouse.

    Attributes:
        dataset: dataset of the month.
        month: file month.
        newest: the version that landed last; None when there is none, or its rows are gone before
            they were merged.
        merged: the ledger's row of the version that the trips table holds; None when there is none.
    """

    dataset: str
    month: dt.date
    newest: LandedFile | None
    merged: dict[str, Any] | None


@dataclass(frozen=True)
class Landing:
    """What landing a month did.

    Attributes:
        landed: the version that is landed now.
        changed: whether rows were landed; False when this version was there already.
    """

    landed: LandedFile
    changed: bool


def read_standing(warehouse: Warehouse, dataset: str, month: dt.date) -> Standing:
    """Look how a month stands in the warehouse. Call it with the month's lock held.

    Args:
        warehouse: the warehouse.
        dataset: dataset to look at.
        month: file month to look at.

    Returns:
        How it stands.
    """
    merged = merged_versions(warehouse).get((dataset, month))
    versions = [
        v for v in warehouse.landed_files() if (v.dataset, v.file_month) == (dataset, month)
    ]
    newest = versions[-1] if versions else None
    is_merged = newest and merged and newest.sha256 == merged["sha256"]
    if newest and not is_merged and not warehouse.has_raw_rows(dataset, month):
        newest = None
    return Standing(dataset, month, newest, merged)


def fetch_month(
    settings: Settings, standing: Standing, reporter: Reporter, *, allow_empty: bool = False
) -> LocalFile | None:
    """Bring a month file here, if the source shows another version than the one that landed.

    It asks nothing of the warehouse: it may run beside other work.

    Args:
        settings: the settings.
        standing: how the month stands in the warehouse.
        reporter: where to show progress.
        allow_empty: take a file with zero rows too.

    Returns:
        The file; None when the source shows the version that landed.

    Raises:
        NotPublishedError: when the source doesn't have the month.
        SourceError: when the source fails.
        FileRefusedError: when the file is corrupt.
    """
    label = f"{standing.dataset} {format_month(standing.month)}"
    published = discover.require(settings.source, standing.dataset, standing.month)
    if standing.newest and same_signal(standing.newest, published):
        reporter.say(f"{label}  unchanged since it landed on {standing.newest.landed_at:%Y-%m-%d}")
        return None
    with reporter.stage(label, "download", "bytes", published.size) as stage:
        file = download.fetch(
            published, settings.local_dir / "downloads", stage.set, allow_empty=allow_empty
        )
        stage.set(file.size)
    return file


def land_month(
    settings: Settings,
    warehouse: Warehouse,
    standing: Standing,
    file: LocalFile | None,
    reporter: Reporter,
) -> Landing:
    """Bring a month file into the raw schema. Call it with the month's lock held.

    A version with far fewer rows than the trips table holds lands too, marked as suspect: it is
    not merged until it is accepted.

    Args:
        settings: the settings.
        warehouse: the warehouse.
        standing: how the month stands in the warehouse.
        file: the month file; None when the version that landed is still that of the source.
        reporter: where to show progress.

    Returns:
        What was done.

    Raises:
        FileRefusedError: when the file is corrupt or breaks the contract.
        WarehouseError: when the warehouse fails.
        ReconciliationError: when landed rows don't add up to the file's.
    """
    newest = standing.newest
    if file is None:
        assert newest  # noqa: S101 - `fetch_month` returns no file only for a version that landed
        return Landing(newest, changed=False)
    label = f"{standing.dataset} {format_month(standing.month)}"
    if newest and newest.sha256 == file.sha256:
        # TLC stamps files anew without changing them: remember the stamp, keep the rows.
        touched = replace(newest, etag=file.etag, last_modified=file.last_modified)
        warehouse.touch(touched)
        reporter.say(f"{label}  same bytes as landed on {newest.landed_at:%Y-%m-%d}")
        return Landing(touched, changed=False)

    from loader.landing.pipeline import load_file  # dlt, which takes its time to import

    landed = load_file(settings, warehouse, file, reporter)
    landed = replace(landed, suspect=_suspicion(settings, landed, standing.merged))
    warehouse.publish(landed)
    if landed.suspect:
        reporter.say(f"{label}  warning: {suspicion(landed)}")
    return Landing(landed, changed=True)


def suspicion(landed: LandedFile) -> str:
    """Say why a suspect version is not merged, and how it can be."""
    return (
        f"suspect: {landed.suspect}; landed, and not merged: look at {landed.file_name}, and if it"
        f" is right, run: nyc-tlc run --dataset {landed.dataset}"
        f" --month {format_month(landed.file_month)} --accept"
    )


def _suspicion(settings: Settings, landed: LandedFile, merged: dict[str, Any] | None) -> str | None:
    """Tell what is suspicious of a new version, beside the one that the trips table holds."""
    before = merged["table_rows"] if merged else 0
    if landed.file_rows >= before * (1 - settings.max_row_drop):
        return None
    return f"{landed.file_rows:,} rows where the table holds {before:,}"


def same_signal(landed: LandedFile, published: published.PublishedFile) -> bool:
    """Tell whether the source shows the version that landed; no bytes are read for it.

    Args:
        landed: the version that landed.
        published: what the source says now.
    """
    if landed.file_bytes != published.size or landed.etag != published.etag:
        return False
    return published.etag is not None or landed.last_modified == published.last_modified
