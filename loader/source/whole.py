"""Small files, read whole: from the web, a bucket or a folder."""

import datetime as dt
import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from loader.errors import NotPublishedError, SourceError
from loader.source import object_store
from loader.source.folder import modified_at, path_of
from loader.source.http import get, is_http, version_of
from loader.source.published import redact
from loader.source.retries import patiently


class WholeFile(NamedTuple):
    """A file as it was read; the rest as of `Version`."""

    content: bytes
    url: str
    etag: str | None = None
    last_modified: dt.datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Version(ABC):
    """A version of a file that is published besides the trips.

    Attributes:
        table: the raw table that it lands in.
        url: where it came from, without credentials.
        etag: the server's name of the version, if it gives one.
        last_modified: naive UTC, if known.
    """

    table: ClassVar[str]
    url: str
    etag: str | None
    last_modified: dt.datetime | None
    file_bytes: int
    sha256: str

    @property
    def resource(self) -> str:
        """The name of its resource in dlt."""
        return self.table

    @abstractmethod
    def rows(self) -> list[dict[str, object]]:
        """Return what the warehouse records of it."""

    def about(self) -> dict[str, object]:
        """Return what the warehouse records of the version beside each of its rows."""
        return {
            "source_url": self.url,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "file_bytes": self.file_bytes,
            "sha256": self.sha256,
        }


def version_fields(
    content: bytes, address: str, etag: str | None, last_modified: dt.datetime | None
) -> dict[str, Any]:
    """Return the fields of `Version` for a file that was read."""
    return {
        "url": redact(address),
        "etag": etag,
        "last_modified": last_modified,
        "file_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def is_remote(address: str) -> bool:
    """Return whether an address is of the web or of a bucket."""
    return is_http(address) or object_store.is_bucket(address)


def read_whole(address: str, etag: str | None, setting: str) -> WholeFile | None:
    """Read a file; None when it is still the version of `etag`.

    Args:
        setting: what names the address, for messages.

    Raises:
        NotPublishedError: when it is not there, or the server refuses us.
        SourceError: when it can't be had whole.
    """
    if is_http(address):
        answer = patiently(lambda: get(address, etag))
        return WholeFile(answer.content, redact(address), *version_of(answer)) if answer else None
    if object_store.is_bucket(address):
        if (found := object_store.look(address)) is None:
            raise NotPublishedError(f"{address} is not there; check {setting}")
        if etag and found.etag == etag:
            return None
        content = b"".join(object_store.read(address, found.size))
        return WholeFile(content, redact(address), found.etag, found.last_modified)
    path = path_of(address)
    try:
        modified = modified_at(path.stat())
        return WholeFile(path.read_bytes(), str(path), None, modified)
    except OSError as error:
        raise SourceError(
            f"can't read {error.filename or path}: {error.strerror or error}; check {setting}"
        ) from error
