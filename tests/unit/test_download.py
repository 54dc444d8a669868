"""A file is accepted whole or not at all, whatever the server does meanwhile."""

import datetime as dt
import hashlib
import io
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loader.errors import FileRefusedError, LoaderError, SourceError
from loader.source import discover, download, http
from loader.source.published import PublishedFile
from tests.cdn import (
    Cdn,
    close_early,
    drop,
    html,
    ignore_range,
    republish,
    reset,
    stall,
    status,
    trickle,
    with_headers,
)

pytestmark = pytest.mark.usefixtures("no_waiting")

MONTH = dt.date(2024, 5, 1)
NAME = "green_tripdata_2024-05.parquet"
STAMP = f"{NAME}.version"
ROWS = 300
CUT = 200_000


def parquet(seed: int, rows: int = ROWS) -> bytes:
    """Make a Parquet file of about a kilobyte a row, which doesn't compress."""
    noise = random.Random(seed)
    table = pa.table({"noise": pa.array([noise.randbytes(1000) for _ in range(rows)], pa.binary())})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


OLD, NEW, EMPTY = parquet(1), parquet(2, rows=350), parquet(3, rows=0)


@pytest.fixture
def downloads(tmp_path) -> Path:
    return tmp_path / "deep" / "downloads"


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def found(cdn: Cdn, content: bytes = OLD) -> PublishedFile:
    """Publish a file and find it; only what comes after is recorded."""
    (cdn.folder / NAME).write_bytes(content)
    file = discover.require(cdn.url, "green", MONTH)
    cdn.requests.clear()
    return file


def ranges(cdn: Cdn) -> list[str | None]:
    """List the Range header of each request made; all are GETs of the file."""
    assert cdn.requests == cdn.asked("GET", NAME)
    return [request.headers.get("Range") for request in cdn.requests]


def fetched(
    file: PublishedFile,
    downloads: Path,
    content: bytes = OLD,
    progress: Callable[[int], None] = lambda done: None,
) -> download.LocalFile:
    """Fetch a file, which has to have this content; nothing else is left beside it."""
    local = download.fetch(file, downloads, progress)
    assert local.path == downloads / NAME
    assert local.path.read_bytes() == content
    assert local.sha256 == hashlib.sha256(content).hexdigest()
    rows = pq.read_metadata(pa.BufferReader(content)).num_rows
    assert (local.size, local.rows, local.etag) == (len(content), rows, etag(content))
    assert (local.label, local.url) == (file.label, file.url)
    assert left_in(downloads) == [NAME, STAMP]
    return local


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(error_type: type[LoaderError], file: PublishedFile, downloads: Path) -> str:
    with pytest.raises(error_type) as error:
        download.fetch(file, downloads)
    assert error.value.exit_code == error_type.exit_code
    message = str(error.value)
    assert "\n" not in message
    assert f"green 2024-05 ({NAME})" in message
    return message


def test_plain_download(cdn, downloads):
    file, seen = found(cdn), []

    local = fetched(file, downloads, progress=seen.append)

    assert vars(local).items() >= vars(file).items()
    assert ranges(cdn) == [None]
    assert cdn.requests[0].headers["Accept-Encoding"] == "identity"
    assert seen == sorted(seen)
    assert seen[-1] == len(OLD)


