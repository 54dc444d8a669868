"""Commands in processes of their own."""

import subprocess
from typing import Any

from loader.settings import PROJECT_DIR


def ran(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in the project's folder unless told otherwise."""
    settings = {"cwd": PROJECT_DIR, "timeout": 900} | options
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **settings
    )
