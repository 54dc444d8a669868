"""The ways a command can fail. Each has an exit code of its own, which scripts may rely on."""

#: What is wrong, and to do, when a table can't be had in TLC_LOCK_SECONDS.
TABLE_IN_USE = (
    "a query or an open transaction of somebody else has held the table for too long; nothing was"
    " changed: end it or wait for it, then run again (TLC_LOCK_SECONDS says how long to wait)"
)


class LoaderError(Exception):
    """A failure told to the user in one line: what is wrong, where, and what to do."""

    exit_code = 1


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


class ReconciliationError(LoaderError):
    """Counts differ between the file, the landed rows and the table."""

    exit_code = 7


class LockedError(LoaderError):
    """Another run holds the lock of this dataset and month, or somebody uses the table."""

    exit_code = 8