#: What a transfer meets, and the ranges that are asked for until the file is whole.
GOES_ON = f"bytes={CUT}-"
LAST = len(OLD) - 1
RESUMED = [None, GOES_ON]
SCRIPTS = {
    "reset": ([reset(CUT)], RESUMED),
    "closed early": ([close_early(CUT)], RESUMED),
    "stalled": ([stall(CUT)], RESUMED),
    "broken again and again": (
        [close_early(70_000)] * 3,
        [None, "bytes=70000-", "bytes=140000-", "bytes=210000-"],
    ),
    "range ignored": ([close_early(CUT), ignore_range()], RESUMED),
    "dropped": ([drop()], [None, None]),
    "416": ([close_early(CUT), status(416)], [*RESUMED, None]),
    **{
        f"not what goes on there: {number}": ([close_early(CUT), other], [*RESUMED, None])
        for number, other in enumerate(
            [
                with_headers(Content_Range=f"bytes 5-{LAST}/{len(OLD)}"),
                with_headers(Content_Range=f"bytes {CUT}-{len(OLD)}/{len(OLD) + 1}"),
                with_headers(Content_Range="nonsense"),
                status(206, ETag='"x"', Content_Range=f"bytes {CUT}-{LAST}/{len(OLD)}"),
                replace(
                    status(206, Content_Range=f"bytes {CUT}-{LAST}/{len(OLD)}"),
                    body=OLD[CUT:] + b"more",
                ),
            ]
        )
    },
    **{
        f"{code} twice": (
            [status(code), close_early(CUT), status(code)],
            [None, None, GOES_ON, GOES_ON],
        )
        for code in (429, 500, 502, 503, 504)
    },
}


@pytest.mark.parametrize(("script", "asked"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_disturbed_transfer_gives_the_whole_file(cdn, downloads, monkeypatch, script, asked):
    monkeypatch.setattr(http, "READ_SECONDS", 0.5)
    file = found(cdn)
    cdn.script(NAME, script)

    fetched(file, downloads)
    assert ranges(cdn) == asked
    for request in cdn.requests:
        assert request.headers.get("If-Range") == (
            etag(OLD) if "Range" in request.headers else None
        )


def test_a_transfer_that_hardly_moves_is_broken_off_and_goes_on(cdn, downloads, monkeypatch):
    monkeypatch.setattr(download, "WINDOW_SECONDS", 0.2)
    file = found(cdn)
    cdn.script(NAME, [trickle(CUT)])

    fetched(file, downloads)
    first, second = ranges(cdn)
    assert first is None
    assert CUT < int(second.removeprefix("bytes=").rstrip("-")) < CUT + 1000

    cdn.script(NAME, [trickle(0)] * download.ATTEMPTS)
    download.discard(downloads, "green", MONTH)
    message = refusal(SourceError, file, downloads)
    assert "bytes in 0 s; run again later to go on from there" in message


def test_short_bodies_are_never_accepted_and_a_later_run_goes_on(cdn, downloads):
    file = found(cdn)
    cdn.script(NAME, [close_early(70_000), *[close_early(0)] * 7])

    message = refusal(SourceError, file, downloads)

    assert f"70000 bytes where it announced {len(OLD)}" in message
    assert len(cdn.requests) == download.ATTEMPTS
    assert left_in(downloads) == [f"{NAME}.part", f"{NAME}.part.etag"]

    cdn.requests.clear()
    fetched(file, downloads)
    assert ranges(cdn) == ["bytes=70000-"]


@pytest.mark.parametrize(
    ("part", "tag", "asked"),
    [
        (OLD, etag(OLD), []),  # complete, of a run that was killed
        (NEW[:1000], etag(NEW), [None]),  # of another version
        (OLD + b"more", etag(OLD), [None]),  # longer than the file
        (OLD[:1000], None, [None]),  # of nobody knows what
        (None, etag(OLD), [None]),  # nothing
    ],
)
def test_a_partial_is_used_if_it_fits(cdn, downloads, part, tag, asked):
    file = found(cdn)
    downloads.mkdir(parents=True)
    if part:
        (downloads / f"{NAME}.part").write_bytes(part)
    if tag:
        (downloads / f"{NAME}.part.etag").write_text(tag)

    fetched(file, downloads)
    assert ranges(cdn) == asked


REPLACED = {
    "between HEAD and GET": ([republish(NEW)], [None]),
    "between two parts": ([close_early(CUT), republish(NEW)], RESUMED),
    "between two parts, of which both break off": (
        [close_early(CUT), republish(NEW, close_early(CUT))],
        [*RESUMED, GOES_ON],
    ),
}


@pytest.mark.parametrize(("script", "asked"), REPLACED.values(), ids=REPLACED)
def test_a_file_that_is_replaced_meanwhile_is_taken_in_its_new_version(
    cdn, downloads, script, asked
):
    file = found(cdn)
    cdn.script(NAME, script)

    fetched(file, downloads, NEW)
    assert ranges(cdn) == asked
    tags = [None, etag(OLD), etag(NEW)]
    assert [r.headers.get("If-Range") for r in cdn.requests] == tags[: len(asked)]


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_without_a_strong_etag_nothing_is_resumed(cdn, downloads, tag):
    (cdn.folder / NAME).write_bytes(OLD)
    cdn.script(NAME, [with_headers(ETag=tag)], method="HEAD")
    file = discover.require(cdn.url, "green", MONTH)
    cdn.requests.clear()
    whole = with_headers(ETag=tag)
    cdn.script(NAME, [replace(whole, cut_after=CUT), whole])

    local = download.fetch(file, downloads)

    assert local.path.read_bytes() == OLD
    assert local.etag == (tag or None)
    assert ranges(cdn) == [None, None]
    assert left_in(downloads) == [NAME, STAMP]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        *((status(code), f"answers {code}") for code in (403, 404, 410)),
        (with_headers(Content_Length="", Connection="close"), "without a length"),
    ],
)
def test_an_answer_without_the_file_is_a_source_error(cdn, downloads, answer, told):
    file = found(cdn)
    cdn.script(NAME, [answer])

    assert told in refusal(SourceError, file, downloads)
    assert left_in(downloads) == []


