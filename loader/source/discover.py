"""Finds month files at a source, whatever its kind."""

import datetime as dt
from typing import Protocol

from loader.errors import NotPublishedError, UsageError
from loader.source import object_store
from loader.source.bucket import BucketSource
from loader.source.folder import FolderSource, path_of
from loader.source.http import HttpSource, is_http
from loader.source.published import PublishedFile, label_of, redact
from loader.source.retries import patiently
from loader.terminal.commands import nyc_tlc


class Source(Protocol):
    """A place that holds month files."""

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        """Ask once for a month file; None when it is not published."""

    def months(self, dataset: str) -> list[dt.date] | None:
        """List the months of a dataset that are there, oldest first; None when it can't."""


def open_source(source: str) -> Source:
    """Turn a source as the user writes it into the object that reads it.

    Args:
        source: an http(s) base URL, gs:// or s3://, a folder's path, or a file:// URL.

    Returns:
        The source.

    Raises:
        UsageError: for any other scheme.
    """
    if is_http(source):
        return HttpSource(source)
    if object_store.is_bucket(source):
        return BucketSource(source)
    if "://" not in source or source.lower().startswith("file:///"):
        return FolderSource(path_of(source))
    raise UsageError(
        f"can't read from {redact(source)!r}: give an http(s)://, gs:// or s3:// address,"
        " a folder, or a file:/// address"
    )


def find(source: str, dataset: str, month: dt.date) -> PublishedFile | None:
    """Look for a month file; a source that fails is asked again.

    Args:
        source: base URL, folder or bucket.

    Returns:
        The file as the source describes it; None when it is not published.

    Raises:
        SourceError: when the source fails, is out of reach or blocks us.
        UsageError: when the source is of a kind that can't be read.
    """
    opened = open_source(source)
    return patiently(lambda: opened.find(dataset, month))


def months_at(source: str, dataset: str) -> list[dt.date] | None:
    """List the months of a dataset that a folder or a bucket has.

    Args:
        source: base URL, folder or bucket.

    Returns:
        The months, oldest first; None for a web address, which can only be asked for each.

    Raises:
        SourceError: when the source fails, or is out of reach.
        UsageError: when the source is of a kind that can't be read.
    """
    return open_source(source).months(dataset)


def require(source: str, dataset: str, month: dt.date) -> PublishedFile:
    """Look for a month file that was asked for by name.

    Args:
        source: base URL, folder or bucket.

    Returns:
        The file as the source describes it.

    Raises:
        NotPublishedError: when the source doesn't have it.
        SourceError: when the source fails, is out of reach or blocks us.
        UsageError: when the source is of a kind that can't be read.
    """
    file = find(source, dataset, month)
    if file is None:
        raise NotPublishedError(
            f"{label_of(dataset, month)} is not at {redact(source)}: TLC publishes about two months"
            " after a month ends; to see what is there:"
            f" {nyc_tlc('available', '--dataset', dataset)}"
        )
    return file
