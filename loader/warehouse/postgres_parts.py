"""Parts: the tables that hold a landed file on Postgres, and what their names say."""

import datetime as dt
import re
from dataclasses import dataclass

PARTITION_KEY = ("_file_month", "_file_row")


@dataclass(frozen=True)
class Part:
    """A table that holds consecutive rows of one landed file; its name says which."""

    table: str  #: raw table that it is to become a partition of
    month: dt.date
    load_id: str  #: dlt load package that brought it
    first_row: int  #: position in the file of its first row
    last_row: int  #: position of its last row

    @classmethod
    def of_name(cls, name: str) -> "Part":
        """Read a part's name."""
        found = _PART_NAME.fullmatch(name)
        if not found:
            raise ValueError(f"{name} is not a part's name")
        table, text, load_id, first, last = found.groups()
        month = dt.datetime.strptime(text, "%Y_%m").date()
        return cls(table, month, load_id.replace("_", "."), int(first), int(last))

    @property
    def rows(self) -> int:
        """Rows of the part: as many as its COPY was checked for when it was committed."""
        return self.last_row - self.first_row + 1

    @property
    def name(self) -> str:
        """The part's name: at most 63 characters for files of under 100 million rows."""
        load_id = self.load_id.replace(".", "_")
        return f"{self.table}_{self.month:%Y_%m}__{load_id}__{self.first_row}_{self.last_row}"


_PART_NAME = re.compile(r"(\w+?_tripdata)_(\d{4}_\d\d)__(\d+_\d+)__(\d+)_(\d+)")
