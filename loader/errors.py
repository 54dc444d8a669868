"""The ways a command can fail. Each has an exit code of its own, which scripts may rely on."""

import re

#: The message when a table can't be locked within TLC_LOCK_SECONDS.
TABLE_IN_USE = (
    "a query or an open transaction of somebody else has held the table for too long; nothing was"
    " changed: end it or wait for it, then run again (TLC_LOCK_SECONDS says how long to wait)"
)

#: Lines of Postgres' messages that show a position in a statement, not the reason.
POINTER = re.compile(r"\^|LINE [0-9]+: .*")

#: BigQuery's message for a transaction that it aborted. Nothing has changed, so it can be retried.
ABORTED = "due to concurrent update"


def printable(text: str) -> str:
    """Escape a text that may hold anything, so that it is one line for a terminal or a log.

    Names, values and answers come from files and servers: a line break in them could pass for our
    own message, and an escape sequence is a command to the terminal.
    """
    return "".join(
        c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode()
        for c in text.strip()
    )


class LoaderError(Exception):
    """A failure, reported in one line: what is wrong, where, and what to do."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(LoaderError):
    """An option, a variable or a setting that can't be right."""

    exit_code = 2


class NotPublishedError(LoaderError):
    """A month that was asked for by name is not at the source."""

    exit_code = 3


class SourceError(LoaderError):
    """The source, or a mirror's destination, fails, is out of reach, or blocks us."""

    exit_code = 4


class FileRefusedError(LoaderError):
    """A month file is corrupt, empty, or breaks the contract."""

    exit_code = 5


class WarehouseError(LoaderError):
    """The warehouse can't be reached, or refuses what we ask."""

    exit_code = 6


class NoRightError(WarehouseError):
    """The user may not read what is asked for."""


class ReconciliationError(LoaderError):
    """Counts differ between the file, the landed rows and the table."""

    exit_code = 7


class LockedError(LoaderError):
    """Another run holds the lock of this dataset and month, or somebody uses the table."""

    exit_code = 8
