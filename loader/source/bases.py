"""New York's list of the bases that TLC has licensed: reads and checks it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from loader.errors import FileRefusedError
from loader.source.whole import Version
from loader.terminal.words import count

#: How its files are called, as a regular expression.
NAMES = r"(current_bases|eccv-9dzr).*\.csv"
ADDRESS = (
    "https://data.cityofnewyork.us/resource/eccv-9dzr.csv"
    "?$select=license_number,entity_name,type_of_base&$order=license_number"
)
#: Its columns that land, as they are called there.
COLUMNS = ("License Number", "Entity Name", "Type of Base")


@dataclass(frozen=True)
class BaseList(Version):
    """The list as it was published at a time: bases open and close.

    Attributes:
        bases: name and type of each base by its licence; None where the list has none.
        repeated: licences that are there twice: the last row counts.
    """

    table: ClassVar[str] = "base_list"
    bases: dict[str, tuple[str | None, str | None]]
    repeated: int

    def __str__(self) -> str:
        return "list of bases"

    @property
    def content(self) -> str:
        """What is in it, for messages."""
        twice = f", {self.repeated} of them twice: the last counts" if self.repeated else ""
        return f"{count(len(self.bases), 'base')}{twice}"

    def rows(self) -> list[dict[str, object]]:
        """Return a row for each base."""
        return [
            {"base_num": number, "base_name": name, "base_type": kind, **self.about()}
            for number, (name, kind) in self.bases.items()
        ]


def parse(
    name: str,
    records: Iterable[tuple[str, list[str]]],
    places: Sequence[int],
    version: dict[str, Any],
) -> BaseList:
    """Read the list.

    Args:
        records: its rows, each with its place, for messages.
        places: of `COLUMNS` in a row.

    Raises:
        FileRefusedError: when it has no base, or a base no licence.
    """
    bases: dict[str, tuple[str | None, str | None]] = {}
    repeated = 0
    for where, row in records:
        licence, base_name, kind = (" ".join(row[place].split()) for place in places)
        if not licence:
            raise FileRefusedError(f"{where}: {COLUMNS[0]} is missing")
        repeated += licence.upper() in bases
        bases[licence.upper()] = base_name or None, kind or None
    if not bases:
        raise FileRefusedError(f"{name}: it has no base")
    return BaseList(bases, repeated, **version)
