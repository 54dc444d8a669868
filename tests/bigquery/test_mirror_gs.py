"""A bucket as a mirror's destination, and then as a source. On an emulator of Cloud Storage."""

import datetime as dt
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console

from loader.calendar import Month, file_name
from loader.errors import NotPublishedError, SourceError
from loader.settings import Settings
from loader.source import discover, download, object_store, retries
from loader.source.mirror import mirror_months
from loader.terminal.progress import Reporter
from tests import forks
from tests.conftest import DATA_DIR, clean_env, publish, succeeded
from tests.unit.test_download import parquet

pytestmark = pytest.mark.slow

MONTHS = [dt.date(2023, 1, 1), dt.date(2023, 2, 1)]
NAMES = [file_name("green", month) for month in MONTHS]
RANGE = ("--month", "2023-01", "--to", "2023-03")


@pytest.fixture
def origin(tmp_path) -> Path:
    """A folder of two real files, or of generated ones."""
    folder = tmp_path / "origin"
    folder.mkdir()
    for name, month in zip(NAMES, MONTHS, strict=True):
        if DATA_DIR:
            shutil.copyfile(DATA_DIR / "trip-data" / name, folder / name)
        else:
            publish(folder, "green", f"{month:%Y-%m}", 60_000)
    return folder


@pytest.fixture
def bucket(rig, monkeypatch) -> str:
    """An address of the test's own in the emulator's bucket."""
    for name, value in rig.env.items():
        monkeypatch.setenv(name, value)
    object_store._connect.cache_clear()
    return f"{rig.env['TLC_BUCKET']}/mirror/{uuid4().hex}"


