"""A mirror holds the source's bytes and nothing else, whatever interrupts it."""

import datetime as dt
import fcntl
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from loader.calendar import file_name, month_range
from loader.errors import UsageError
from loader.source import object_store
from tests import forks
from tests.cdn import Cdn, html, with_headers
from tests.conftest import clean_env, succeeded
from tests.processes import ran
from tests.unit.test_download import parquet

MONTHS = month_range(dt.date(2023, 1, 1), dt.date(2023, 6, 1))
NAMES = [file_name("green", month) for month in MONTHS]
JANUARY = NAMES[0]
MIRROR = ("-m", "loader", "mirror", "--dataset", "green")
RANGE = ("--month", "2023-01", "--to", "2023-06")


@pytest.fixture
def origin(cdn) -> Cdn:
    """A source that has six months of green."""
    for seed, name in enumerate(NAMES):
        (cdn.folder / name).write_bytes(parquet(seed))
    return cdn


@pytest.fixture
def copies(tmp_path) -> Path:
    return tmp_path / "deep" / "copies"


@pytest.fixture
def env(tmp_path) -> dict[str, str]:
    return clean_env(TLC_LOCAL_DIR=str(tmp_path / "local"))


@pytest.fixture
def mirror(origin, copies, env) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Mirror months of the source to the copies."""
    options = ("--source", origin.url)
    return lambda *args: ran(forks.python(), *MIRROR, *options, *args, copies, env=env)


def assert_equal(cdn: Cdn, copies: Path, names: list[str] = NAMES) -> None:
    """The copies are the source's bytes; what helped to make them is gone."""
    for name in names:
        assert (copies / name).read_bytes() == (cdn.folder / name).read_bytes()
    expected = sorted([*names, *(f"{name}.mirror.json" for name in names)])
    assert sorted(path.name for path in copies.iterdir()) == expected
    downloads = copies.parent.parent / "local" / "mirror"
    assert [path.name for path in downloads.iterdir()] == ["lock"]


def test_a_range_then_nothing_to_do(origin, copies, mirror):
    said = succeeded(mirror(*RANGE))
    assert said.stderr.count("  mirrored  ") == 6
    assert said.stdout == "green: 6 mirrored (1.8 MB)\n"
    assert_equal(origin, copies)
    note = json.loads((copies / f"{JANUARY}.mirror.json").read_text())
    assert note["source"] == f"{origin.url}/{JANUARY}"
    assert set(note) == {"source", "source_version", "sha256", "copy_version"}

    origin.requests.clear()
    again = succeeded(mirror(*RANGE))
    assert again.stderr.count("  unchanged  ") == 6
    assert origin.asked("GET") == []
    assert_equal(origin, copies)


def test_a_republished_month_is_replaced_alone(origin, copies, mirror):
    succeeded(mirror(*RANGE))
    (origin.folder / JANUARY).write_bytes(parquet(99, rows=350))
    origin.requests.clear()

    said = succeeded(mirror(*RANGE))

    assert "1 mirrored" in said.stdout
    assert "5 unchanged" in said.stdout
    assert [request.name for request in origin.asked("GET")] == [JANUARY]
    assert_equal(origin, copies)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(path.read_bytes()[:-8] + b"\0\0\0\0PAR1"),  # the same size
        lambda path: path.with_name(f"{path.name}.mirror.json").unlink(),
        lambda path: path.with_name(f"{path.name}.mirror.json").write_text('{"source": "ht'),
    ],
    ids=["gone", "cut", "altered", "no note", "half a note"],
)
def test_a_copy_that_is_not_ours_any_more_is_made_anew(origin, copies, mirror, damage):
    succeeded(mirror("--month", "2023-01"))
    damage(copies / JANUARY)

    assert "1 mirrored" in succeeded(mirror("--month", "2023-01")).stdout
    assert_equal(origin, copies, [JANUARY])


