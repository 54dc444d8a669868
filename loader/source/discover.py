"""Finds month files at a source, whatever its kind."""

import datetime as dt
from typing import Protocol

from loader.errors import NotPublishedError, UsageError
from loader.source import object_store
from loader.source.folder import BucketSource, FolderSource, path_of
from loader.source.http import HttpSource, is_http
from loader.source.published import PublishedFile, label_of, redact
from loader.source.retries import patiently
from loader.terminal.commands import nyc_tlc


class Source(Protocol):
    """A place that holds month files. It raises SourceError when it fails or blocks us."""

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        """Ask once for a month file; None when it is not published."""

    def months(self, dataset: str) -> list[dt.date] | None:
        """List the months of a dataset that are there, oldest first; None when it can't."""


def open_source(source: str) -> Source:
    """Turn a source as the user writes it into the object that reads it.

    Args:
        source: an http(s) base URL, gs:// or s3://, a folder's path, or a file:// URL.

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
    """Look for a month file; None when it is not published. A source that fails is asked again.

    Raises:
        SourceError: when the source fails, is out of reach or blocks us.
        UsageError: when the source is of a kind that can't be read.
    """
    opened = open_source(source)
    return patiently(lambda: opened.find(dataset, month))


def require(source: str, dataset: str, month: dt.date) -> PublishedFile:
    """Look for a month file that was asked for by name.

    Raises:
        NotPublishedError: when the source doesn't have it.
        LoaderError: as `find` does.
    """
    file = find(source, dataset, month)
    if file is None:
        raise NotPublishedError(
            f"{label_of(dataset, month)} is not at {redact(source)}: TLC publishes about two months"
            " after a month ends; to see what is there:"
            f" {nyc_tlc('available', '--dataset', dataset)}"
        )
    return file
