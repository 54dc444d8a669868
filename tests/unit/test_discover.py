"""What is published, and what a source's failures are told as."""

import datetime as dt
import hashlib
import os
import socket
import time
from types import SimpleNamespace

import pytest

from loader import __version__
from loader.errors import LoaderError, NotPublishedError, SourceError, UsageError
from loader.source import discover, http, published
from tests.cdn import Cdn, drop, status, with_headers

pytestmark = pytest.mark.usefixtures("no_waiting")

MONTH = dt.date(2024, 5, 1)
NAME = "green_tripdata_2024-05.parquet"
REFERENCE = "green_tripdata_2023-01.parquet"
OTHER_REFERENCE = "green_tripdata_2022-01.parquet"
CONTENT = b"PAR1 some bytes PAR1"


def publish(cdn: Cdn, *names: str) -> None:
    for name in names:
        (cdn.folder / name).write_bytes(CONTENT)


def asked(cdn: Cdn) -> list[tuple[str, str]]:
    return [(request.method, request.name) for request in cdn.requests]


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_published_month_takes_one_head(cdn):
    publish(cdn, NAME)
    os.utime(cdn.folder / NAME, (0, dt.datetime(2024, 7, 18, 12, 0, tzinfo=dt.UTC).timestamp()))

    file = discover.find(cdn.url, "green", MONTH)

    assert file == published.PublishedFile(
        dataset="green",
        month=MONTH,
        name=NAME,
        url=f"{cdn.url}/{NAME}",
        size=20,
        etag=f'"{hashlib.md5(CONTENT).hexdigest()}"',
        last_modified=dt.datetime(2024, 7, 18, 12, 0),
    )
    assert asked(cdn) == [("HEAD", NAME)]
    assert cdn.requests[0].headers["User-Agent"] == f"nyc_tlc/{__version__}"


def test_missing_month_is_told_from_a_block_by_the_reference_month(cdn):
    publish(cdn, REFERENCE)

    assert discover.find(cdn.url, "green", MONTH) is None
    assert asked(cdn) == [("HEAD", NAME), ("HEAD", REFERENCE)]


def test_a_throttle_in_the_middle_of_a_range_is_no_missing_month(cdn):
    publish(cdn, REFERENCE)
    assert discover.find(cdn.url, "green", dt.date(2024, 4, 1)) is None

    publish(cdn, NAME)
    cdn.forbid_all = True
    with pytest.raises(SourceError, match="blocked or throttled"):
        discover.find(cdn.url, "green", MONTH)


def test_the_reference_month_itself_has_another_reference(cdn):
    publish(cdn, OTHER_REFERENCE)

    assert discover.find(cdn.url, "green", dt.date(2023, 1, 1)) is None
    assert asked(cdn) == [("HEAD", REFERENCE), ("HEAD", OTHER_REFERENCE)]


def test_blocked_client_is_no_missing_month(cdn):
    publish(cdn, NAME, REFERENCE)
    cdn.forbid_all = True

    with pytest.raises(SourceError, match="blocked or throttled") as error:
        discover.find(cdn.url, "green", MONTH)

    assert f"green 2024-05 ({NAME})" in one_line(error)
    assert asked(cdn) == [("HEAD", NAME), ("HEAD", REFERENCE)] * http.BLOCKED_ATTEMPTS


def test_a_block_that_is_lifted_doesnt_hide_the_month(cdn):
    publish(cdn, NAME, REFERENCE)
    cdn.script(NAME, [status(403)], method="HEAD")
    cdn.script(REFERENCE, [status(403)], method="HEAD")

    assert discover.find(cdn.url, "green", MONTH).name == NAME
    assert asked(cdn) == [("HEAD", NAME), ("HEAD", REFERENCE), ("HEAD", NAME)]


@pytest.mark.parametrize("code", [404, 410])
def test_gone_is_not_published_without_asking_more(cdn, code):
    cdn.script(NAME, [status(code)], method="HEAD")

    assert discover.find(cdn.url, "green", MONTH) is None
    assert len(cdn.requests) == 1


@pytest.mark.parametrize(
    "answers",
    [
        *([status(code)] * (http.ATTEMPTS - 1) for code in (429, 500, 502, 503, 504)),
        [drop(), drop()],
    ],
)
def test_what_passes_is_retried(cdn, answers):
    publish(cdn, NAME)
    cdn.script(NAME, answers, method="HEAD")

    assert discover.find(cdn.url, "green", MONTH).size == 20
    assert len(cdn.requests) == len(answers) + 1


@pytest.mark.parametrize(("retry_after", "waited"), [("7", 7), ("999999", 60)])
def test_retry_after_is_honoured_within_bounds(cdn, monkeypatch, retry_after, waited):
    publish(cdn, NAME)
    cdn.script(NAME, [status(429, Retry_After=retry_after)], method="HEAD")
    sleeps = []
    clock = SimpleNamespace(sleep=sleeps.append, time=time.time)
    monkeypatch.setattr("tenacity.nap.time", clock)

    assert discover.find(cdn.url, "green", MONTH).size == 20
    assert sleeps == [waited]


