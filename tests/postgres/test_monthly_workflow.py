"""monthly.yml over a simulated year: its own steps, against a CDN that publishes month by month.

After every poll the trips table is held against the files that the CDN has, read by pyarrow.
"""

import datetime as dt
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from loader.calendar import add_months, file_name, month_range
from loader.sample import write_month
from loader.settings import PROJECT_DIR
from tests.cdn import Cdn, cdn
from tests.conftest import Workspace
from tests.exact import assert_same, expected, stored
from tests.workflow import Workflow, clone_project

__all__ = ["cdn"]

pytestmark = [pytest.mark.slow, pytest.mark.empty_warehouse]

MONTHLY = PROJECT_DIR / ".github" / "workflows" / "monthly.yml"
ROWS = 1_000
SECRET = "s3cret-of-the-warehouse"
#: What a poll that finds nothing may cost, as docs/schedule.md says.
MOST_REQUESTS = 24

#: A `gh` that keeps its issues in a file, for the commands that the workflow uses.
GH = """#!{python}
import json, pathlib, sys
store = pathlib.Path({store!r})
issues = json.loads(store.read_text()) if store.exists() else []
args = sys.argv[1:]
options = dict(zip(args[2:], args[3:]))
if args[:2] == ["issue", "list"]:
    print(json.dumps([{{"number": n, "title": i["title"]}} for n, i in enumerate(issues, 1)]))
elif args[:2] == ["issue", "comment"]:
    issues[int(args[2]) - 1]["comments"].append(options["--body"])
elif args[:2] == ["issue", "create"]:
    issues.append({{"title": options["--title"], "body": options["--body"], "comments": []}})
else:
    sys.exit(f"unknown: {{args}}")
store.write_text(json.dumps(issues))
"""


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def month(text: str) -> dt.date:
    return day(f"{text}-01")


