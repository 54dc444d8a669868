"""Copies published month files, byte for byte, to a folder or a bucket, which then is a source.

Beside each copy lies a note, `<file>.mirror.json`: which version of the source's file it is, and
how the copy looked when it was verified. A month is unchanged when both still match. The note is
written last, so an interrupted copy is made again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loader.calendar import Month
from loader.errors import LoaderError, LockedError, NotPublishedError, SourceError, UsageError
from loader.settings import Settings
from loader.source import discover, download, object_store
from loader.source.download import LocalFile
from loader.source.object_store import StoredObject
from loader.source.published import PublishedFile, redact
from loader.terminal.progress import Reporter, how_far

#: Files that are copied at the same time.
THREADS = 4


@dataclass(frozen=True)
class Outcome:
    """The result for a month.

    Attributes:
        state: mirrored, unchanged, not published or failed.
        size: bytes of the file; 0 when there is none.
    """

    month: Month
    state: str
    size: int = 0
    error: LoaderError | None = None


def mirror_months(
    settings: Settings, months: list[Month], destination: str, reporter: Reporter
) -> list[Outcome]:
    """Copy month files as they are. Unchanged copies are left alone.

    Files come through TLC_LOCAL_DIR, `THREADS` at a time, resumed and checked like a load's, and
    are deleted there once their copy is verified.

    Args:
        destination: a folder, gs://bucket/path or s3://bucket/path.

    Raises:
        UsageError: when the destination can't be one.
        NotPublishedError: when the one month asked for is not at the source.
        LoaderError: when the one month asked for fails; of several, all are tried.
        LockedError: when another mirror runs in this TLC_LOCAL_DIR.
    """
    run = _Mirror(settings, _destination(destination, settings.source))
    done: list[Month] = []
    reporter.if_stopped(lambda: [how_far(months, done, "mirrored")])

    is_only = len(months) == 1

    def attempt(month: Month) -> Outcome:
        started = time.monotonic()
        try:
            outcome = run.copy(month)
        except LoaderError as error:
            if is_only:
                raise
            outcome = Outcome(month, "failed", error=error)
        else:
            if is_only and outcome.state == "not published":
                raise NotPublishedError(f"{month.label} is not at {redact(settings.source)}")
            done.append(month)
        _report(reporter, outcome, started)
        return outcome

    with _only_one(run.folder), ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(attempt, months))


@dataclass(frozen=True)
class _Folder:
    path: Path

    def version(self, name: str) -> str | None:
        """Return the version of a file; None when it is not there."""
        try:
            stat = (self.path / name).stat()
        except FileNotFoundError:
            return None
        return f"{stat.st_size} bytes, {stat.st_mtime_ns}"

    def put(self, file: LocalFile) -> str | None:
        """Copy a file, all or nothing, and verify it; return the version of the copy."""
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / file.name
        part = path.with_name(f"{path.name}.part")
        shutil.copyfile(file.path, part)
        with part.open("rb") as written:
            if hashlib.file_digest(written, "sha256").hexdigest() != file.sha256:
                raise _differs(file, path)
            os.fsync(written.fileno())
        version = self.version(part.name)
        part.replace(path)
        return version

    def read_note(self, name: str) -> str | None:
        """Return a note's text; None when there is none."""
        path = self.path / name
        return path.read_text() if path.exists() else None

    def write_note(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)


@dataclass(frozen=True)
class _Bucket:
    base: str

    def version(self, name: str) -> str | None:
        found = object_store.look(self._url(name))
        return _signal(found) if found else None

    def put(self, file: LocalFile) -> str | None:
        url = self._url(file.name)
        object_store.upload(file.path, url)
        found = object_store.look(url)
        if found is None or found.size != file.size or not _same_bytes(file, found, url):
            object_store.remove(url)
            raise _differs(file, url)
        return _signal(found)

    def read_note(self, name: str) -> str | None:
        url = self._url(name)
        found = object_store.look(url)
        return b"".join(object_store.read(url, found.size)).decode() if found else None

    def write_note(self, name: str, text: str) -> None:
        object_store.write_text(text, self._url(name))

    def _url(self, name: str) -> str:
        return f"{self.base}/{name}"


