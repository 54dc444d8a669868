"""Month files in a folder of this machine."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from loader.calendar import SUFFIXES, file_name, month_of
from loader.errors import SourceError, UsageError
from loader.source.published import PublishedFile, label_of


def path_of(address: str) -> Path:
    """Return the absolute path that a path or a file:/// address names."""
    is_url = address.lower().startswith("file:///")
    return Path(url2pathname(urlsplit(address).path) if is_url else address).absolute()


def modified_at(path: Path) -> dt.datetime:
    """Return when a file was last changed, as naive UTC."""
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC).replace(tzinfo=None)


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
                    size, modified = path.stat().st_size, modified_at(path)
                    return PublishedFile(dataset, month, path.name, str(path), size, None, modified)
        return None

    def months(self, dataset: str) -> list[dt.date]:
        """List the months that are there, oldest first."""
        with self._reading(dataset):
            names = [path.name for path in self.folder.iterdir()]
        return sorted({month for name in names if (month := month_of(name, dataset))})

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
