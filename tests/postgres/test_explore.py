"""The explorer in a real browser: it shows the marts, answers SQL, and asks nobody else."""

import signal
import socket
import subprocess

import pytest

from loader.settings import PROJECT_DIR
from tests import forks
from tests.conftest import publish
from tests.months import run
from tests.postgres.test_report import browser

__all__ = ["browser"]

pytestmark = pytest.mark.slow


@pytest.fixture
def address(workspace):
    publish(workspace.source, "green", "2023-02", 500)
    run(workspace, "green", "2023-02", "--marts", "now")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process = subprocess.Popen(
        [forks.python(), "-m", "loader", "explore", "--headless", "--port", port],
        cwd=PROJECT_DIR,
        env=workspace.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if "URL:" in line:
            break
    yield line.split()[-1].replace("localhost", "127.0.0.1")
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_explorer_shows_trips_and_answers_questions(address, browser, workspace, width):
    context = browser.new_context(viewport={"width": width, "height": 1000})
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(address)
    page.get_by_role("heading", name="Trips by day").wait_for(timeout=60_000)
    page.locator("canvas, svg.marks").first.wait_for(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    def ask(sql: str) -> None:
        page.get_by_label("SQL").fill(sql)
        page.get_by_role("button", name="Run").click()

    ask(f"select sum(all_rows) as rows_of_all from {workspace.tlc}_marts.month_quality")
    page.get_by_text("rows_of_all").last.wait_for(timeout=60_000)
    page.get_by_text("500", exact=True).last.wait_for(timeout=60_000)
    ask(f"delete from {workspace.tlc}_marts.month_quality")
    page.get_by_text("cannot open DELETE query as cursor").wait_for(timeout=60_000)
    ask("select nothing")
    page.get_by_text('column "nothing" does not exist').wait_for(timeout=60_000)
    assert workspace.query(f"select count(*) from {workspace.tlc}_marts.month_quality") == [(1,)]
    local = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    assert [url for url in asked if not url.startswith(local)] == []
    assert wrong == []
    context.close()


def test_it_listens_on_this_machine_only_and_wants_its_token(address, browser):
    page = browser.new_page()
    page.goto(address.partition("?")[0])
    page.get_by_label("Access Token / Password").wait_for(timeout=60_000)
    page.close()
    port = int(address.partition("?")[0].rpartition(":")[2].strip("/"))
    with socket.socket() as other:  # 127.0.0.2 is another address of the same machine
        assert other.connect_ex(("127.0.0.2", port)) != 0
