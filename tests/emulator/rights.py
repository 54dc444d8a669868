"""Refuses what a caller has no right to, as the service does: every request, every statement."""

import contextvars
import re
from collections.abc import Iterator

from local_bigquery import errors
from local_bigquery.app import DISCOVERY, app, methods
from local_bigquery.jobs import query, runner
from roles import GRANTS, METHODS, ROLES
from sqlglot import exp
from starlette.responses import JSONResponse

_OUR_DATASETS = re.compile(r"(\w+_)?tlc(_raw|_staging|_marts)?")
#: Rights on the first table of a statement; on the others it needs the right to read.
_STATEMENTS: dict[type[exp.Expression], str] = {
    exp.Create: "tables.create",
    exp.Drop: "tables.delete",
    exp.Alter: "tables.update",
    exp.Insert: "tables.updateData",
    exp.Update: "tables.updateData",
    exp.Delete: "tables.updateData",
    exp.Merge: "tables.updateData",
}
_caller = contextvars.ContextVar("caller", default="emulator")


def refuse_without_rights() -> None:
    """Have every request and every statement looked at."""
    paths = [
        (
            method["httpMethod"],
            re.compile(re.sub(r"\{\+(\w+)\}", r"(?P<\1>[^/]+)", f".*/v2/{method['path']}")),
            method["id"],
        )
        for method in methods(DISCOVERY)
    ]

    @app.middleware("http")
    async def check_request(request, call_next):
        _caller.set(request.headers.get("authorization", "").removeprefix("Bearer "))
        for verb, path, method in paths:
            if request.method != verb or not (names := path.fullmatch(request.url.path)):
                continue
            try:
                of = names.groupdict()
                _check(METHODS.get(method), of.get("projectId"), of.get("datasetId"))
            except errors.BigQueryError as error:
                return JSONResponse(error.response(), status_code=error.code)
            break
        return await call_next(request)

    statement, load = query._statement, runner.HANDLERS["load"]

    def statement_of_caller(cur, tree, context, *args, **kwargs):
        for right, project, dataset in _needed(tree, context):
            _check(right, project, dataset)
        return statement(cur, tree, context, *args, **kwargs)

    def load_of_caller(cur, config, upload):
        table = config.destinationTable
        _check("tables.updateData", table.projectId, table.datasetId)
        return load(cur, config, upload)

    query._statement = statement_of_caller
    runner.HANDLERS["load"] = load_of_caller


def _check(right: str | None, project: str | None, dataset: str | None) -> None:
    """Raise the service's error when the caller lacks a right."""
    caller = _caller.get()
    if right is None or caller == "emulator" or dataset == "_results":
        return
    of_project, of_datasets = GRANTS[caller]
    is_ours = dataset and _OUR_DATASETS.fullmatch(dataset)
    roles = of_project | of_datasets if is_ours else of_project
    if any(right in ROLES[role] for role in roles):
        return
    if dataset is None:
        said = (
            f"Access Denied: Project {project}: User does not have bigquery.{right}"
            f" permission in project {project}."
        )
    else:
        said = (
            f"Access Denied: Dataset {project}:{dataset}: Permission bigquery.{right} denied on"
            f" dataset {project}:{dataset} (or it may not exist)."
        )
    raise errors.BigQueryError("accessDenied", said)


def _needed(tree: exp.Expression, context) -> Iterator[tuple[str, str, str | None]]:
    """Yield what a statement needs: the right, its project, and its dataset if it is of one."""
    target = tree.find(exp.Table) if type(tree) in _STATEMENTS else None
    if target is not None and tree.args.get("kind") == "SCHEMA":
        yield "datasets.create", target.catalog or context.project_id, None
        return
    for table in tree.find_all(exp.Table):
        dataset = table.db or context.dataset_id
        if not dataset or table.db == "INFORMATION_SCHEMA" or tree.find(exp.TemporaryProperty):
            continue
        right = _STATEMENTS[type(tree)] if table is target else "tables.getData"
        yield right, table.catalog or context.project_id, dataset
