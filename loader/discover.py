"""What a source has: finds month files at a base URL, in a folder or in a bucket."""

import datetime as dt
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from requests.adapters import HTTPAdapter
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from urllib3.exceptions import LocationParseError
from urllib3.util import Retry

from loader import __version__, filesystem
from loader.errors import NotPublishedError, SourceError, UsageError
from loader.months import file_name, format_month

#: Months that TLC has published for certain: they tell "not published" from "blocked".
REFERENCE_MONTHS = (dt.date(2023, 1, 1), dt.date(2022, 1, 1))

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
#: Answers that may get better by themselves, and how long we wait for that.
TRANSIENT = (429, 500, 502, 503, 504)
RETRIES = 5
BACKOFF_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
#: A blocked client asks again this many times, in case it was only throttled.
BLOCKED_ATTEMPTS = 3
BLOCKED_SECONDS = 10.0

#: A file's length: not zero, and no more than any disk holds.
_LENGTH = re.compile(r"[1-9][0-9]{0,14}")


class _BlockedError(SourceError):
    """The source refuses even what it certainly has."""


@dataclass(frozen=True)
class PublishedFile:
    """A month file as its source describes it.

    Attributes:
        dataset: yellow or green.
        month: the file month.
        name: the file's name, ours and not the server's.
        url: full address or absolute path. It may hold a password: show it through `redact`.
        size: bytes.
        etag: the server's ETag, quotes included; the generation on gs://; None for folders.
        last_modified: naive UTC, if known.
    """

    dataset: str
    month: dt.date
    name: str
    url: str = field(repr=False)
    size: int
    etag: str | None
    last_modified: dt.datetime | None

    @property
    def label(self) -> str:
        """How messages name the file."""
        return _label(self.dataset, self.month)


class Source(Protocol):
    """A place that holds month files."""

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        """Describe a month file; None when it is not published."""


@dataclass(frozen=True)
class _HttpSource:
    base: str

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        # Both the month and the reference are asked again: had the block been lifted between
        # the two, the month's 403 would be taken for "not published".
        retrying = Retrying(
            retry=retry_if_exception_type(_BlockedError),
            stop=stop_after_attempt(BLOCKED_ATTEMPTS),
            wait=wait_random_exponential(multiplier=BLOCKED_SECONDS, max=MAX_WAIT_SECONDS),
            reraise=True,
        )
        return retrying(self._ask, dataset, month)

    def _ask(self, dataset: str, month: dt.date) -> PublishedFile | None:
        label, url = _label(dataset, month), self._url(dataset, month)
        response = request("HEAD", url, label)
        if response.status_code == 200:
            return describe(response, dataset, month, url)
        if response.status_code in (404, 410):
            return None
        if response.status_code != 403:
            raise bad_status(response, url, label)
        # TLC's storage says 403 for a missing file, and for a client it doesn't want.
        # The reference is asked each time: a throttle may set in between two months of a range.
        reference = next(known for known in REFERENCE_MONTHS if known != month)
        known_url, known_label = self._url(dataset, reference), _label(dataset, reference)
        if request("HEAD", known_url, known_label).status_code != 200:
            raise _BlockedError(
                f"{label}: {redact(self.base)} answers 403, and refuses"
                f" {file_name(dataset, reference)} too: this client is blocked or throttled;"
                " wait some minutes and run again, or read from a copy with --source"
            )
        return None

    def _url(self, dataset: str, month: dt.date) -> str:
        # A query, such as a token that signs the address, comes after the file's name.
        path, mark, query = self.base.partition("?")
        return f"{path.rstrip('/')}/{file_name(dataset, month)}{mark}{query}"


@dataclass(frozen=True)
class _FolderSource:
    folder: Path

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        label = _label(dataset, month)
        path = self.folder / file_name(dataset, month)
        try:
            if not self.folder.is_dir():
                raise SourceError(
                    f"{label}: the source folder {self.folder} doesn't exist;"
                    " check --source or TLC_SOURCE"
                )
            stat = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceError(
                f"{label}: can't read {path}: {error.strerror or error}; check its permissions"
            ) from error
        modified = dt.datetime.fromtimestamp(stat.st_mtime, dt.UTC).replace(tzinfo=None)
        return PublishedFile(dataset, month, path.name, str(path), stat.st_size, None, modified)


@dataclass(frozen=True)
class _BucketSource:
    base: str

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        name = file_name(dataset, month)
        url = f"{self.base.rstrip('/')}/{name}"
        try:
            found = filesystem.look(url)
        except SourceError as error:
            raise SourceError(f"{_label(dataset, month)}: {error}") from error
        if found is None:
            return None
        return PublishedFile(
            dataset, month, name, url, found.size, found.version, found.last_modified
        )


def open_source(source: str) -> Source:
    """Turn a source as the user writes it into the object that reads it.

    Args:
        source: an http(s) base URL, gs:// or s3://, a folder's path, or a file:// URL.

    Returns:
        The source.

    Raises:
        UsageError: for any other scheme.
    """
    if is_http(source):
        return _HttpSource(source)
    if filesystem.is_bucket(source):
        return _BucketSource(source)
    if "://" not in source:
        return _FolderSource(Path(source).absolute())
    if source.lower().startswith("file:///"):
        return _FolderSource(Path(url2pathname(urlsplit(source).path)))
    raise UsageError(
        f"can't read from {redact(source)!r}: give an http(s)://, gs:// or s3:// address,"
        " a folder, or a file:/// address"
    )