def test_a_month_that_is_missing(origin, copies, mirror):
    (origin.folder / NAMES[2]).unlink()
    (origin.folder / file_name("green", dt.date(2022, 1, 1))).write_bytes(parquet(7))

    said = succeeded(mirror(*RANGE))
    assert "green 2023-03  not published\n" in said.stderr
    assert "5 mirrored" in said.stdout
    assert "1 not published" in said.stdout
    assert_equal(origin, copies, [name for name in NAMES if name != NAMES[2]])

    alone = mirror("--month", "2023-03")
    assert alone.returncode == 3
    assert alone.stderr.startswith("error: green 2023-03 is not at")


def test_a_refused_month_fails_the_run_and_not_the_others(origin, copies, mirror):
    origin.script(NAMES[1], [html()])

    said = mirror(*RANGE)

    assert said.returncode == 5
    assert "failed: green 2023-02 (" in said.stderr
    assert "5 mirrored" in said.stdout
    assert "1 of 6 months failed" in said.stderr
    assert not (copies / NAMES[1]).exists()
    succeeded(mirror(*RANGE))
    assert_equal(origin, copies)


def test_a_source_that_fails(origin, copies, mirror):
    for args, failed in ((RANGE, "1 of 6 months failed"), (RANGE[:2], "without a length")):
        origin.script(JANUARY, [with_headers(Content_Length="")], method="HEAD")
        said = mirror(*args)
        assert said.returncode == 4
        assert failed in said.stderr.splitlines()[-1]
    assert_equal(origin, copies, NAMES[1:])


def test_a_folder_as_source_and_the_copy_as_source(origin, copies, env):
    month = ("--month", "2023-01")
    succeeded(ran(forks.python(), *MIRROR, *month, "--source", origin.folder, copies, env=env))
    assert (origin.folder / JANUARY).exists()  # read in place: not ours to delete
    assert_equal(origin, copies, [JANUARY])

    second = copies.parent / "second"
    from_copies = env | {"TLC_SOURCE": str(copies)}
    succeeded(ran(forks.python(), *MIRROR, *month, second, env=from_copies))
    assert_equal(origin, second, [JANUARY])


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))]
)
def test_killed_and_run_again(origin, copies, env, mirror, seed):
    """After a kill at any moment a file is whole or not there; the next run completes them."""
    chance = random.Random(seed)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, *MIRROR, "--source", origin.url, *RANGE, copies],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # The interpreter's start takes most of the time: the kill counts from the first request.
        asked = len(origin.requests)
        deadline = time.monotonic() + 60
        while len(origin.requests) == asked and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.12))
        process.kill()
        process.wait()
        for name in NAMES:
            if (copies / name).exists():
                assert (copies / name).read_bytes() == (origin.folder / name).read_bytes()

    succeeded(mirror(*RANGE))
    assert_equal(origin, copies)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--month", "2023-13", "x"), "is not a month"),
        (("--month", "2023-02", "--to", "2023-01", "x"), "before"),
        (("--month", "2023-01", "http://host/x"), "can't mirror to"),
        (("--month", "2023-01", "gs://"), "can't mirror to"),
        (("--month", "2023-01", "s3://user:s3cret@bucket"), "'s3://***@bucket'"),
        (("--month", "2023-01", "/no/such/source"), "is the source itself"),
    ],
)
def test_wrong_usage(env, args, says):
    said = ran(forks.python(), *MIRROR, *args, env=env)
    assert said.returncode == 2
    assert says in said.stderr
    assert "s3cret" not in said.stdout + said.stderr


def test_two_mirrors_at_once(copies, env, mirror):
    lock = Path(env["TLC_LOCAL_DIR"]) / "mirror" / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert mirror(*RANGE).returncode == 8
    assert not copies.exists()


def test_a_destination_that_is_a_file(copies, mirror):
    copies.parent.mkdir()
    copies.write_text("not a folder")
    said = mirror(*RANGE)
    assert said.returncode == 4
    assert said.stderr.count("check the destination") == 6
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(("scheme", "package"), [("gs", "gcsfs"), ("s3", "s3fs")])
def test_a_store_whose_package_is_missing(monkeypatch, scheme, package):
    monkeypatch.setitem(sys.modules, package, None)
    object_store._connect.cache_clear()
    with pytest.raises(UsageError, match=f"{scheme}:// needs the package {package}: "):
        object_store.look(f"{scheme}://bucket/object")
