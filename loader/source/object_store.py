"""Object stores, gs:// and s3://, through fsspec: only the operations that the loader needs.

They raise a SourceError when the store fails, refuses us, or has no such bucket, and a UsageError
when its package is not installed.
"""

import base64
import datetime as dt
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from loader.errors import SourceError, UsageError
from loader.settings import install_command

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Bytes that are read or sent in one request, and held in memory.
CHUNK_BYTES = 8 * 1024 * 1024

#: The package that each scheme needs, and how to get it.
_PACKAGES = {
    "gs": ("gcsfs", install_command("bigquery")),
    "s3": ("s3fs", "pip install s3fs, of the same version as fsspec"),
}

#: Addresses with a user or a password don't match: messages would show them.
_ADDRESS = re.compile(r"(gs|s3)://[a-z0-9][a-z0-9._-]*(/[^@]*)?")


@dataclass(frozen=True)
class StoredObject:
    """An object as its store describes it.

    Attributes:
        etag: changes with every write: the generation on gs, the ETag on s3.
        last_modified: naive UTC, if known.
        md5: of its bytes, in hex, where the store has it.
    """

    size: int
    etag: str | None
    last_modified: dt.datetime | None
    md5: str | None


def is_bucket(address: str) -> bool:
    """Return whether an address is one of an object store, not a path or a web address."""
    return _ADDRESS.fullmatch(address) is not None


def open_filesystem(url: str) -> "AbstractFileSystem":
    """Connect to the object store of an address, once for each store and credentials."""
    with _store(url) as fs:
        return fs


def look(url: str) -> StoredObject | None:
    """Describe an object; None when there is none."""
    with _store(url) as fs:
        try:
            info = fs.info(url)
        except FileNotFoundError:
            _require_bucket(fs, url)
            return None
    if info["type"] != "file":
        return None
    modified = info.get("mtime") or info.get("LastModified")
    return StoredObject(
        info["size"],
        info.get("generation") or info.get("ETag") or None,
        modified.astimezone(dt.UTC).replace(tzinfo=None) if modified else None,
        base64.b64decode(info["md5Hash"]).hex() if "md5Hash" in info else None,
    )


def names(url: str) -> list[str]:
    """List the names of the objects in a bucket, or in a folder of one."""
    with _store(url) as fs:
        try:
            return [name.rpartition("/")[2] for name in fs.ls(url, detail=False)]
        except FileNotFoundError:
            _require_bucket(fs, url)
            return []


def read(url: str, size: int, start: int = 0) -> Iterator[bytes]:
    """Read an object from `start` on, piece by piece; fsspec sends a request that fails again.

    Yields:
        The pieces, in order; fewer than announced when the object became shorter.
    """
    while start < size:
        with _store(url) as fs:
            piece = fs.cat_file(url, start=start, end=min(start + CHUNK_BYTES, size))
        if not piece:
            return
        yield piece
        start += len(piece)


def upload(path: Path, url: str) -> None:
    """Send a file. The object appears when all of it is there; until then the old one stays."""
    with _store(url) as fs:
        fs.put_file(str(path), url, chunksize=CHUNK_BYTES)


def write_text(text: str, url: str) -> None:
    """Write a small object."""
    with _store(url) as fs:
        fs.pipe_file(url, text.encode())


def remove(url: str) -> None:
    """Remove an object."""
    with _store(url) as fs:
        fs.rm_file(url)


@cache
def _connect(scheme: str, token: str | None) -> "AbstractFileSystem":
    package, remedy = _PACKAGES[scheme]
    # Without a cache: what is there now.
    options = {"use_listings_cache": False, "skip_instance_cache": True}
    try:
        if scheme == "s3":
            from s3fs import S3FileSystem

            return S3FileSystem(**options)
        import google.auth.exceptions
        from gcsfs import GCSFileSystem
        from google.oauth2.credentials import Credentials
    except ImportError as error:
        raise UsageError(f"{scheme}:// needs the package {package}: {remedy}") from error
    try:
        # As an object: fsspec takes a text for a file's name if there is such a file.
        credentials = Credentials(token=token) if token else "google_default"
        return GCSFileSystem(token=credentials, access="read_write", **options)
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise SourceError(
            "gs:// needs credentials: gcloud auth application-default login, or set"
            " GOOGLE_APPLICATION_CREDENTIALS or BIGQUERY_ACCESS_TOKEN"
        ) from error


def _require_bucket(fs: "AbstractFileSystem", url: str) -> None:
    """Raise when it is the bucket that is missing, not an object in it."""
    bucket = url.partition("://")[2].partition("/")[0]
    try:
        fs.info(bucket)
    except FileNotFoundError as error:
        raise SourceError(f"{url}: there is no bucket {bucket!r}; check its name") from error
    except Exception:  # noqa: S110 - who may read objects need not have a right on the bucket
        pass


@contextmanager
def _store(url: str) -> Iterator["AbstractFileSystem"]:
    """Connect to the store of an address; while it is used, its errors become ours, in one line."""
    # Stores fail with errors of any type: botocore's, aiohttp's, gcsfs's own, OSError.
    try:
        yield _connect(url.partition("://")[0], os.environ.get("BIGQUERY_ACCESS_TOKEN"))
    except (UsageError, SourceError):
        raise
    except Exception as error:
        # gcsfs 2025.12 raises AttributeError while it cleans up after a failed upload.
        shown = (isinstance(error, AttributeError) and error.__context__) or error
        reason = " ".join(str(shown).split())[:300]
        raise SourceError(
            f"{url}: {type(shown).__name__}{': ' if reason else ''}{reason}; check the address and"
            " the credentials, then run again"
        ) from error
