"""`dbt build` in two steps: read the project now, build when told what.

So dbt starts while the month still lands. And the project is parsed without `--vars`, which dbt
does from its cache when no file has changed; with others than the last time it would parse all
anew. A process of its own, for dbt changes the one that it runs in.
"""

import sys

from dbt.cli.main import dbtRunner

#: What tests the project's SQL, not a month: `dbt build` and `dbt test` run it.
_LEFT_OUT = (
    *("--exclude-resource-type", "unit_test"),
    *("--exclude", "assert_trips_mart_is_whole"),
)


def main(arguments: list[str]) -> bool:
    """Read the project, wait for a line on standard input, build; dbt says what it does.

    Args:
        arguments: those of `dbt build`, without `--vars`: these are the line.

    Returns:
        Whether the build succeeded; or there was none to do, as the input ended.
    """
    result = dbtRunner().invoke(["--quiet", "parse", *arguments])
    variables = sys.stdin.readline()
    if not variables:
        return True
    if result.success:
        runner = dbtRunner(manifest=result.result)
        result = runner.invoke(["build", *arguments, *_LEFT_OUT, "--vars", variables])
    if result.exception:
        print(result.exception)
    return result.success


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
