"""dbt in a process of its own: parses the project once, and builds months.

So dbt starts while the first month still lands. And it parses without `--vars`, which it does from
its cache when no file has changed; with other variables than the last time it would parse all
again. `dbt_runner.py` is the other side: for each month, a line of JSON comes and one is returned.
docs/decisions/0005-one-dbt-process.md says why it isn't a process pool.
"""

import gc
import json
import os
import sys
from typing import Any, NamedTuple, TextIO, cast

#: What tests the project's SQL, not a month (`dbt build` and `dbt test` run it), or runs nothing.
_LEFT_OUT = (
    *("--exclude-resource-type", "unit_test"),
    *("--exclude-resource-type", "exposure"),
    *("--exclude", "assert_trips_mart_is_whole"),
)


class Request(NamedTuple):
    """What to build of a month.

    Attributes:
        dataset: dataset of the month.
        month: file month, YYYY-MM.
        table: the dataset's trips table.
        builds_table: merge the month.
        builds_marts: build what the marts have of the month.
        is_first: build views and seeds, too, and all else that these need.
    """

    dataset: str
    month: str
    table: str
    builds_table: bool
    builds_marts: bool
    is_first: bool


class NodeResult(NamedTuple):
    """What dbt reports of a model or a test.

    Attributes:
        unique_id: such as test.nyc_tlc.not_null_….
        status: success, pass, warn, fail, error or skipped.
        failures: rows that a test found.
        message: of dbt or the warehouse.
        found: what a test's query returned as its message: rows by column, as JSON.
    """

    unique_id: str
    status: str
    failures: int | None
    message: str | None
    found: str

    @property
    def name(self) -> str:
        """Name of the model or test."""
        return self.unique_id.split(".")[2]


class BuildResult(NamedTuple):
    """What dbt reports of a build.

    Attributes:
        success: whether all went well.
        nodes: what became of models and tests; empty when dbt came to none.
        errors: what else it reported, such as an error of compilation.
    """

    success: bool
    nodes: list[NodeResult]
    errors: list[str]


def main(arguments: list[str]) -> None:
    """Parse the project, and run `dbt build` for each line of standard input.

    Args:
        arguments: those of every `dbt build`; a line holds the fields of `Request`.
    """
    results = _take_standard_output()
    errors: list[str] = []

    def keep_errors(event: Any) -> None:
        if event.info.level == "error" and event.info.msg.strip():
            errors.append(event.info.msg.strip())

    # What parsing makes lives to the end: collecting garbage meanwhile takes a tenth of the time.
    gc.disable()
    from dbt.adapters.base import impl
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    flags = list(impl.DEFAULT_BASE_BEHAVIOR_FLAGS)
    parsed = dbtRunner(callbacks=[keep_errors]).invoke(["parse", *arguments])
    gc.freeze()
    gc.enable()
    for line in sys.stdin:
        request = Request(*json.loads(line))
        built = parsed
        if parsed.success:
            errors.clear()
            manifest = cast(Manifest, parsed.result)
            select = _select(manifest, request)
            runner = dbtRunner(manifest, callbacks=[keep_errors])
            # Each invocation adds the adapter's flags to dbt's, once more: after 500 months they
            # took four fifths of a build.
            impl.DEFAULT_BASE_BEHAVIOR_FLAGS[:] = flags
            variables = json.dumps({"dataset": request.dataset, "month": request.month})
            built = runner.invoke(["build", *arguments, *select, *_LEFT_OUT, "--vars", variables])
        exceptions = [str(built.exception)] if built.exception else []
        nodes = getattr(built.result, "results", ())
        result = BuildResult(built.success, list(map(_node_result, nodes)), errors + exceptions)
        print(json.dumps(result), file=results, flush=True)


def _select(manifest: Any, request: Request) -> list[str]:
    """Return options that select what a request builds."""
    manifest.build_parent_and_child_maps()
    (table,) = (node for node in manifest.nodes if node.endswith(f".{request.table}"))
    marts = _mart_tables(manifest)
    with_children = _with_children(manifest, [table])
    chosen = [table] if request.builds_table else []
    if request.builds_marts:  # those that count the dataset
        chosen += [mart for mart in marts if mart in with_children]
    options: list[str] = []
    before = ""
    if request.is_first:
        before = "+"  # and all that these need
        # No tests of other datasets, which may lack a table or seed.
        options = ["--indirect-selection", "buildable"]
        left_out = set() if request.builds_marts else _with_children(manifest, marts)
        chosen = [node for node in with_children if node not in left_out]
    # By the whole path: a folder has the name of a mart.
    return ["--select", *(before + ".".join(manifest.nodes[n].fqn) for n in chosen), *options]


def _mart_tables(manifest: Any) -> list[str]:
    """Return the marts that hold rows of months; the others are views."""
    return [
        name
        for name, node in manifest.nodes.items()
        if node.resource_type == "model"
        and "marts" in node.fqn
        and node.config.materialized == "incremental"
    ]


def _with_children(manifest: Any, nodes: list[str]) -> list[str]:
    """Return models and all models that depend on them."""
    found = list(nodes)
    for node in found:  # which grows
        children = manifest.child_map[node]
        found += [child for child in children if child.startswith("model.") and child not in found]
    return found


def _take_standard_output() -> TextIO:
    """Return standard output; what dbt prints there is in its log, too."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


def _node_result(result: Any) -> NodeResult:
    return NodeResult(
        result.node.unique_id,
        str(result.status),
        result.failures,
        result.message,
        str(result.adapter_response.get("_message", "")),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
