"""Runs a workflow's own steps, in its own environment, without GitHub."""

import re
import subprocess
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.copies import copy_project
from tests.processes import ran

_EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")


def clone_project(folder: Path) -> None:
    """Copy the project, with an environment that finds this one's packages."""
    copy_project(folder)
    # Installing is up to `make install`, which finds that all that it needs is there.
    venv.create(folder / ".venv", symlinks=True)
    python = folder / ".venv" / "bin" / "python"
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", show], text=True).strip())
    # The build backend too: pip isn't to fetch it. The setting's sense is the reverse of its name.
    (folder / ".venv" / "pip.conf").write_text("[install]\nno-build-isolation = false\n")
    (packages / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")


@dataclass(frozen=True)
class Workflow:
    """A workflow file, and what its expressions are worth.

    Attributes:
        path: the file.
        folder: the checkout that the steps run in.
        values: every expression that the jobs use, with its value; a condition's is a bool.
        machine: environment of the runner itself.
    """

    path: Path
    folder: Path
    values: Mapping[str, str | bool]
    machine: Mapping[str, str]

    def run_job(self, name: str, **files: Path) -> list[subprocess.CompletedProcess[str]]:
        """Run a job's `run:` steps as GitHub does: up to the first that fails.

        None, if the job's condition doesn't hold. `files` are GitHub's, by the name of their
        variable, like GITHUB_STEP_SUMMARY.
        """
        job = yaml.safe_load(self.path.read_text())["jobs"][name]
        if "if" in job and not self.values[job["if"]]:
            return []
        done = []
        for step in job["steps"]:
            if "run" not in step or ("if" in step and not self.values[step["if"]]):
                continue
            # A runner has a variable that is set to nothing, too.
            variables = {
                key: self._resolve(str(value))
                for part in (job, step)
                for key, value in part.get("env", {}).items()
            }
            told = {key: str(path) for key, path in files.items()}
            command = ("bash", "--noprofile", "--norc", "-e", "-c", self._resolve(step["run"]))
            done.append(ran(*command, cwd=self.folder, env={**self.machine, **told, **variables}))
            if done[-1].returncode:
                break
        return done

    def _resolve(self, text: str) -> str:
        return _EXPRESSION.sub(lambda found: str(self.values[found[1]]), text)