@pytest.fixture
def mirror(rig, origin, tmp_path):
    def run(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        local = {"TLC_LOCAL_DIR": str(tmp_path / "local"), "TLC_SOURCE": str(origin)}
        return subprocess.run(
            [forks.python(), "-m", "loader", "mirror", "--dataset", "green", *args],
            env=clean_env(**rig.env, **local) | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def content(bucket: str, name: str) -> bytes:
    return object_store.open_filesystem(bucket).cat_file(f"{bucket}/{name}")


def test_byte_for_byte_then_unchanged(mirror, origin, bucket):
    said = succeeded(mirror(*RANGE, bucket))
    assert "2 mirrored" in said.stdout
    assert "1 not published" in said.stdout
    for name in NAMES:
        assert content(bucket, name) == (origin / name).read_bytes()
    before = [object_store.look(f"{bucket}/{name}") for name in NAMES]

    again = succeeded(mirror(*RANGE, bucket))
    assert "2 unchanged" in again.stdout
    assert [object_store.look(f"{bucket}/{name}") for name in NAMES] == before


def test_what_was_published_anew_or_overwritten_is_replaced(mirror, origin, bucket):
    succeeded(mirror(*RANGE, bucket))
    (origin / NAMES[0]).write_bytes(parquet(1))
    content_of_another = content(bucket, NAMES[0])
    object_store.open_filesystem(bucket).pipe_file(f"{bucket}/{NAMES[1]}", content_of_another)

    assert "2 mirrored" in succeeded(mirror(*RANGE, bucket)).stdout
    for name in NAMES:
        assert content(bucket, name) == (origin / name).read_bytes()


def test_a_csv_copy_in_a_bucket_is_a_source(mirror, origin, bucket, tmp_path):
    name = publish(origin, "green", "2020-04", 500, suffix=".csv.gz").name
    succeeded(mirror("--month", "2020-04", bucket))
    file = discover.require(bucket, "green", dt.date(2020, 4, 1))
    assert (file.name, file.format) == (name, "csv")
    local = download.fetch(file, tmp_path / "downloads")
    assert local.rows == 500
    assert local.path.read_bytes() == (origin / name).read_bytes()


def test_a_bucket_as_source(mirror, origin, bucket, tmp_path, monkeypatch):
    succeeded(mirror(*RANGE, bucket))
    file = discover.require(bucket, "green", MONTHS[0])
    original = (origin / NAMES[0]).read_bytes()
    assert file.size == len(original)
    assert file.etag.isdecimal()
    assert abs(file.last_modified - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(
        minutes=5
    )
    with pytest.raises(NotPublishedError):
        discover.require(bucket, "green", dt.date(2023, 3, 1))
    assert discover.open_source(bucket).months("green") == MONTHS
    assert discover.open_source(bucket).months("yellow") == []
    assert discover.open_source(f"{bucket}/nothing").months("green") == []

    monkeypatch.setattr(object_store, "CHUNK_BYTES", 200_000)
    seen = []
    local = download.fetch(file, tmp_path / "downloads", seen.append)
    assert local.path.read_bytes() == original
    assert local.path.parent == tmp_path / "downloads"
    assert len(seen) > 2
    assert seen == sorted(seen)

    monkeypatch.setattr(object_store, "read", None)  # used again, without a request
    assert download.fetch(file, tmp_path / "downloads") == local


def test_a_download_goes_on_where_it_stopped(mirror, origin, bucket, tmp_path, monkeypatch):
    succeeded(mirror(*RANGE, bucket))
    file = discover.require(bucket, "green", MONTHS[0])
    monkeypatch.setattr(object_store, "CHUNK_BYTES", 200_000)

    def stop(done: int) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.fetch(file, tmp_path, stop)
    seen = []
    local = download.fetch(file, tmp_path, seen.append)
    assert seen[0] == 800_000
    assert local.path.read_bytes() == (origin / NAMES[0]).read_bytes()


def test_an_object_that_is_replaced_while_it_is_read(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(object_store, "CHUNK_BYTES", 100_000)
    monkeypatch.setattr(retries, "BACKOFF_SECONDS", 0)
    store, url, new = object_store.open_filesystem(bucket), f"{bucket}/{NAMES[0]}", parquet(2)
    store.pipe_file(url, parquet(1))
    file = discover.require(bucket, "green", MONTHS[0])
    times = []

    def replace_it(done: int) -> None:
        if not times:
            store.pipe_file(url, new)
        times.append(done)

    local = download.fetch(file, tmp_path, replace_it)
    assert local.path.read_bytes() == new
    assert local.etag != file.etag
    assert local.etag == discover.require(bucket, "green", MONTHS[0]).etag


def test_a_file_of_many_pieces(mirror, origin, bucket):
    """Above 5 MB gcsfs sends a file in pieces."""
    (origin / NAMES[0]).write_bytes(parquet(3, rows=20_000))
    succeeded(mirror("--month", "2023-01", bucket))
    assert content(bucket, NAMES[0]) == (origin / NAMES[0]).read_bytes()
    second = bucket + "-copy"
    succeeded(mirror("--month", "2023-01", "--source", bucket, second))
    assert content(second, NAMES[0]) == (origin / NAMES[0]).read_bytes()


@pytest.mark.parametrize("stored_md5", ["0" * 32, None], ids=["md5", "read back"])
def test_a_copy_that_differs_does_not_stay(origin, bucket, tmp_path, monkeypatch, stored_md5):
    settings = Settings("bigquery", str(origin), tmp_path, "")
    look = object_store.look
    monkeypatch.setattr(object_store, "look", lambda url: replace(look(url), md5=stored_md5))
    if stored_md5 is None:
        monkeypatch.setattr(object_store, "read", lambda url, size: [b"altered"])
    monkeypatch.setattr("loader.source.mirror._Mirror._has", lambda *_: False)

    with pytest.raises(SourceError, match="is not what was sent"):
        mirror_months(settings, [Month("green", MONTHS[0])], bucket, Reporter(Console(quiet=True)))
    assert look(f"{bucket}/{NAMES[0]}") is None


def test_a_bucket_that_is_not_there(mirror, bucket):
    with pytest.raises(SourceError, match="no bucket 'elsewhere'") as error:
        discover.find("gs://elsewhere/path", "green", MONTHS[0])
    assert "\n" not in str(error.value)
    said = mirror("--month", "2023-01", "gs://elsewhere/path")
    assert said.returncode == 4
    assert "elsewhere" in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_without_credentials(mirror):
    said = mirror("--month", "2023-01", "gs://tlc/path", BIGQUERY_ACCESS_TOKEN="")
    assert said.returncode == 4
    assert "credentials" in said.stderr
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_killed_and_run_again(mirror, rig, origin, bucket, tmp_path, seed):
    """An object is whole or not there, and the next run completes them."""
    (origin / NAMES[1]).write_bytes(parquet(4, rows=20_000))
    environment = clean_env(
        **rig.env, TLC_LOCAL_DIR=str(tmp_path / "local"), TLC_SOURCE=str(origin)
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "loader", "mirror", "--dataset", "green", *RANGE, bucket],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "local" / "mirror").exists():  # the interpreter has started
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(random.Random(seed).uniform(0.2, 1.2))
    process.kill()
    process.wait()
    for name in NAMES:
        if object_store.look(f"{bucket}/{name}"):
            assert content(bucket, name) == (origin / name).read_bytes()

    succeeded(mirror(*RANGE, bucket))
    for name in NAMES:
        assert content(bucket, name) == (origin / name).read_bytes()
