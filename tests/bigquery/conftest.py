"""What tests on the emulators of BigQuery and Cloud Storage share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loader.settings import PROJECT_DIR
from tests.emulator import rig as emulators

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without emulators this folder's tests are skipped, with the reason; in CI they fail."""
    reason = emulators.missing()
    if reason is None or os.environ.get("CI") == "true":
        return
    skip = pytest.mark.skip(reason=f"no emulator, so nothing of BigQuery is tested: {reason}")
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it, even without -rs."""
    reason = emulators.missing()
    if reason and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(f"tests/bigquery did not run: {reason}", yellow=True)


@pytest.fixture(scope="session")
def rig() -> Iterator[emulators.Rig]:
    """Running emulators, for the whole session; TLC_EMULATOR_DIR names a place to install to."""
    chosen = os.environ.get("TLC_EMULATOR_DIR")
    folder = Path(chosen) if chosen else PROJECT_DIR / ".local" / "emulator-venv"
    installed = emulators.install(folder.absolute())
    data = Path(tempfile.mkdtemp(prefix="nyc_tlc-emulators-"))
    try:
        with emulators.running(installed, data) as running:
            yield running
    finally:
        shutil.rmtree(data)