@dataclass
class Year:
    """The surroundings of a simulated year: a checkout, a CDN, a warehouse, the issues.

    Attributes:
        merged: newest month that should be merged; None while there is none.
    """

    checkout: Path
    cdn: Cdn
    workspace: Workspace
    folder: Path
    merged: dt.date | None = None
    polls: int = 0
    said: list[str] = field(default_factory=list)

    def publish(self, text: str, *, seed: int = 0) -> None:
        """Put a month's file on the CDN, or replace it by another of nearly the same rows."""
        path = self.cdn.folder / file_name("green", month(text))
        write_month(path, "green", month(text), ROWS, 0)
        if seed:
            table = pq.read_table(path)
            fares = pa.array([*table["fare_amount"].to_pylist()[:-seed], *[9.75] * seed])
            index = table.column_names.index("fare_amount")
            pq.write_table(table.set_column(index, "fare_amount", fares)[1:], path)

    def poll(self, today: str, since: str = "", to: str = "", event: str = "schedule") -> int:
        """Run the workflow as of this day; return the exit code of its last step."""
        self.polls += 1
        self.cdn.requests.clear()
        summary = self.folder / f"summary-{self.polls}.md"
        values = self._values(today, since, to, event)
        workflow = Workflow(MONTHLY, self.checkout, values, self._machine(today))
        steps = workflow.run_job("sync", GITHUB_STEP_SUMMARY=summary)
        code = steps[-1].returncode
        wanted = [step["name"] for step in jobs()["sync"]["steps"] if "run" in step]
        if code:
            wanted = wanted[: wanted.index("Sync, and report on the newest month") + 1]
        assert len(steps) == len(wanted)
        if not code:
            assert (self.checkout / "report.html").exists()
            assert "[Report on the newest month](https://example.org/report)" in summary.read_text()
        values["failure() && github.event_name == 'schedule'"] = bool(code) and event == "schedule"
        told = workflow.run_job("tell")
        assert [step.returncode for step in told] == [0] * (code != 0 and event == "schedule")
        self.said += [text for step in steps + told for text in (step.stdout, step.stderr)]
        self.summary = summary.read_text()
        return code

    def check(self, today: str, brought: int, since: str = "", to: str = "") -> None:
        """Hold the table against the CDN's files, and the poll's requests against their bound.

        A month that is there costs one HEAD; one that is not, a second, for a month that certainly
        is; a file that is brought, another HEAD and a GET.
        """
        published = sorted(self.cdn.folder.glob("green_*.parquet"))
        texts = [path.stem.removeprefix("green_tripdata_") for path in published]
        (held,) = zip(
            *self.workspace.query(
                f"select distinct to_char(file_month, 'YYYY-MM')"
                f" from {self.workspace.tlc}.green_tripdata order by 1"
            ),
            strict=True,
        )
        # 2023-01 was published long before, and nobody asked for it.
        assert [*held] == texts[1:]
        for text, path in zip(texts[1:], published[1:], strict=True):
            assert_same(stored(self.workspace, "green", text), expected(path, "green"))
        first = month(since) if since else add_months(self.merged, -6)
        months = month_range(first, month(to) if to else day(today).replace(day=1))
        there = sum((self.cdn.folder / file_name("green", one)).exists() for one in months)
        bound = there + 2 * (len(months) - there) + 2 * brought
        # Of month files: it also asks for TLC's own counts, twice.
        requests = [one for one in self.cdn.requests if "_tripdata_" in one.name]
        assert len([one for one in requests if one.method == "GET"]) == brought
        assert len(months) + 2 * brought <= len(requests) <= bound
        assert len(requests) - 2 * brought <= MOST_REQUESTS
        assert self.summary.count("| merged |") == brought
        assert self.summary.count("| skipped |") == len(months) - brought
        self.merged = month(texts[-1])

    @property
    def issues(self) -> list[dict]:
        path = self.folder / "issues.json"
        return json.loads(path.read_text()) if path.exists() else []

    def _machine(self, today: str) -> dict[str, str]:
        names = ("HOME", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        # What day it is, and in a zone in which it is already the next.
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "TLC_TODAY": today, "TZ": "Pacific/Kiritimati"}

    def _values(self, today: str, since: str, to: str, event: str) -> dict[str, str | bool]:
        server = self.workspace.env
        return {
            "inputs.target != 'default' && inputs.target || vars.TLC_TARGET": "postgres",
            "env.TLC_TARGET == 'bigquery' && 'bigquery' || ''": "",
            "steps.kept.outputs.artifact-url": "https://example.org/report",
            "steps.kept.outputs.artifact-url != ''": True,
            "env.TLC_TARGET == 'bigquery'": False,
            "github.event_name == 'workflow_dispatch' || vars.TLC_TARGET != ''": True,
            "always()": True,
            "inputs.dataset": "green",
            "inputs.from": since,
            "inputs.to": to,
            "inputs.force": "false" if event == "workflow_dispatch" else "",
            "vars.TLC_SOURCE": self.cdn.url,
            "vars.TLC_SCHEMA_PREFIX": self.workspace.prefix,
            "secrets.PGHOST": server["PGHOST"],
            "secrets.PGPORT || '5432'": server["PGPORT"],
            "secrets.PGUSER": server["PGUSER"],
            "secrets.PGPASSWORD": SECRET,  # the server asks for none
            "secrets.PGDATABASE": server["PGDATABASE"],
            "vars.PGSSLMODE || 'require'": "require",
            "vars.GOOGLE_CLOUD_PROJECT": "",
            "vars.BIGQUERY_LOCATION": "",
            "vars.TLC_BUCKET": "",
            "github.token": "none",
            "github.repository": "somebody/nyc_tlc",
            "github.server_url": "https://example.org",
            "github.run_id": str(self.polls),
        }


def jobs() -> dict:
    return yaml.safe_load(MONTHLY.read_text())["jobs"]


@pytest.fixture
def year(cdn, workspace, tmp_path) -> Year:
    made = Year(tmp_path / "checkout", cdn, workspace, tmp_path / "runner")
    clone_project(made.checkout)
    # How long a blocked client waits before it asks again is not what is tested here.
    retries = made.checkout / "loader" / "source" / "retries.py"
    patient = retries.read_text()
    assert "BACKOFF_SECONDS = 1.0" in patient
    retries.write_text(patient.replace("BACKOFF_SECONDS = 1.0", "BACKOFF_SECONDS = 0.01"))
    programs = made.folder / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(made.checkout / ".venv" / "bin" / "python")
    (programs / "gh").write_text(
        GH.format(python=shutil.which("python3"), store=str(made.folder / "issues.json"))
    )
    (programs / "gh").chmod(0o755)
    return made


