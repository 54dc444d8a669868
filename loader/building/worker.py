"""dbt in a process of its own: parses the project once, and builds months.

So dbt starts while the first month still lands. And it parses without `--vars`: then it uses its
cache when no file has changed, where other variables than the last time make it parse everything
again. `runner.py` is the other side: it sends a line of JSON for each month, and gets one back.
docs/decisions/0005-one-dbt-process.md says why it isn't a process pool.
"""

import gc
import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO

#: Resource types that don't concern a month: they test the project's SQL, or run nothing.
_LEFT_OUT = ("--exclude-resource-types", "unit_test", "exposure")
_TESTS_LEFT_OUT = ("assert_trips_mart_is_whole", "test_name:grain")


class Project(NamedTuple):
    """The project as dbt parsed it."""

    fingerprint: str  #: of all files, dbt's own macros included; empty when dbt can't parse them
    relations: list[str]  #: models and seeds that a build of all makes, as schema.table
    marts: list[str]  #: those of them that `--marts later` leaves out
    errors: list[str]  #: why dbt can't parse it

    @property
    def fingerprint_without_marts(self) -> str:
        """What is recorded of a build of all but the marts."""
        return f"{self.fingerprint} without marts"


class Request(NamedTuple):
    """What to build of months."""

    dataset: str
    months: list[str]  #: file months, YYYY-MM
    table: str  #: the dataset's trips table
    builds_table: bool  #: merge the months
    builds_marts: bool  #: build the months' rows in the marts
    is_complete: bool  #: build views and seeds too, and test them: the project has changed


class NodeResult(NamedTuple):
    """What dbt reports of a model or a test."""

    unique_id: str  #: such as test.nyc_tlc.not_null_…
    status: str  #: success, pass, warn, fail, error or skipped
    failures: int | None  #: rows that a test found
    message: str | None  #: of dbt or the warehouse
    found: str  #: what a test's query returned as its message: rows by column, as JSON

    @property
    def name(self) -> str:
        """Name of the model or test."""
        return self.unique_id.split(".")[2]


class BuildResult(NamedTuple):
    """What dbt reports of a build."""

    success: bool  #: whether all went well
    nodes: list[NodeResult]  #: results of models and tests; empty when dbt ran none
    errors: list[str]  #: what else it reported, such as an error of compilation
    invocation_id: str = ""  #: dbt's name of the build


def main(arguments: list[str]) -> None:
    """Parse the project and describe it, then run `dbt build` for each line of standard input.

    Args:
        arguments: those of every `dbt build`; a line holds the fields of `Request`.
    """
    answers = _take_standard_output()
    errors: list[str] = []

    def keep_errors(event: Any) -> None:
        if event.info.level == "error" and event.info.msg.strip():
            errors.append(event.info.msg.strip())

    # The objects that parsing creates live to the end: collecting garbage would take 10 % longer.
    gc.disable()
    from dbt.adapters.base import impl
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.contracts.graph.nodes import CompiledNode
    from dbt_common.invocation import get_invocation_id

    def invoke(manifest: Manifest | None, *command: str) -> Any:
        errors.clear()
        done = dbtRunner(manifest, callbacks=[keep_errors]).invoke([*command])
        if done.exception:
            errors.append(str(done.exception))
        return done

    flags = list(impl.DEFAULT_BASE_BEHAVIOR_FLAGS)
    parsed = invoke(None, "parse", *arguments)
    gc.freeze()
    gc.enable()
    if not parsed.success:
        _answer(answers, Project("", [], [], errors))
        return
    manifest = parsed.result
    _answer(answers, _project(manifest))
    for line in sys.stdin:
        request = Request(*json.loads(line))
        # Each invocation adds the adapter's flags to dbt's again: after 500 months they took
        # four fifths of a build.
        impl.DEFAULT_BASE_BEHAVIOR_FLAGS[:] = flags
        # A model that the last invocation compiled keeps its mark that ephemeral models are in it.
        for node in manifest.nodes.values():
            if isinstance(node, CompiledNode):
                node.extra_ctes, node.extra_ctes_injected = [], False
        months: Any = {"month": request.months[0]}
        if len(request.months) > 1:
            months = {"months": request.months}
        chosen = (*_select(manifest, request), *_LEFT_OUT)
        variables = json.dumps({"dataset": request.dataset} | months)
        # The manifest is written once, by parse: it takes a tenth of a second, and stays the same.
        options = (*arguments, *chosen, "--no-write-json", "--vars", variables)
        built = invoke(manifest, "build", *options)
        found = list(map(_node_result, getattr(built.result, "results", ())))
        if found:
            with suppress(OSError):  # the build is done; only `nyc-tlc runs` and the report miss it
                built.result.write(str(_results_file(Path(os.environ["DBT_TARGET_PATH"]), request)))
        _answer(answers, BuildResult(built.success, found, errors, get_invocation_id()))


def _results_file(folder: Path, request: Request) -> Path:
    """Return where dbt's results of a build are kept, which `nyc-tlc runs` reads."""
    of_marts = "" if request.builds_table else "_marts"
    return folder / f"run_results_{request.dataset}_{request.months[0]}{of_marts}.json"


def _answer(answers: TextIO, answer: NamedTuple) -> None:
    print(json.dumps(answer), file=answers, flush=True)


def _project(manifest: Any) -> Project:
    manifest.build_parent_and_child_maps()
    hashes = {name: file.checksum for name, file in manifest.files.items()}
    hashes |= manifest.state_check.project_hashes  # of dbt_project.yml
    made = {
        name: f"{node.schema}.{node.alias}"
        for name, node in manifest.nodes.items()
        if node.resource_type in ("model", "seed") and node.config.materialized != "ephemeral"
    }
    marts = _with_children(manifest, _mart_tables(manifest))
    return Project(
        fingerprint=hashlib.sha256(
            "".join(f"{name} {hashes[name].checksum}\n" for name in sorted(hashes)).encode()
        ).hexdigest(),
        relations=list(made.values()),
        marts=[made[name] for name in marts],
        errors=[],
    )


def _select(manifest: Any, request: Request) -> list[str]:
    """Return options that select what a request builds."""
    marts = _mart_tables(manifest)
    if request.is_complete:
        left_out = [] if request.builds_marts else _with_children(manifest, marts)
        return ["--exclude", *_paths(manifest, left_out), *_TESTS_LEFT_OUT]
    (table,) = (node for node in manifest.nodes if node.endswith(f".{request.table}"))
    chosen = [table] if request.builds_table else []
    if request.builds_marts:  # those that count the dataset
        of_dataset = _with_children(manifest, [table])
        chosen += [mart for mart in marts if mart in of_dataset]
    return ["--select", *_paths(manifest, chosen), "--exclude", *_TESTS_LEFT_OUT]


def _paths(manifest: Any, nodes: list[str]) -> list[str]:
    """Return names by which dbt selects models: the whole path, as a folder has a mart's name."""
    return [".".join(manifest.nodes[node].fqn) for node in nodes]


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
