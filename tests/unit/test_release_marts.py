"""scripts/release_marts.sh, against a `gh` that keeps the release in a folder."""

import subprocess
from pathlib import Path

import pytest

from loader.settings import PROJECT_DIR
from tests.conftest import clean_env

STAND_IN = """#!/usr/bin/env bash
set -euo pipefail
case "$1 $2" in
    "release view") [ -d "$RELEASE" ] ;;
    "release create") mkdir "$RELEASE" ;;
    "release upload") shift 5; cp -- "$@" "$RELEASE" ;;
    "release download") cp "$RELEASE"/*.tar "$7" ;;
esac
"""
FILES = (
    *("zone_pairs/green/2023-01.parquet", "zone_pairs/fhv/2023-01.parquet"),
    *("file_ledger/green/2023-01.parquet", "file_ledger/fhv/2023-01.parquet"),
    *("bases.parquet", "schemas/bases.json", "README.md"),
    *("datapackage.json", "reports/2023-01.html"),
)


@pytest.fixture
def release(tmp_path):
    program = tmp_path / "gh"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    env = clean_env(RELEASE=str(tmp_path / "release"))
    env |= {"PATH": f"{tmp_path}:{env['PATH']}"}

    def run(command: str, folder: Path) -> None:
        script = PROJECT_DIR / "scripts" / "release_marts.sh"
        subprocess.run([script, command, folder], env=env, check=True)

    return run


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_downloaded_is_what_was_uploaded(release, tmp_path):
    release("download", tmp_path / "first")
    assert files_in(tmp_path / "first") == {}
    release("upload", tmp_path / "first")  # no month could be published
    assert not (tmp_path / "release").exists()

    for name in FILES:
        path = tmp_path / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    before = files_in(tmp_path / "one")
    release("upload", tmp_path / "one")
    assert files_in(tmp_path / "one") == before
    kept = {path.name for path in (tmp_path / "release").iterdir()}
    assert kept == {"green.tar", "fhv.tar", "others.tar", "datapackage.json"}

    release("download", tmp_path / "two")
    assert files_in(tmp_path / "two") == before
    (tmp_path / "two" / "zone_pairs/green/2023-02.parquet").write_text("new")
    release("upload", tmp_path / "two")
    release("download", tmp_path / "three")
    assert files_in(tmp_path / "three") == files_in(tmp_path / "two")
