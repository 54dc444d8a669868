"""`dbt build` without the full parse that every other value of `--vars` costs dbt.

The project is parsed without them, which dbt does from its cache when no file has changed, and
built with them. A process of its own, for dbt changes the one that it runs in.
"""

import sys

from dbt.cli.main import dbtRunner


def main(arguments: list[str]) -> bool:
    """Parse, then build; dbt says on standard output what it does.

    Args:
        arguments: those of `dbt build`.

    Returns:
        Whether the build succeeded.
    """
    result = dbtRunner().invoke(["--quiet", "parse", *_without_vars(arguments)])
    if result.success:
        result = dbtRunner(manifest=result.result).invoke(["build", *arguments])
    if result.exception:
        print(result.exception)
    return result.success


def _without_vars(arguments: list[str]) -> list[str]:
    at = arguments.index("--vars")
    return arguments[:at] + arguments[at + 2 :]


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
