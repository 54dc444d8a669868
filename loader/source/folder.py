"""Month files in a folder: of this machine, or of a bucket."""

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from loader.calendar import SUFFIXES, file_name, month_of
from loader.errors import SourceError, UsageError
from loader.source import object_store
from loader.source.published import PublishedFile, label_of


def path_of(address: str) -> Path:
    """Return the absolute path that a path or a file:/// address names."""
    is_url = address.lower().startswith("file:///")
    return Path(url2pathname(urlsplit(address).path) if is_url else address).absolute()


def modified_at(stat: os.stat_result) -> dt.datetime:
    """Return when a file was last changed, as naive UTC."""
    return dt.datetime.fromtimestamp(stat.st_mtime, dt.UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class FolderSource:
    """A folder, by its absolute path."""

    folder: Path

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        """Look for a month file, once; None when it is not there."""
        with self._reading(label_of(dataset, month)):
            for suffix in SUFFIXES:
                path = self.folder / file_name(dataset, month, suffix)
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    about = stat.st_size, None, modified_at(stat)
                    return PublishedFile(dataset, month, path.name, str(path), *about)
        return None

    def months(self, dataset: str) -> list[dt.date]:
        """List the months that are there, oldest first."""
        with self._reading(dataset):
            return _months([path.name for path in self.folder.iterdir()], dataset)

    @contextmanager
    def _reading(self, label: str) -> Iterator[None]:
        try:
            if self.folder.is_file():
                raise UsageError(
                    f"{label}: the source {self.folder} is a file: give its folder,"
                    f" {self.folder.parent}"
                )
            if not self.folder.is_dir():
                raise SourceError(
                    f"{label}: the source folder {self.folder} doesn't exist;"
                    " check --source or TLC_SOURCE"
                )
            yield
        except OSError as error:
            raise SourceError(
                f"{label}: can't read {error.filename or self.folder}: {error.strerror or error};"
                " check its permissions"
            ) from error


@dataclass(frozen=True)
class BucketSource:
    """A bucket, or a folder in one, by its address: gs:// or s3://."""

    base: str

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        """Look for a month file, once; None when it is not there."""
        for suffix in SUFFIXES:
            name = file_name(dataset, month, suffix)
            url = f"{self.base.rstrip('/')}/{name}"
            try:
                found = object_store.look(url)
            except SourceError as error:
                raise SourceError(f"{label_of(dataset, month)}: {error}") from error
            if found:
                version = found.size, found.etag, found.last_modified
                return PublishedFile(dataset, month, name, url, *version)
        return None

    def months(self, dataset: str) -> list[dt.date]:
        """List the months that are there, oldest first."""
        return _months(object_store.names(self.base), dataset)


def _months(names: Iterable[str], dataset: str) -> list[dt.date]:
    return sorted({month for name in names if (month := month_of(name, dataset))})