def find(source: str, dataset: str, month: dt.date) -> PublishedFile | None:
    """Look for a month file.

    Args:
        source: base URL, folder or bucket.
        dataset: yellow or green.
        month: the file month.

    Returns:
        The file as the source describes it; None when it is not published.

    Raises:
        SourceError: when the source fails, is out of reach or blocks us.
        UsageError: when the source is of a kind that can't be read.
    """
    return open_source(source).find(dataset, month)


def require(source: str, dataset: str, month: dt.date) -> PublishedFile:
    """Look for a month file that was asked for by name.

    Args:
        source: base URL, folder or bucket.
        dataset: yellow or green.
        month: the file month.

    Returns:
        The file as the source describes it.

    Raises:
        NotPublishedError: when the source doesn't have it.
        SourceError: when the source fails, is out of reach or blocks us.
        UsageError: when the source is of a kind that can't be read.
    """
    file = find(source, dataset, month)
    if file is None:
        raise NotPublishedError(
            f"{_label(dataset, month)} is not at {redact(source)}: TLC publishes about two months"
            f" after a month ends; `python -m loader available --dataset {dataset}` shows what is"
            " there"
        )
    return file


def is_http(address: str) -> bool:
    """Tell web addresses from paths."""
    return address.lower().startswith(("http://", "https://"))


def redact(address: str) -> str:
    """Hide user, password and query of an address, for messages and the ledger."""
    if "://" not in address:
        return address
    # Up to the last @: a password with an unescaped /, ? or @ is hidden whole.
    without_user = re.sub(r"(?<=://).*@", "***@", address, flags=re.DOTALL)
    return re.sub(r"\?.*", "?***", without_user, flags=re.DOTALL)


def request(
    method: str, url: str, label: str, headers: dict[str, str] | None = None
) -> requests.Response:
    """Send a request; connections that fail and transient answers are retried.

    Args:
        method: HEAD or GET.
        url: the address.
        label: how messages name the file.
        headers: headers beside the usual ones.

    Returns:
        The answer, whatever its status; the body is not read yet.

    Raises:
        SourceError: when no answer came.
    """
    try:
        return _session().request(
            method,
            url,
            headers=headers,
            stream=method == "GET",
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
    except (requests.RequestException, LocationParseError) as error:
        raise SourceError(
            f"{label}: can't reach {redact(url)}: {_reason(error)}; check the connection and the"
            " source's address, then run again"
        ) from error


def describe(response: requests.Response, dataset: str, month: dt.date, url: str) -> PublishedFile:
    """Read what a 200 answer's headers say of a month file.

    Args:
        response: the answer to a HEAD or a GET of the whole file.
        dataset: yellow or green.
        month: the file month.
        url: the address that was asked for.

    Returns:
        The file's description.

    Raises:
        SourceError: when the answer tells no length, without which no download can be checked.
    """
    length = response.headers.get("Content-Length", "")
    if not _LENGTH.fullmatch(length):
        raise SourceError(
            f"{_label(dataset, month)}: {redact(url)} comes without a length"
            f" (Content-Length {length!r}), so a download can't be checked; run again later,"
            " or read from a copy with --source"
        )
    return PublishedFile(
        dataset,
        month,
        file_name(dataset, month),
        url,
        int(length),
        _etag(response.headers.get("ETag", "")),
        _http_date(response.headers.get("Last-Modified", "")),
    )


def bad_status(response: requests.Response, url: str, label: str) -> SourceError:
    """Make the error for an answer that is no use."""
    return SourceError(
        f"{label}: {redact(url)} answers {response.status_code} {response.reason};"
        " run again later, or read from a copy with --source"
    )


@cache
def _session() -> requests.Session:
    session = requests.Session()
    # TLC has been seen to block requests' own name.
    session.headers["User-Agent"] = f"nyc_tlc/{__version__}"
    session.headers["Accept-Encoding"] = "identity"  # lengths are those of the file
    retry = Retry(
        total=RETRIES,
        status_forcelist=TRANSIENT,
        allowed_methods=("HEAD", "GET"),
        raise_on_status=False,
        backoff_factor=BACKOFF_SECONDS,
        backoff_jitter=BACKOFF_SECONDS,
        backoff_max=MAX_WAIT_SECONDS,
        retry_after_max=int(MAX_WAIT_SECONDS),
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _reason(error: Exception) -> str:
    # Only urllib3's reason is shown: the texts of requests may repeat the address, password too.
    inner = error.args[0] if error.args else None
    return str(getattr(inner, "reason", None) or type(error).__name__)


def _etag(text: str) -> str | None:
    # It goes to files, to the warehouse and back to the server. One that can't be told is none.
    return text if text and text.isascii() and text.isprintable() and len(text) < 1000 else None


def _http_date(text: str) -> dt.datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _label(dataset: str, month: dt.date) -> str:
    return f"{dataset} {format_month(month)} ({file_name(dataset, month)})"
