"""A dbt project of somebody else builds on our tables, by what docs/dbt-package.md shows."""

import re
from dataclasses import replace

from loader.settings import PROJECT_DIR
from tests.conftest import publish, succeeded
from tests.months import run

PROFILE = """
mine:
  target: dev
  outputs:
    dev:
      type: postgres
      host: "{{ env_var('PGHOST') }}"
      port: "{{ env_var('PGPORT') | int }}"
      user: "{{ env_var('PGUSER') }}"
      password: "{{ env_var('PGPASSWORD') }}"
      dbname: "{{ env_var('PGDATABASE') }}"
      schema: mine
"""
PROJECT = """
name: mine
profile: mine
models:
  mine: {{+materialized: incremental}}
vars:
  tlc_schema: {tlc}
  tlc_marts_schema: {tlc}_marts
"""
TESTS = """
models:
  - name: busiest_zones
    columns:
      - {name: pickup_zone_name, data_tests: [unique]}
"""


def test_a_project_of_its_own_builds_on_the_package(new_workspace, tmp_path):
    workspace = new_workspace(marts=True)
    publish(workspace.source, "green", "2023-01", 300)
    run(workspace, "green", "2023-01")

    page = (PROJECT_DIR / "docs/dbt-package.md").read_text()
    files = {"profiles.yml": PROFILE, "dbt_project.yml": PROJECT.format(tlc=workspace.tlc)}
    files["models/busiest_zones.yml"] = TESTS
    for name, text in re.findall(r"```\w+\n(?:#|--) (\S+)\n(.*?)```", page, re.DOTALL):
        files[name] = text
    package = PROJECT_DIR / "dbt_package"
    git = r"git: \S+\n    subdirectory: \S+"
    files["packages.yml"], found = re.subn(git, f"local: {package}", files["packages.yml"])
    assert found == 1
    (tmp_path / "models").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    paths = {"DBT_PROJECT_DIR": str(tmp_path), "DBT_PROFILES_DIR": str(tmp_path)}
    paths |= {"DBT_TARGET_PATH": str(tmp_path / "target")}
    mine = replace(workspace, env=workspace.env | paths)
    for command in ("deps", "build", "build"):
        succeeded(mine._python("-m", "dbt.cli.main", "--no-use-colors", command, cwd=tmp_path))
    assert workspace.query("select sum(trips)::int from mine.busiest_zones") == workspace.query(
        f"select 2 * sum(trips)::int from {workspace.tlc}_marts.hourly_zone_trips"
    )
