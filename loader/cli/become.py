"""Other programs of the environment, in the place of this process."""

import os
import sysconfig
from pathlib import Path


def become(program: str, arguments: list[str] | None) -> None:
    """Run a program of the environment in the place of this process, whose terminal it takes.

    Args:
        program: its name.
        arguments: its arguments.
    """
    os.execv(_script(program), [program, *(arguments or [])])  # noqa: S606


def _script(program: str) -> Path:
    return Path(sysconfig.get_path("scripts")) / program