@pytest.mark.parametrize("script", [[html()], [close_early(CUT), html()]])
def test_web_page_is_refused(cdn, downloads, script):
    file = found(cdn)
    cdn.script(NAME, script)

    told = refusal(FileRefusedError, file, downloads)
    assert "isn't a whole Parquet file (it begins with b'<!DOCTYPE" in told
    assert len(cdn.requests) == len(script)
    assert left_in(downloads) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (OLD[:-1], "isn't a whole Parquet file"),
        (b"PAR1", "can't be read"),
        (b"PAR", "isn't a whole Parquet file"),
        (b"PAR1" + OLD[4:-12] + b"\xff" * 4 + OLD[-8:], "can't be read"),
        (OLD[:-60] + bytes(52) + OLD[-8:], "can't be read"),
        (OLD[:-8] + b"\xff\xff\xff\x7fPAR1", "can't be read"),
        (EMPTY, "zero rows"),
    ],
)
def test_corrupt_and_empty_files_are_refused(cdn, downloads, content, told):
    file = found(cdn, content)

    assert told in refusal(FileRefusedError, file, downloads)
    assert left_in(downloads) == []

    (cdn.folder / NAME).write_bytes(OLD)  # the next run takes nothing from the refused one
    fetched(file, downloads)
    assert ranges(cdn) == [None, None]


def test_same_version_again_makes_no_request(cdn, downloads):
    file = found(cdn)
    first = fetched(file, downloads)
    cdn.requests.clear()

    assert fetched(file, downloads) == first
    assert cdn.requests == []


def test_new_last_modified_alone_is_no_new_version(cdn, downloads):
    first = fetched(found(cdn), downloads)
    os.utime(cdn.folder / NAME, (0, 86_400))
    file = discover.require(cdn.url, "green", MONTH)
    cdn.requests.clear()

    again = fetched(file, downloads)

    assert again == replace(first, last_modified=dt.datetime(1970, 1, 2))
    assert cdn.requests == []


