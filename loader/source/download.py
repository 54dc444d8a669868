"""Downloads month files: streamed, resumed and checked. Half a file is never accepted."""

import datetime as dt
import hashlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from urllib3.exceptions import HTTPError

from loader.calendar import SUFFIXES, file_name
from loader.errors import FileRefusedError, LoaderError, SourceError
from loader.source import object_store
from loader.source.csv_file import CsvError, CsvFile
from loader.source.http import bad_status, describe, is_http, request
from loader.source.published import PublishedFile, redact
from loader.source.retries import TransientError, patiently
from loader.source.whole import is_remote

#: Attempts at a transfer, which resumes where it broke off: two minutes if none makes progress.
ATTEMPTS = 8
#: Read at most so much at once.
CHUNK_BYTES = 64 * 1024
#: A transfer that brings less within so many seconds is broken off, and tried again.
LEAST_BYTES, WINDOW_SECONDS = 64 * 1024, 60.0

_MAGIC = b"PAR1"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")


@dataclass(frozen=True)
class LocalFile(PublishedFile):
    """A month file on this machine, checked.

    Size, ETag and time are of these bytes, which may be newer than what the source said at first.

    Attributes:
        path: where it is. In place for a folder source: not ours to delete.
        sha256: of its bytes, in hex.
        rows: as the Parquet footer says; of CSV, as counted.
    """

    path: Path
    sha256: str
    rows: int


def fetch(
    file: PublishedFile,
    folder: Path,
    progress: Callable[[int], None] | None = None,
    *,
    allow_empty: bool = False,
) -> LocalFile:
    """Download a month file and check it.

    A file in a folder is read in place. A download that was broken off is resumed;
    a file that is here already, in the same version, is used without a request.

    Args:
        file: as `find` returned it.
        folder: where downloads go; created when missing.
        progress: called with the number of bytes that are here so far.
        allow_empty: take a file with zero rows too.

    Returns:
        The checked file. Its version is that of the bytes, should the source have replaced them
        since `find`.

    Raises:
        SourceError: when the file can't be had whole.
        FileRefusedError: when it is no whole Parquet or CSV file, or has no rows; a download is
            deleted.
        LoaderError: when the folder can't be written to, or the disk is full.
    """
    if not is_remote(file.url):
        return _read_in_place(file, allow_empty)
    path = folder / file.name
    part = _Part(folder / f"{file.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if sha256 := _kept(path, file.etag):
            return _checked(file, path, allow_empty, sha256)
        transfer = _HttpTransfer if is_http(file.url) else _BucketTransfer
        served = transfer(file, part, progress).run()
        local = _checked(served, part.path, allow_empty)
        # The stamp first: after a kill in between, the next run uses the complete partial file.
        _stamp_path(path).write_bytes(_stamp(local.sha256, served.etag))
        part.path.replace(path)
        part.discard()
        return replace(local, path=path)
    except FileRefusedError:
        part.discard()
        raise
    except OSError as error:
        with suppress(OSError):
            part.discard()
        raise LoaderError(
            f"{file.label}: can't write to {folder}: {error.strerror or error}; make room"
            " or choose another place with TLC_LOCAL_DIR"
        ) from error


def discard(folder: Path, dataset: str, month: dt.date) -> None:
    """Delete the download of a month file, if there is one."""
    for suffix in SUFFIXES:
        path = folder / file_name(dataset, month, suffix)
        path.unlink(missing_ok=True)
        _stamp_path(path).unlink(missing_ok=True)
        _Part(path.with_name(f"{path.name}.part")).discard()


@dataclass(frozen=True)
class _Part:
    """A download that is not complete; the ETag of its bytes is kept in a file beside it."""

    path: Path

    @property
    def _etag_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.etag")

    def begin(self, etag: str | None) -> None:
        self.discard()
        if etag and not etag.startswith("W/"):  # a weak one isn't of these very bytes
            self._etag_path.write_text(etag)

    def size_of(self, file: PublishedFile) -> int:
        """Return how many bytes of this version are here; delete those of another."""
        with suppress(FileNotFoundError):
            size = self.path.stat().st_size
            if self._etag_path.read_text() == file.etag and size <= file.size:
                return size
        self.discard()
        return 0

    def discard(self) -> None:
        # The bytes go first: bytes beside a stale ETag would be taken for that version.
        self.path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)


class _Transfer(ABC):
    """Fills a partial download, with retries."""

    def __init__(
        self, file: PublishedFile, part: _Part, progress: Callable[[int], None] | None
    ) -> None:
        self.file = file  # becomes the newer version when the source replaces it meanwhile
        self.part = part
        self.progress = progress or (lambda done: None)

    def run(self) -> PublishedFile:
        """Download all bytes; return the version that they are of."""
        patiently(self._attempt, ATTEMPTS)
        return self.file

    @abstractmethod
    def _attempt(self) -> None:
        """Resume, and return when the file is complete."""

    def _require_whole(self, done: int, cause: Exception | None = None) -> None:
        if done != self.file.size:
            problem = f"sent {done} bytes where it announced {self.file.size}"
            raise self._failed(problem, "run again to go on from there") from cause

    def _failed(self, problem: str, advice: str) -> TransientError:
        return TransientError(f"{self.file.label}: {redact(self.file.url)} {problem}", advice)


