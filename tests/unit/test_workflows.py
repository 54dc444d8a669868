"""Steps of workflows that need no warehouse. Those of monthly.yml: test_monthly_workflow.py."""

import configparser
import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from loader import cli
from loader.datasets import datasets
from loader.settings import PROJECT_DIR
from tests.conftest import clean_env
from tests.processes import ran
from tests.workflow import Workflow

WORKFLOWS = PROJECT_DIR / ".github" / "workflows"


def listed(tmp_path: Path, first: str, last: str) -> tuple[int, str]:
    """Run the step of backfill.yml that lists the months."""
    values = {"inputs.from": first, "inputs.to": last}
    workflow = Workflow(WORKFLOWS / "backfill.yml", PROJECT_DIR, values, clean_env())
    output = tmp_path / "output"
    (step,) = workflow.run_job("months", GITHUB_OUTPUT=output)
    return step.returncode, output.read_text() if output.exists() else step.stderr


def test_backfill_lists_months_as_a_matrix_takes_them(tmp_path):
    code, output = listed(tmp_path, "2019-11", "2020-02")
    assert code == 0
    name, _, months = output.partition("=")
    assert (name, output.count("\n")) == ("months", 1)
    assert json.loads(months) == ["2019-11", "2019-12", "2020-01", "2020-02"]


@pytest.mark.parametrize(
    ("first", "last"),
    [("2020-02", "2020-01"), ("2020-13", "2021-01"), ('"]; exit 0; #', "2021-01")],
)
def test_backfill_refuses_what_is_no_range(tmp_path, first, last):
    code, stderr = listed(tmp_path, first, last)
    assert code != 0
    assert "UsageError" in stderr


def test_workflows_offer_the_declared_datasets():
    for name, more in (("monthly.yml", ["all"]), ("backfill.yml", []), ("publish.yml", ["all"])):
        workflow = yaml.safe_load((WORKFLOWS / name).read_text())
        offered = workflow[True]["workflow_dispatch"]["inputs"]["dataset"]["options"]
        assert offered == [*more, *datasets()]
        assert not re.search("|".join(datasets()), yaml.safe_dump(workflow["jobs"]))


@pytest.mark.parametrize(("target", "code"), [("", 2), ("bigquery", 0)])
def test_a_poll_needs_a_target(target, code):
    path = WORKFLOWS / "monthly.yml"
    workflow = yaml.safe_load(path.read_text())
    # On a schedule there are no inputs; by hand the variable counts unless one is chosen.
    chosen = "inputs.target != 'default' && inputs.target || vars.TLC_TARGET"
    assert workflow["jobs"]["sync"]["env"] == {"TLC_TARGET": f"${{{{ {chosen} }}}}"}
    offered = workflow[True]["workflow_dispatch"]["inputs"]["target"]
    assert (offered["default"], offered["options"][0]) == ("default", "default")
    (first, *_) = workflow["jobs"]["sync"]["steps"]
    process = ran("bash", "-e", "-c", first["run"], env=clean_env(TLC_TARGET=target))
    assert process.returncode == code
    assert ("set the repository variable TLC_TARGET" in process.stdout) is bool(code)


def examples(kind: str) -> list[str]:
    """The code blocks of docs/schedule.md of one kind."""
    text = (PROJECT_DIR / "docs" / "schedule.md").read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)


def test_the_documented_schedules_all_poll_at_the_workflows_time():
    (poll,) = yaml.safe_load((WORKFLOWS / "monthly.yml").read_text())[True]["schedule"]
    (flow,) = map(yaml.safe_load, examples("yaml"))
    (crontab,) = examples("crontab")
    service, timer = examples("ini")
    assert crontab.splitlines()[-1].startswith(f"{poll['cron']}  ")
    assert [trigger["cron"] for trigger in flow["triggers"]] == [poll["cron"]]
    units = configparser.ConfigParser(strict=False)
    units.read_string(service + timer)
    assert units["Timer"]["OnCalendar"] == "Wed *-*-* 09:17:00 UTC"


def test_the_documented_commands_take_their_options():
    pages = ("schedule.md", "github-actions.md")
    text = "".join((PROJECT_DIR / "docs" / page).read_text() for page in pages)
    commands = re.findall(r"nyc-tlc (\w+)((?: --[\w-]+(?: (?!-)\S+)?)*)", text)
    assert {name for name, _ in commands} >= {"sync", "run", "available"}
    for name, options in commands:
        told = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, [name, "--help"]).stdout
        for option in re.findall(r"--[\w-]+", options):
            assert option in told, (name, option)
