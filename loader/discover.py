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
from urllib3.exceptions import InvalidHeader, LocationParseError
from urllib3.util import Retry

from loader import __version__, filesystem
from loader.errors import NotPublishedError, SourceError, UsageError
from loader.months import file_name, format_month
from loader.retries import TransientError, patiently

#: Months that TLC has published for certain: they tell "not published" from "blocked".
REFERENCE_MONTHS = (dt.date(2023, 1, 1), dt.date(2022, 1, 1))

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
#: Answers that may get better by themselves. They are waited for half a minute, or as long as the
#: server says.
TRANSIENT = (429, 500, 502, 503, 504)
ATTEMPTS = 6
#: A source that never answered is more likely misspelled than down: it gets 3 to 5 seconds.
UNREACHABLE_ATTEMPTS = 3
#: A blocked client asks again, in case it was only throttled: 15 to 25 seconds.
BLOCKED_ATTEMPTS = 3
BLOCKED_FIRST_WAIT = 5.0

_LATER = "run again later, or read from a copy with --source"
#: Hosts that have answered in this process.
_reached: set[str] = set()

#: A file's length: not zero, and no more than any disk holds.
_LENGTH = re.compile(r"[1-9][0-9]{0,14}")


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
        """Ask once for a month file; None when it is not published."""


@dataclass(frozen=True)
class _HttpSource:
    base: str

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
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
        # Who tries again asks for both: had the block been lifted between the two, the month's 403
        # would be taken for "not published".
        reference = next(known for known in REFERENCE_MONTHS if known != month)
        known_url, known_label = self._url(dataset, reference), _label(dataset, reference)
        if request("HEAD", known_url, known_label).status_code != 200:
            raise TransientError(
                f"{label}: {redact(self.base)} answers 403, and refuses"
                f" {file_name(dataset, reference)} too: this client is blocked or throttled",
                "wait some minutes and run again, or read from a copy with --source",
                attempts=BLOCKED_ATTEMPTS,
                first_wait=BLOCKED_FIRST_WAIT,
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
    """Look for a month file; a source that fails is asked again.

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
    opened = open_source(source)
    return patiently(lambda: opened.find(dataset, month))


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
            f" after a month ends; `nyc-tlc available --dataset {dataset}` shows what is"
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
    """Send a request, once.

    Args:
        method: HEAD or GET.
        url: the address.
        label: how messages name the file.
        headers: headers beside the usual ones.

    Returns:
        The answer, whatever its status; the body is not read yet.

    Raises:
        TransientError: when no answer came, or one that may get better by itself.
        SourceError: when the address can't be right.
    """
    host = redact(url).partition("://")[2].partition("/")[0].removeprefix("***@")
    try:
        response = _session().request(
            method,
            url,
            headers=headers,
            stream=method == "GET",
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
    except (requests.ConnectionError, requests.Timeout) as error:
        raise TransientError(
            f"{label}: can't reach {host}: {_reason(error)}",
            "check the connection and the source's address, then run again",
            attempts=ATTEMPTS if host in _reached else UNREACHABLE_ATTEMPTS,
        ) from error
    except (requests.RequestException, LocationParseError) as error:
        raise SourceError(
            f"{label}: can't ask {redact(url)}: {type(error).__name__}; check the source's address"
        ) from error
    _reached.add(host)
    if response.status_code in TRANSIENT:
        with response:
            raise TransientError(
                _bad_status(response, url, label),
                _LATER,
                attempts=ATTEMPTS,
                retry_after=_retry_after(response),
            )
    return response


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
    return SourceError(f"{_bad_status(response, url, label)}; {_LATER}")


def _bad_status(response: requests.Response, url: str, label: str) -> str:
    return f"{label}: {redact(url)} answers {response.status_code} {response.reason}"


def _retry_after(response: requests.Response) -> float | None:
    try:
        return Retry().get_retry_after(response.raw)
    except InvalidHeader:
        return None


@cache
def _session() -> requests.Session:
    session = requests.Session()
    # TLC has been seen to block requests' own name.
    session.headers["User-Agent"] = f"nyc_tlc/{__version__}"
    session.headers["Accept-Encoding"] = "identity"  # lengths are those of the file
    return session


def _reason(error: BaseException) -> str:
    """Find the system's own words; those of requests may repeat the address, password too."""
    cause = error
    while deeper := cause.__cause__ or cause.__context__:
        cause = deeper
    return getattr(cause, "strerror", None) or str(cause)


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
