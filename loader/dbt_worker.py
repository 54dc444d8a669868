"""`dbt build` in two steps: read the project now, build the months that are told.

So dbt starts while the first month still lands, and reads the project once for all of them. And it
parses without `--vars`, which it does from its cache when no file has changed; with others than the
last time it would parse all anew. A process of its own, for dbt changes the one that it runs in.
"""

import gc
import sys
from typing import cast

from loader.dbt_runner import FAILED, SUCCEEDED

#: What tests the project's SQL, not a month (`dbt build` and `dbt test` run it), or runs nothing.
_LEFT_OUT = (
    *("--exclude-resource-type", "unit_test"),
    *("--exclude-resource-type", "exposure"),
    *("--exclude", "assert_trips_mart_is_whole"),
)


def main(arguments: list[str]) -> None:
    """Read the project, and build for each line of standard input; dbt says what it does.

    Args:
        arguments: those of `dbt build`, without `--vars`: these are the lines.
    """
    # What comes now stays to the end: looking through it again and again takes a tenth of the time.
    gc.disable()
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    parsed = dbtRunner().invoke(["--quiet", "parse", *arguments])
    gc.freeze()
    gc.enable()
    for variables in sys.stdin:
        result = parsed
        if parsed.success:
            runner = dbtRunner(manifest=cast(Manifest, parsed.result))
            result = runner.invoke(["build", *arguments, *_LEFT_OUT, "--vars", variables])
        if result.exception:
            print(result.exception)
        sys.stdout.write(SUCCEEDED if result.success else FAILED)
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