def test_without_an_etag_a_local_file_is_not_trusted(cdn, downloads):
    file = replace(found(cdn), etag=None)
    cdn.script(NAME, [with_headers(ETag="")] * 2)

    for _ in range(2):
        assert download.fetch(file, downloads).path.read_bytes() == OLD
    assert ranges(cdn) == [None, None]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(OLD[:-500] + bytes(492) + OLD[-8:]),
        lambda path: path.with_name(STAMP).unlink(),
    ],
    ids=["altered", "without its stamp"],
)
def test_a_local_file_that_cant_be_trusted_is_downloaded_again(cdn, downloads, damage):
    file = found(cdn)
    damage(fetched(file, downloads).path)

    fetched(file, downloads)
    assert ranges(cdn) == [None, None]


def test_republished_file_replaces_the_local_one(cdn, downloads):
    fetched(found(cdn), downloads)

    fetched(found(cdn, NEW), downloads, NEW)
    assert ranges(cdn) == [None]


def test_failed_republication_leaves_the_local_file(cdn, downloads):
    download.fetch(found(cdn), downloads)

    refusal(FileRefusedError, found(cdn, EMPTY), downloads)

    assert (downloads / NAME).read_bytes() == OLD
    assert left_in(downloads) == [NAME, STAMP]


def test_full_disk_is_told_and_the_partial_removed(cdn, downloads, monkeypatch):
    file = found(cdn)
    plain_open = Path.open

    def open_full(path, *args, **kwargs):
        if path.suffix == ".part":
            plain_open(path, *args, **kwargs).close()
            path = Path("/dev/full")  # the kernel's own "No space left on device"
        return plain_open(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_full)

    message = refusal(LoaderError, file, downloads)
    assert "No space left on device" in message
    assert str(downloads) in message
    assert left_in(downloads) == []


def test_folder_that_cant_be_made_is_told(cdn, tmp_path):
    (tmp_path / "file").write_text("in the way")

    assert "Not a directory" in refusal(LoaderError, found(cdn), tmp_path / "file" / "downloads")
    assert cdn.requests == []


def test_interrupted_by_the_user_keeps_the_partial(cdn, downloads):
    file, kept = found(cdn), []

    def interrupt(done: int) -> None:
        if done >= CUT:
            kept.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch(file, downloads, interrupt)

    fetched(file, downloads)
    assert ranges(cdn) == [None, f"bytes={kept[0]}-"]


def test_passwords_are_never_shown(cdn, downloads):
    (cdn.folder / NAME).write_bytes(OLD)
    source = cdn.url.replace("http://", "http://user:s3cret@")
    file = discover.require(source, "green", MONTH)

    for error, script in (
        (SourceError, [status(404)]),
        (SourceError, [close_early(0)] * 8),
        (SourceError, [status(503)] * 8),
        (FileRefusedError, [html()]),
    ):
        cdn.script(NAME, script)
        message = refusal(error, file, downloads)
        assert "s3cret" not in message
        assert f"***@{cdn.host}" in message


def test_folder_source_is_read_in_place(tmp_path, downloads):
    (tmp_path / NAME).write_bytes(OLD)
    file = discover.require(str(tmp_path), "green", MONTH)

    assert (file.size, file.etag) == (len(OLD), None)
    assert download.fetch(file, downloads) == download.LocalFile(
        **vars(file), path=tmp_path / NAME, sha256=hashlib.sha256(OLD).hexdigest(), rows=ROWS
    )
    assert not downloads.exists()


@pytest.mark.parametrize("content", [b"", b"<html>", OLD[:-1], EMPTY])
def test_folder_source_refuses_and_deletes_nothing(tmp_path, downloads, content):
    (tmp_path / NAME).write_bytes(content)
    file = discover.require(str(tmp_path), "green", MONTH)

    refusal(FileRefusedError, file, downloads)
    assert (tmp_path / NAME).read_bytes() == content


def test_folder_source_whose_file_cant_be_read(tmp_path, downloads):
    (tmp_path / NAME).mkdir()
    file = discover.require(str(tmp_path), "green", MONTH)

    assert "Is a directory" in refusal(SourceError, file, downloads)
