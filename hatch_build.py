"""Puts the dbt project into the wheel, where loader/settings.py finds it."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROJECT = (
    *("dbt_project.yml", "profiles.yml", ".dlt/config.toml"),
    *("models", "macros", "seeds", "analyses", "tests/sql"),
)


class CustomBuildHook(BuildHookInterface):
    """Adds files to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them; not when the checkout is installed as it stands, with `--editable`."""
        if version == "standard":
            folder = Path(self.root)
            build_data["force_include"] |= {
                str(folder / name): f"loader/project/{name}" for name in PROJECT
            }