@pytest.mark.parametrize(
    ("answer", "told", "attempts"),
    [
        (status(503), "answers 503 Service Unavailable", http.ATTEMPTS),
        *((status(code), f"answers {code}", 1) for code in (400, 401, 418)),
        *((with_headers(Content_Length=n), "without a length", 1) for n in ("", "0", "many")),
    ],
)
def test_what_stays_or_is_no_answer_is_an_error(cdn, answer, told, attempts):
    publish(cdn, NAME)
    cdn.script(NAME, [answer] * 99, method="HEAD")

    with pytest.raises(SourceError, match=told) as error:
        discover.find(cdn.url, "green", MONTH)
    assert NAME in one_line(error)
    assert len(cdn.requests) == attempts


def test_headers_may_be_missing_or_nonsense(cdn):
    publish(cdn, NAME)
    cdn.script(NAME, [with_headers(ETag="", Last_Modified="yesterday")], method="HEAD")

    file = discover.find(cdn.url, "green", MONTH)

    assert (file.etag, file.last_modified) == (None, None)


def test_no_server_is_told_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(SourceError, match="Connection refused") as error:
        discover.find(f"http://{host}/trip-data", "green", MONTH)
    assert host in one_line(error)
    assert error.value.exit_code == 4


def test_a_server_that_never_answers_times_out(monkeypatch):
    monkeypatch.setattr(http, "READ_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceError, match="timed out") as error:
            discover.find(f"http://{host}", "green", MONTH)
    assert host in one_line(error)


@pytest.mark.parametrize("password", ["s3cret", "s3/cret", "s3@cret", "s3 cret"])
def test_passwords_are_never_shown(cdn, password):
    source = cdn.url.replace("http://", f"http://user:{password}@")
    publish(cdn, NAME, REFERENCE)

    def assert_hidden(source: str) -> None:
        with pytest.raises(LoaderError) as error:
            discover.require(source, "green", MONTH)
        assert "cret" not in one_line(error)
        assert "user" not in one_line(error)

    for behaviour in (status(404), status(401), with_headers(Content_Length="0")):
        cdn.script(NAME, [behaviour], method="HEAD")
        assert_hidden(source)
    cdn.forbid_all = True
    assert_hidden(source)
    assert_hidden(f"s3://user:{password}@bucket")


def test_a_password_is_sent_and_not_in_the_files_repr(cdn):
    publish(cdn, NAME)

    file = discover.find(cdn.url.replace("http://", "http://user:s3cret@"), "green", MONTH)

    assert cdn.requests[0].headers["Authorization"].startswith("Basic ")
    assert "s3cret" not in repr(file)
    assert published.redact(file.url) == f"http://***@{cdn.host}/trip-data/{NAME}"


def test_require_says_what_to_do(cdn):
    publish(cdn, REFERENCE)

    with pytest.raises(NotPublishedError) as error:
        discover.require(cdn.url, "green", MONTH)

    message = one_line(error)
    for part in ("green 2024-05", NAME, cdn.url, "nyc-tlc available --dataset green"):
        assert part in message
    assert error.value.exit_code == 3


@pytest.mark.parametrize("as_uri", [False, True])
def test_folder(tmp_path, as_uri):
    folder = tmp_path / "my files"
    folder.mkdir()
    (folder / NAME).write_bytes(b"bytes")
    os.utime(folder / NAME, (0, dt.datetime(2024, 7, 18, 12, 0, tzinfo=dt.UTC).timestamp()))
    source = folder.as_uri() if as_uri else str(folder)

    assert discover.find(source, "green", MONTH) == published.PublishedFile(
        dataset="green",
        month=MONTH,
        name=NAME,
        url=str(folder / NAME),
        size=5,
        etag=None,
        last_modified=dt.datetime(2024, 7, 18, 12, 0),
    )
    assert discover.find(source, "yellow", MONTH) is None


def test_relative_folder_is_made_absolute(tmp_path, monkeypatch):
    (tmp_path / NAME).write_bytes(b"bytes")
    monkeypatch.chdir(tmp_path)

    assert discover.find(".", "green", MONTH).url == str(tmp_path / NAME)


def test_a_folder_that_cant_be_read_is_an_error(tmp_path):
    (tmp_path / NAME).symlink_to(NAME)  # a link to itself: stat fails, and not with "not found"
    nowhere = tmp_path / "nowhere"
    for folder, told in ((tmp_path, f"can't read .*{NAME}"), (nowhere, f"{nowhere} doesn't exist")):
        with pytest.raises(SourceError, match=told) as error:
            discover.find(str(folder), "green", MONTH)
        assert one_line(error)


@pytest.mark.parametrize("source", ["gs://", "s3://Not a bucket", "ftp://host", "file://rel/x"])
def test_other_schemes_are_refused(source):
    with pytest.raises(UsageError, match="http") as error:
        discover.find(source, "green", MONTH)
    assert source in one_line(error)
