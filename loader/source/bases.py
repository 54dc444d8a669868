"""New York's list of the bases that TLC has licensed: reads and checks it."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from loader.errors import FileRefusedError
from loader.source.published import redact

#: How its files are called, as a regular expression.
NAMES = r"(current_bases|eccv-9dzr).*\.csv"
ADDRESS = (
    "https://data.cityofnewyork.us/resource/eccv-9dzr.csv"
    "?$select=license_number,entity_name,type_of_base&$order=license_number"
)
#: Its columns that land, as they are called there.
COLUMNS = ("License Number", "Entity Name", "Type of Base")


@dataclass(frozen=True)
class BaseList:
    """The list as it was published at a time: bases open and close.

    Attributes:
        bases: name and type of each base by its licence; None where the list has none.
        repeated: licences that are there twice: the last row counts.
        url: where it came from, without credentials.
        etag: the server's name of the version, if it gives one.
        last_modified: naive UTC, if known.
        file_bytes: size.
        sha256: of the bytes.
    """

    bases: dict[str, tuple[str | None, str | None]]
    repeated: int
    url: str
    etag: str | None
    last_modified: dt.datetime | None
    file_bytes: int
    sha256: str

    def rows(self) -> list[dict[str, object]]:
        """Return what the warehouse records: a row for each base."""
        about = {
            "source_url": self.url,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "file_bytes": self.file_bytes,
            "sha256": self.sha256,
        }
        return [
            {"base_num": number, "base_name": name, "base_type": kind, **about}
            for number, (name, kind) in self.bases.items()
        ]


def parse(
    rows: Sequence[Sequence[str]],
    places: Sequence[int],
    content: bytes,
    address: str,
    etag: str | None,
    last_modified: dt.datetime | None,
) -> BaseList:
    """Read the list.

    Args:
        rows: its rows, with the header.
        places: of `COLUMNS` in a row.

    Raises:
        FileRefusedError: when a row has other columns than the header, or no licence.
    """
    name = redact(address).rpartition("/")[2].partition("?")[0]
    bases: dict[str, tuple[str | None, str | None]] = {}
    read = 0
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(rows[0]):
            raise FileRefusedError(
                f"{name}: line {number}: {len(row)} columns, and the header has {len(rows[0])}"
            )
        licence, base_name, kind = (" ".join(row[place].split()) for place in places)
        if not licence:
            raise FileRefusedError(f"{name}: line {number}: {COLUMNS[0]} is missing")
        bases[licence.upper()] = base_name or None, kind or None
        read += 1
    if not bases:
        raise FileRefusedError(f"{name}: it has no base")
    return BaseList(
        bases,
        read - len(bases),
        redact(address),
        etag,
        last_modified,
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
