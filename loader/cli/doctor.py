"""Preflight: what a load needs, checked one by one without changing anything."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import version

from loader.datasets import datasets
from loader.errors import SourceError, UsageError
from loader.settings import Settings
from loader.source import discover, http, published
from loader.warehouse.connect import connect_warehouse

WORK = ("run", "load", "build")


def checks(settings: Settings, work: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """List the checks.

    Args:
        work: one of `WORK`: what the warehouse's user must be allowed to do.

    Yields:
        Each check's name, and a function that returns what it found or raises a LoaderError that
        says what is missing.
    """
    if work not in WORK:
        raise UsageError(f"unknown work {work!r}: choose from {', '.join(WORK)}")
    yield "versions", _versions
    yield "contract", lambda: f"{', '.join(datasets())} in models/sources"
    # The source last: it may be slow to answer.
    yield f"target {settings.target}", lambda: _target(settings, work)
    yield f"source {published.redact(settings.source)}", lambda: _source(settings)


def _versions() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - the venv may be older than it should be
        raise UsageError(f"Python {sys.version.split()[0]} is too old: 3.11 or newer is needed")
    packages = ", ".join(f"{name} {version(name)}" for name in ("dlt", "dbt-core", "pyarrow"))
    return f"Python {sys.version.split()[0]}, {packages}"


def _source(settings: Settings) -> str:
    month = http.REFERENCE_MONTHS[0]
    source = discover.open_source(settings.source)
    # Each is asked only once, as this is a diagnosis; a copy need not have all datasets.
    file = next(filter(None, (source.find(dataset, month) for dataset in datasets())), None)
    if file is None and http.is_http(settings.source):
        raise SourceError(
            f"{month:%Y-%m} of {', '.join(datasets())} is not there, which TLC published long ago:"
            " check the address"
        )
    return "reachable" if file else "a folder"


def _target(settings: Settings, work: str) -> str:
    with closing(connect_warehouse(settings)) as warehouse:
        return warehouse.check(work)
