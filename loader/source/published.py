"""A month file as its source describes it."""

import datetime as dt
import re
from dataclasses import dataclass, field

from loader.calendar import Month, file_name, format_of


@dataclass(frozen=True)
class PublishedFile:
    """A month file as its source describes it.

    Attributes:
        name: the file's name, ours and not the server's.
        url: full address or absolute path. It may hold a password: show it through `redact`.
        etag: the server's ETag, quotes included; the generation on gs://; None for folders.
        last_modified: naive UTC, if known.
    """

    dataset: str
    month: dt.date
    name: str
    url: str = field(repr=False)
    size: int
    etag: str | None
    last_modified: dt.datetime | None

    @property
    def format(self) -> str:
        """The format of the file: parquet or csv."""
        return format_of(self.name)

    @property
    def label(self) -> str:
        """How messages name the file."""
        return f"{Month(self.dataset, self.month).label} ({self.name})"


def label_of(dataset: str, month: dt.date) -> str:
    """Return how messages name a month file."""
    return f"{Month(dataset, month).label} ({file_name(dataset, month)})"


def redact(address: str) -> str:
    """Hide user, password and query of an address, for messages and the ledger."""
    if "://" not in address:
        return address
    # Up to the last @: a password with an unescaped /, ? or @ is hidden whole.
    without_user = re.sub(r"(?<=://).*@", "***@", address, flags=re.DOTALL)
    return re.sub(r"\?.*", "?***", without_user, flags=re.DOTALL)