class _HttpTransfer(_Transfer):
    def _attempt(self) -> None:
        start = self.part.size_of(self.file)
        if start == self.file.size:
            return
        headers = {"Range": f"bytes={start}-", "If-Range": f"{self.file.etag}"} if start else None
        with request("GET", self.file.url, self.file.label, headers) as response:
            if response.status_code == 206:
                self._check_continues(response, start)
            elif response.status_code == 200:
                start = 0
                self.file = describe(response, self.file.dataset, self.file.month, self.file.url)
                self.part.begin(self.file.etag)
            elif response.status_code == 416:
                raise self._no_continuation()
            else:
                raise bad_status(response, self.file.url, self.file.label)
            self._append(response, start)

    def _check_continues(self, response: requests.Response, start: int) -> None:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        fits = found and (int(found[1]), int(found[2])) == (start, self.file.size)
        if not fits or response.headers.get("ETag", self.file.etag) != self.file.etag:
            raise self._no_continuation()

    def _no_continuation(self) -> TransientError:
        self.part.discard()
        return self._failed("doesn't continue the file that it began", "run again later")

    def _append(self, response: requests.Response, done: int) -> None:
        cause = None
        before, began = done, time.monotonic()
        try:
            with self.part.path.open("ab") as out:
                # What has arrived: `iter_content` waits until a whole chunk has.
                while done <= self.file.size and (chunk := response.raw.read1(CHUNK_BYTES)):
                    out.write(chunk)
                    done += len(chunk)
                    self.progress(done)
                    if (seconds := time.monotonic() - began) >= WINDOW_SECONDS:
                        if done - before < LEAST_BYTES:
                            problem = f"sent {done - before} bytes in {seconds:.0f} s"
                            raise self._failed(problem, "run again later to go on from there")
                        before, began = done, time.monotonic()
        except HTTPError as error:
            cause = error
        self._require_whole(done, cause)


class _BucketTransfer(_Transfer):
    def _attempt(self) -> None:
        done = self.part.size_of(self.file)
        if not done:
            self.part.begin(self.file.etag)
        url, label = self.file.url, self.file.label
        try:
            with self.part.path.open("ab") as out:
                for piece in object_store.read(url, self.file.size, done):
                    out.write(piece)
                    done += len(piece)
                    self.progress(done)
            now = object_store.look(url)
        except SourceError as error:
            raise SourceError(f"{label}: {error}") from error
        if now is None:
            raise SourceError(f"{label}: {url} was removed while it was read; run again later")
        # The pieces are of one version if the object has not changed meanwhile.
        if (now.size, now.etag) != (self.file.size, self.file.etag):
            self.part.discard()
            self.file = replace(
                self.file, size=now.size, etag=now.etag, last_modified=now.last_modified
            )
            raise self._failed("was replaced while it was read", "run again")
        self._require_whole(done)


def _kept(path: Path, etag: str | None) -> str | None:
    """Return the sha256 of an earlier run's file, if it is of this version and still intact."""
    stamp = _stamp_path(path)
    if not etag or not path.exists() or not stamp.exists():
        return None
    sha256 = _sha256(path)
    return sha256 if stamp.read_bytes() == _stamp(sha256, etag) else None


def _stamp_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.version")


def _stamp(sha256: str, etag: str | None) -> bytes:
    return f"{sha256} {etag}\n".encode()


def _read_in_place(file: PublishedFile, allow_empty: bool) -> LocalFile:
    path = Path(file.url)
    try:
        return _checked(file, path, allow_empty)
    except OSError as error:
        raise SourceError(
            f"{file.label}: can't read {path}: {error.strerror or error}; check the source folder"
        ) from error


def _checked(
    file: PublishedFile, path: Path, allow_empty: bool, sha256: str | None = None
) -> LocalFile:
    """Check that a file is whole, readable and not empty, and describe it."""
    rows = (_rows_of_csv if file.format == "csv" else _rows_of_parquet)(path, file)
    if rows == 0 and not allow_empty:
        raise FileRefusedError(
            f"{file.label}: an empty file, zero rows ({redact(file.url)}); run again when TLC has"
            " republished it, or with --allow-empty if the month is to be empty"
        )
    described = vars(file) | {"size": path.stat().st_size}
    return LocalFile(**described, path=path, sha256=sha256 or _sha256(path), rows=rows)


def _rows_of_csv(path: Path, file: PublishedFile) -> int:
    try:
        return CsvFile(path, is_gzipped=file.name.endswith(".gz")).check()
    except CsvError as error:
        raise FileRefusedError(
            f"{file.label}: what came from {redact(file.url)} isn't a whole CSV file: {error}; look"
            " at it there, then run again"
        ) from error


def _rows_of_parquet(path: Path, file: PublishedFile) -> int:
    source = redact(file.url)
    with path.open("rb") as opened:
        head = opened.read(16)
        opened.seek(-min(len(head), len(_MAGIC)), 2)
        tail = opened.read()
    if not head.startswith(_MAGIC) or tail != _MAGIC:
        raise FileRefusedError(
            f"{file.label}: what came from {source} isn't a whole Parquet file (it begins"
            f" with {head!r}); look at it there, then run again"
        )
    try:
        return pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FileRefusedError(
            f"{file.label}: corrupt, its Parquet footer can't be read ({source}); run again, and"
            " tell TLC if it stays so"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