@dataclass(frozen=True)
class _Mirror:
    settings: Settings
    destination: _Folder | _Bucket

    @property
    def folder(self) -> Path:
        # Not a load's folder: both at once would write to the same partial download.
        return self.settings.local_dir / "mirror"

    def copy(self, month: Month) -> Outcome:
        try:
            return self._copy(month)
        except OSError as error:
            raise SourceError(f"{month.label}: {error}; check the destination") from error

    def _copy(self, month: Month) -> Outcome:
        published = discover.find(self.settings.source, *month)
        if published is None:
            return Outcome(month, "not published")
        signal = _signal(published)
        if signal and self._has(published.name, signal):
            self._clear(published.name)
            return Outcome(month, "unchanged", published.size)
        file = download.fetch(published, self.folder)
        note = {
            "source": redact(published.url),
            "source_version": _signal(file),
            "sha256": file.sha256,
            "copy_version": self.destination.put(file),
        }
        self.destination.write_note(_note_name(published.name), json.dumps(note, indent=2) + "\n")
        self._clear(published.name)
        return Outcome(month, "mirrored", file.size)

    def _clear(self, name: str) -> None:
        """Delete a download and the files beside it."""
        for path in self.folder.glob(f"{name}*"):
            path.unlink(missing_ok=True)

    def _has(self, name: str, signal: str) -> bool:
        text = self.destination.read_note(_note_name(name))
        try:
            note = json.loads(text or "{}")
        except ValueError:  # cut off by a kill
            return False
        if note.get("source_version") != signal:
            return False
        return note["copy_version"] == self.destination.version(name)


def _destination(destination: str, source: str) -> _Folder | _Bucket:
    made: _Folder | _Bucket
    if object_store.is_bucket(destination):
        made = _Bucket(destination.rstrip("/"))
        same = made.base == source
    elif destination and "://" not in destination:
        made = _Folder(Path(destination).resolve())
        same = made.path == Path(source).resolve()
    else:
        raise UsageError(
            f"can't mirror to {redact(destination)!r}: give a folder, or a gs:// or s3:// address"
        )
    if same:
        raise UsageError(f"{destination} is the source itself: choose another destination")
    return made


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                f"another mirror runs in {folder}: wait for it, or set another TLC_LOCAL_DIR"
            ) from error
        yield


def _note_name(name: str) -> str:
    return f"{name}.mirror.json"


def _signal(version: PublishedFile | StoredObject) -> str | None:
    """Return what distinguishes a version, as text; None when the source gives nothing."""
    mark = version.etag or (version.last_modified and version.last_modified.isoformat())
    return f"{version.size} bytes, {mark}" if mark else None


def _same_bytes(file: LocalFile, found: StoredObject, url: str) -> bool:
    """Compare with the store's own checksum, or with the bytes read back if it has none."""
    if found.md5:
        with file.path.open("rb") as opened:
            return hashlib.file_digest(opened, "md5").hexdigest() == found.md5
    digest = hashlib.sha256()
    for piece in object_store.read(url, found.size):
        digest.update(piece)
    return digest.hexdigest() == file.sha256


def _differs(file: LocalFile, copy: str | Path) -> SourceError:
    return SourceError(
        f"{file.label}: the copy {copy} is not what was sent; run again, and look at the"
        " destination if it stays so"
    )


_printing = threading.Lock()


def _report(reporter: Reporter, outcome: Outcome, started: float) -> None:
    line = f"{outcome.month.label}  {outcome.state:<13}"
    if outcome.error:
        line = f"failed: {outcome.error}"
    elif outcome.size:
        seconds = time.monotonic() - started
        line = f"{line}  {outcome.size / 1e6:8,.1f} MB  {seconds:6.1f} s"
    with _printing:
        reporter.say(line.rstrip())
