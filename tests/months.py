"""Commands on months, as most tests give them: of files of their own, and to succeed."""

import re
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import Workspace, succeeded


def of(dataset: str, span: str) -> tuple[str, ...]:
    """Name months in a command: one, or the first and the last with a colon between them."""
    first, _, last = span.partition(":")
    return ("--dataset", dataset, "--month", first, "--to", last or first)


def run(
    workspace: Workspace,
    dataset: str,
    span: str,
    *options: object,
    source: Path | str | None = None,
    command: str = "run",
    **more: Any,
) -> subprocess.CompletedProcess[str]:
    """Run months from a folder: the workspace's own, if no other is given.

    Variables, and the folder in which the command runs, are as for `Workspace.loader`.
    """
    where = ("--source", source or workspace.source)
    return succeeded(workspace.loader(command, *of(dataset, span), *where, *options, **more))


def load(
    workspace: Workspace, dataset: str, span: str, *options: object, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Land months likewise."""
    return run(workspace, dataset, span, *options, command="load", **more)


def without_marts(workspace: Workspace) -> int:
    """Count the months that `status` says are without their marts."""
    told = succeeded(workspace.loader("status")).stdout
    found = re.search(r"without their marts: (\d+); to build them: nyc-tlc marts\n", told)
    return int(found[1]) if found else 0
