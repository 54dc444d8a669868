"""The log file: everything that happens, with stack traces and without secrets."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import MemoryHandler, RotatingFileHandler
from urllib.parse import parse_qsl, unquote

from loader.settings import Settings
from loader.source import retries
from loader.terminal.progress import Reporter

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def log_to_file(settings: Settings) -> None:
    """Send the logs of all libraries to a file; errors go to the terminal in one line."""
    folder = settings.local_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(folder / "loader.log", maxBytes=5_000_000, backupCount=3)
    handler.setFormatter(_Formatter(settings))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # dlt writes to the terminal unless its logger has a handler: this one forwards to ours.
    logging.getLogger("dlt").handlers = [MemoryHandler(1, target=handler)]


@contextmanager
def showing_retries(reporter: Reporter) -> Iterator[None]:
    """Show retries to the user as they happen."""
    handler = _ReporterHandler(reporter)
    retries.log.addHandler(handler)
    try:
        yield
    finally:
        retries.log.removeHandler(handler)


class _ReporterHandler(logging.Handler):
    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.say(record.getMessage())


class _Formatter(logging.Formatter):
    """Hides what is secret: libraries repeat addresses, their queries and passwords included."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(_FORMAT)
        self._secrets = sorted(_secrets(settings), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _secrets(settings: Settings) -> set[str]:
    """List the texts that must not be shown, in each form in which a library may show them."""
    found = {os.environ.get("BIGQUERY_ACCESS_TOKEN", "")}
    if settings.target == "postgres":
        found.add(os.environ.get("PGPASSWORD", ""))
    if "://" in settings.source:
        address = settings.source.partition("://")[2]
        before_query, _, query = address.partition("?")
        user, at, _ = before_query.rpartition("@")
        found |= {user, *user.split(":", 1)} if at else set()
        found |= {query, *(value for _, value in parse_qsl(query))}
    found |= {unquote(secret) for secret in found}
    # Shorter secrets also occur in other texts.
    return {secret for secret in found if len(secret) > 3}