def test_a_year_of_polls_leaves_what_the_cdn_has(year):
    year.publish("2023-01")

    # Set up by hand, with a first month; then the schedule.
    year.publish("2023-10")
    assert year.poll("2024-01-18", since="2023-10", event="workflow_dispatch") == 0
    year.check("2024-01-18", brought=1, since="2023-10")

    # Late: nothing in February, two at once in March, and 2023-11 never.
    assert year.poll("2024-02-14") == 0
    year.check("2024-02-14", brought=0)
    assert "nothing new: 11 months looked at, 10 not yet published\n" in "".join(year.said[-8:])
    year.publish("2023-12")
    year.publish("2024-01")
    assert year.poll("2024-03-13") == 0
    year.check("2024-03-13", brought=2)

    # Blocked for a day: not taken for unpublished months, nothing is touched, an issue is opened.
    year.publish("2024-02")
    year.cdn.forbid_all = True
    assert year.poll("2024-04-17") == 4
    assert "blocked or throttled" in year.summary
    assert len(year.cdn.requests) <= 6
    assert [issue["title"] for issue in year.issues] == ["The weekly sync fails"]
    assert year.issues[0]["body"].endswith("/somebody/nyc_tlc/actions/runs/4")
    assert year.poll("2024-04-17", event="workflow_dispatch") == 4
    assert year.issues[0]["comments"] == []
    assert year.poll("2024-04-17") == 4
    assert [len(issue["comments"]) for issue in year.issues] == [1]
    year.cdn.forbid_all = False
    assert year.poll("2024-04-18") == 0
    year.check("2024-04-18", brought=1)

    # Published again, beside a new month: that month alone is replaced.
    year.publish("2024-01", seed=20)
    year.publish("2024-03")
    assert year.poll("2024-06-19") == 0
    year.check("2024-06-19", brought=2)
    changes = "select rows_added, rows_removed, rows_unchanged from {}.file_ledger where is_current"
    (republished,) = year.workspace.query(
        f"{changes.format(year.workspace.tlc)} and file_month = '2024-01-01'"
    )
    assert republished[0] + 1 == republished[1] <= 21
    assert republished[2] == ROWS - republished[1]

    # Nothing for months; then two at once.
    assert year.poll("2024-09-18") == 0
    year.check("2024-09-18", brought=0)
    for text in ("2024-04", "2024-05"):
        year.publish(text)
    assert year.poll("2024-10-16") == 0
    year.check("2024-10-16", brought=2)

    # Published again further back than a poll looks: found when somebody asks so far back.
    year.publish("2023-10", seed=5)
    assert year.poll("2024-11-13") == 0
    assert [one for one in year.cdn.asked("GET") if "_tripdata_" in one.name] == []
    assert year.poll("2024-11-14", since="2023-10", to="2023-11", event="workflow_dispatch") == 0
    year.check("2024-11-14", brought=1, since="2023-10", to="2023-11")
    assert year.poll("2024-12-18") == 0
    year.check("2024-12-18", brought=0)

    # What is uploaded is there, and no password in it, nor in what was said.
    kept = year.checkout / ".local"
    assert {path.name for path in (kept / "dbt").glob("*.json")} >= {
        "manifest.json",
        *(f"run_results_green_{text}.json" for text in ("2023-10", "2024-01", "2024-05")),
    }
    assert (kept / "dlt" / "pipelines" / "nyc_tlc" / "trace.pickle").exists()
    assert (kept / "logs" / "dbt.log").exists()
    assert SECRET not in "".join(year.said)
    uploaded = [path for name in ("dbt", "dlt", "logs") for path in (kept / name).rglob("*")]
    assert [
        path for path in uploaded if path.is_file() and SECRET.encode() in path.read_bytes()
    ] == []
