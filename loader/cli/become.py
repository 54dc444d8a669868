"""Other programs of the environment, in the place of this process."""

import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path


def become(
    program: str, arguments: list[str] | None, environment: Mapping[str, str] | None = None
) -> None:
    """Run a program, with more variables than ours; it takes the terminal of this process."""
    path = Path(sysconfig.get_path("scripts")) / program
    os.execve(path, [program, *(arguments or [])], os.environ | (environment or {}))  # noqa: S606
