"""Builds the commands that messages print, which can be run as they stand."""

import shlex

#: Commands that read from a source.
_READERS = frozenset({"available", "doctor", "load", "mirror", "run", "sync"})

#: Options of our own command line, by name. The environment also applies to the next command.
_given: dict[str, str | None] = {}


def remember(target: str | None, source: str | None) -> None:
    """Remember the options of our command line, for the commands that messages print.

    Args:
        source: the --source option, if given, as it may be shown: *** for a secret.
    """
    _given.update(target=target, source=source)


def nyc_tlc(command: str, *arguments: str) -> str:
    """Return a command for a message, with the --source and --target that we were given.

    Args:
        command: its name: run, or dbt build.

    Returns:
        The command, quoted for a shell. If the source has a secret, it is masked: then the command
        fails as it stands instead of reading from another source, and a note says what to insert.
    """
    words = ["nyc-tlc", *command.split(), *arguments]
    source, target = _given.get("source"), _given.get("target")
    note = ""
    if source and command in _READERS:
        words += ["--source", source]
        if "***" in source:
            note = " (put in for *** what --source has there: a password is not shown)"
    if target and command != "mirror":
        words += ["--target", target]
    return shlex.join(words) + note
