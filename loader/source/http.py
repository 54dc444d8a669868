"""Month files at a web address: TLC's CDN, or a copy of it."""

import datetime as dt
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache

import requests
from urllib3.exceptions import InvalidHeader, LocationParseError
from urllib3.util import Retry

from loader import __version__
from loader.calendar import file_name
from loader.errors import NotPublishedError, SourceError
from loader.source.published import PublishedFile, label_of, redact
from loader.source.retries import TransientError

#: Months that TLC has published for certain: they distinguish "not published" from "blocked".
REFERENCE_MONTHS = (dt.date(2023, 1, 1), dt.date(2022, 1, 1))

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
#: Answers that are retried, for half a minute or as long as the server asks for.
TRANSIENT = (429, 500, 502, 503, 504)
ATTEMPTS = 6
#: A source that has never answered is more likely misspelled than down: 3 to 5 seconds.
UNREACHABLE_ATTEMPTS = 3
#: A blocked client asks again, in case it was only throttled: 15 to 25 seconds.
BLOCKED_ATTEMPTS = 3
BLOCKED_FIRST_WAIT = 5.0

_LATER = "run again later, or read from a copy with --source"
#: Hosts that have answered in this process.
_reached: set[str] = set()

_RELEASES = "/releases/download"
#: A file's length: not zero, and no more than any disk holds.
_LENGTH = re.compile(r"[1-9][0-9]{0,14}")


@dataclass(frozen=True)
class HttpSource:
    """A web address.

    Attributes:
        base: the URL that file names are appended to; a query stays at the end. Releases of GitHub,
            …/releases/download, hold gzipped CSV copies, in a release for each dataset.
    """

    base: str

    def find(self, dataset: str, month: dt.date) -> PublishedFile | None:
        """Look for a month file, once; None when it is not published."""
        label, url = label_of(dataset, month), self._url(dataset, month)
        response = request("HEAD", url, label)
        if response.status_code == 200:
            return describe(response, dataset, month, url)
        if response.status_code in (404, 410):
            return None
        if response.status_code != 403:
            raise bad_status(response, url, label)
        # TLC's storage answers 403 for a missing file, and for a client that it blocks. A file that
        # is published for certain distinguishes them. It is asked for each time, and again with
        # each retry: a block may begin or end between two requests.
        reference = next(known for known in REFERENCE_MONTHS if known != month)
        known_url, known_label = self._url(dataset, reference), label_of(dataset, reference)
        if request("HEAD", known_url, known_label).status_code != 200:
            raise TransientError(
                f"{label}: {redact(self.base)} answers 403, and refuses"
                f" {file_name(dataset, reference)} too: this client is blocked or throttled",
                "wait some minutes and run again, or read from a copy with --source",
                attempts=BLOCKED_ATTEMPTS,
                first_wait=BLOCKED_FIRST_WAIT,
            )
        return None

    def months(self, dataset: str) -> None:
        """Return None: a web address doesn't list its files."""

    def _url(self, dataset: str, month: dt.date) -> str:
        # A query, such as a token that signs the address, comes after the file's name.
        path, mark, query = self.base.partition("?")
        path = path.rstrip("/")
        if path.endswith(_RELEASES):
            return f"{path}/{dataset}/{file_name(dataset, month, '.csv.gz')}{mark}{query}"
        return f"{path}/{file_name(dataset, month)}{mark}{query}"


def is_http(address: str) -> bool:
    """Return whether an address is a web address, not a path."""
    return address.lower().startswith(("http://", "https://"))


def request(
    method: str, url: str, label: str, headers: dict[str, str] | None = None
) -> requests.Response:
    """Send a request, once, and return the answer; its body is not read yet.

    Args:
        label: how messages name the file.
        headers: headers beside the usual ones.

    Raises:
        TransientError: when no answer came, or one that a retry may change.
        SourceError: when the address can't be right.
    """
    host = redact(url).partition("://")[2].partition("/")[0].removeprefix("***@")
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    try:
        response = _session().request(
            method, url, headers=headers, stream=method == "GET", timeout=timeout
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
        problem, wait = _bad_status(response, url, label), _retry_after(response)
        response.close()
        raise TransientError(problem, _LATER, attempts=ATTEMPTS, retry_after=wait)
    return response


def get(url: str, etag: str | None) -> requests.Response | None:
    """Get a small file whole, once; None when the server still has the version of `etag`.

    Raises:
        NotPublishedError: when the server has no such file, or refuses us.
        TransientError: when no whole answer came.
        SourceError: for any other answer.
    """
    shown = redact(url).partition("?")[0]
    with request("GET", url, shown, {"If-None-Match": etag} if etag else None) as response:
        if response.status_code == 304:
            return None
        if response.status_code in (403, 404, 410):
            raise NotPublishedError(str(bad_status(response, url, shown)))
        if response.status_code != 200:
            raise bad_status(response, url, shown)
        try:
            size = len(response.content)
        except requests.RequestException as error:
            raise TransientError(f"{shown}: the answer broke off", "run again later") from error
        announced = response.headers.get("Content-Length", str(size))
        if announced != str(size):
            raise TransientError(
                f"{shown}: {size} bytes came where {announced} were announced", "run again later"
            )
        return response


def describe(response: requests.Response, dataset: str, month: dt.date, url: str) -> PublishedFile:
    """Read what a 200 answer to a HEAD or a GET of a whole month file says of it.

    Raises:
        SourceError: when the answer has no length, without which no download can be checked.
    """
    length = response.headers.get("Content-Length", "")
    name = url.partition("?")[0].rpartition("/")[2]
    if not _LENGTH.fullmatch(length):
        raise SourceError(
            f"{label_of(dataset, month)}: {redact(url)} comes without a length"
            f" (Content-Length {length!r}), so a download can't be checked; run again later,"
            " or read from a copy with --source"
        )
    return PublishedFile(dataset, month, name, url, int(length), *version_of(response))


def version_of(response: requests.Response) -> tuple[str | None, dt.datetime | None]:
    """Return the ETag and the time (UTC) that an answer gives for its file, where it does."""
    etag = response.headers.get("ETag", "")
    # It is stored, and sent back to the server: treat a malformed one as missing.
    is_right = etag.isascii() and etag.isprintable() and 0 < len(etag) < 1000
    try:
        sent = parsedate_to_datetime(response.headers.get("Last-Modified", ""))
        last_modified = sent.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        last_modified = None
    return etag if is_right else None, last_modified


def bad_status(response: requests.Response, url: str, label: str) -> SourceError:
    """Return the error for an HTTP status that is no success."""
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
    # TLC has been seen to block the default User-Agent of requests.
    session.headers["User-Agent"] = f"nyc_tlc/{__version__}"
    session.headers["Accept-Encoding"] = "identity"  # lengths are those of the file
    return session


def _reason(error: BaseException) -> str:
    """Return the system's message; that of requests may repeat the address with its password."""
    cause = error
    while deeper := cause.__cause__ or cause.__context__:
        cause = deeper
    return getattr(cause, "strerror", None) or str(cause)
