"""Month files in a bucket: gs:// or s3://."""

import datetime as dt
from dataclasses import dataclass

from loader.calendar import SUFFIXES, file_name, month_of
from loader.errors import SourceError
from loader.source import object_store
from loader.source.published import PublishedFile, label_of


@dataclass(frozen=True)
class BucketSource:
    """A bucket, or a folder in one, by its address."""

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
        names = object_store.names(self.base)
        return sorted({month for name in names if (month := month_of(name, dataset))})
