"""The package, installed without a checkout: a month is loaded from an empty folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from loader.embedded import local_server
from loader.settings import PROJECT_DIR
from tests.conftest import Workspace, clean_env, publish, succeeded
from tests.exact import assert_same, expected, stored

pytestmark = [pytest.mark.slow, pytest.mark.empty_warehouse]


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """Build the wheel, and install it into an environment of its own; give its nyc-tlc."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=PROJECT_DIR, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    scripts = folder / "venv" / "bin"
    install = [scripts / "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, env=clean_env())
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    # What it needs is there already: nothing is downloaded.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    dbt = scripts / "dbt"
    dbt.write_text(f"#!{scripts / 'python'}\nfrom dbt.cli.main import cli\ncli()\n")
    dbt.chmod(0o755)
    return scripts / "nyc-tlc"


def files_in(folder: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_a_month_without_a_checkout(program, tmp_path):
    source, work = tmp_path / "source", tmp_path / "work"
    work.mkdir()
    path = publish(source, "green", "2023-02", 500)
    env = {
        name: value
        for name, value in clean_env(TLC_SOURCE=str(source)).items()
        if name != "PYTHONPATH"
    }
    (project,) = (program.parents[1] / "lib").glob("python*/site-packages/loader/project")
    before = files_in(project.parent)

    def nyc_tlc(*arguments: str) -> str:
        command = [program, *arguments]
        return succeeded(
            subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False)
        ).stdout

    try:
        nyc_tlc("run", "--dataset", "green", "--month", "2023-02")
        assert "nyc_tlc.trips.green_tripdata" in nyc_tlc("dbt", "ls", "--quiet")
        assert "merged" in nyc_tlc("status")
        local_dir = work / ".local"
        connection = local_server.connection_env(local_dir)
        there = Workspace(os.environ | connection, local_dir, "")
        assert_same(stored(there, "green", "2023-02"), expected(path, "green"))
        assert [one.name for one in work.iterdir()] == [".local"]
        assert files_in(project.parent) == before
    finally:
        nyc_tlc("postgres", "stop")
        shutil.rmtree(local_server.socket_dir(work / ".local"), ignore_errors=True)
