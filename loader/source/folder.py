"""Month files in a folder of this machine."""

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loader.errors import SourceError
from loader.months import SUFFIXES, file_name
from loader.source.published import PublishedFile, label_of


@dataclass(frozen=True)
class FolderSource:
    """A folder.

    Attributes:
        folder: its absolute path.
    """

    folder: Path

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        """Look for a month file, once; None when it is not there."""
        label = label_of(dataset, month)
        path = self.folder
        try:
            if not self.folder.is_dir():
                raise SourceError(
                    f"{label}: the source folder {self.folder} doesn't exist;"
                    " check --source or TLC_SOURCE"
                )
            for suffix in SUFFIXES:
                path = self.folder / file_name(dataset, month, suffix)
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    break
            else:
                return None
        except OSError as error:
            raise SourceError(
                f"{label}: can't read {path}: {error.strerror or error}; check its permissions"
            ) from error
        modified = dt.datetime.fromtimestamp(stat.st_mtime, dt.UTC).replace(tzinfo=None)
        return PublishedFile(dataset, month, path.name, str(path), stat.st_size, None, modified)
