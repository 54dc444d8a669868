"""Runs BigQuery's scripts on Google's own engine: analyzed only, or executed as well.

The engine knows single statements and expressions; what joins them is here: tables that DDL makes,
variables, IF, RAISE, transactions, and the rules of BigQuery that are not of its language.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.message import Message
from zetasql.wasi._pb2.zetasql.public.type_pb2 import TypeProto
from zetasql.wasi._pb2.zetasql.public.value_pb2 import ValueProto

from tests.googlesql import Raised, Refused
from tests.googlesql.engine import Engine, Names, Row, Table, python_of, type_of

_TEMPORARY = 2  # ResolvedCreateStatementEnums.CREATE_TEMP
_IF_NOT_EXISTS = 3  # ResolvedCreateStatementEnums.CREATE_IF_NOT_EXISTS
_DML = {f"ast_{kind}_statement_node": kind for kind in ("insert", "update", "delete")}
_TABLE_NAMES = {"target_path", "name", "path"}  # of a statement, in the parse tree
#: Of every dataset; the columns that anybody asks for.
_INFORMATION_SCHEMA = {
    "COLUMNS": {
        **dict.fromkeys(("table_name", "column_name", "data_type", "is_nullable"), "STRING"),
        "ordinal_position": "INT64",
    }
}


class Database:
    """A project of BigQuery's.

    Attributes:
        tables: by name (project.dataset.table, or one word for a temporary one).
        views: SQL by name; their columns are in `tables`.
        executes: whether it executes what it analyzes.
        parameters: of the query that runs: type and value by name.
        before_each: gets this database, and the kind and text of each statement that reads tables,
            before it is executed.
    """

    def __init__(self, engine: Engine, project: str, executes: bool = False) -> None:
        """Begin without tables; names without a project have this one.

        What is analyzed is executed, too, or else every branch is analyzed.
        """
        self.tables: dict[str, Table] = {}
        self.views: dict[str, str] = {}
        self._engine = engine
        self._project = project
        self.executes = executes
        self.parameters: Mapping[str, tuple[TypeProto, ValueProto]] = {}
        self.before_each: Callable[[Database, str, str], None] = lambda database, kind, text: None

    def run(
        self,
        script: str,
        parameters: Mapping[str, tuple[TypeProto, ValueProto]] | None = None,
        dataset: str | None = None,
    ) -> list[tuple]:
        """Run a script; return the rows of the last query, when it executes.

        Parameters are types and values by name; of positional ones, p1 is the first. Names that
        have no dataset have the one that is given. Raises Refused, with the statement, when
        BigQuery wouldn't take it, and Raised when the script raises; an open transaction is rolled
        back.
        """
        self.parameters, self._dataset = parameters or {}, dataset
        self._variables: dict[str, tuple[TypeProto, ValueProto]] = {}
        self._before: dict[str, Table] | None = None  # of an open transaction
        self._temporary: set[str] = set()
        self._last: list[Row] = []
        self._changed = 0  # rows that the last INSERT, UPDATE or DELETE changed
        try:
            self._run_list(self._parse(script), script.encode(), may_declare=True)
            if self._before is not None:
                raise Refused("the script ends within its transaction")
        finally:
            self._roll_back()
            for name in self._temporary:
                del self.tables[name]
        return [tuple(map(python_of, row)) for row in self._last]

    def _parse(self, script: str) -> Message:
        return self._engine.parse(script).statement_list_node

    def _roll_back(self) -> None:
        if self._before is not None:
            self.tables, self._before = self._before, None

    # ---- Control -------------------------------------------------------------------------------

    def _run_list(self, statements: Message, script: bytes, may_declare: bool = False) -> None:
        for statement in statements.statement_list:
            kind, node = _unwrapped(statement)
            text = _text(statement, script)
            try:
                if kind == "ast_variable_declaration_node":
                    if not may_declare:
                        raise Refused("DECLARE comes first in a script")
                    self._declare(node, script)
                    continue
                may_declare = False
                self._run_statement(kind, node, script, text)
            except Refused as refused:
                if "\n" in str(refused):  # of a statement in this one
                    raise
                raise Refused(f"{refused}\n{text}") from None

    def _run_statement(self, kind: str, node: Message, script: bytes, text: str) -> None:
        if kind == "ast_single_assignment_node":
            name = node.variable.id_string.lower()
            if name not in self._variables:
                raise Refused(f"no variable {name}")
            declared = self._variables[name][0]
            # As a cast, since BigQuery takes what it can coerce, and refuses the rest.
            expression = _text(node.expression, script).replace("@@row_count", str(self._changed))
            query = f"select if(true, ({expression}), {name})"
            kind_of_value, value = self._value(query)
            if kind_of_value != declared:
                raise Refused(f"{name} is of another type")
            self._variables[name] = declared, value
        elif kind == "ast_assignment_from_struct_node" and not self.executes:
            # `set (a, …) = (select as struct …)`, by which dbt lists partitions
            kind_of_value, _ = self._value(f"select ({_text(node.struct_expression, script)})")
            fields = kind_of_value.struct_type.field
            names = [name.id_string.lower() for name in node.variables.identifier_list]
            if [self._variables[name][0] for name in names] != [
                field.field_type for field in fields
            ]:
                raise Refused(f"{', '.join(names)} are of other types")
        elif kind == "ast_if_statement_node":
            kind_of_value, value = self._value(f"select ({_text(node.condition, script)})")
            if kind_of_value != type_of("BOOL"):
                raise Refused("the condition is no BOOL")
            if value.bool_value or not self.executes:
                self._run_list(node.then_list, script)
            if node.HasField("else_list") and not value.bool_value:
                self._run_list(node.else_list, script)
        elif kind == "ast_raise_statement_node":
            _, value = self._value(f"select ({_text(node.message, script)})")
            if self.executes:
                raise Raised(value.string_value)
        elif kind == "ast_begin_statement_node":
            self._before = {name: copy.copy(table) for name, table in self.tables.items()}
        elif kind == "ast_commit_statement_node":
            if self._before is None:
                raise Refused("no transaction is open")
            self._before = None
        elif kind == "ast_query_statement_node" and self.executes:
            self.before_each(self, "query", text)
            self._last = self._query(text)
        elif kind in _DML and self.executes:
            self.before_each(self, _DML[kind], text)
            self._modify(_DML[kind], text)
        else:
            self._define(node, script, text)

    def _declare(self, node: Message, script: bytes) -> None:
        kind, value = None, ValueProto()
        if node.HasField("default_value"):
            kind, value = self._value(f"select ({_text(node.default_value, script)})")
        if node.HasField("type"):
            kind = type_of(_text(node.type, script))
        for name in node.variable_list.identifier_list:
            self._variables[name.id_string.lower()] = kind, value

    # ---- Statements ----------------------------------------------------------------------------

    def _define(self, node: Message, script: bytes, text: str) -> None:
        """Analyze a statement; when it is DDL, do it."""
        resolved_kind, resolved = self._analyze(text)
        kind = resolved_kind.removeprefix("resolved_").removesuffix("_stmt_node")
        is_temporary = (
            "create" in kind
            and kind != "create_schema"
            and resolved.parent.parent.create_scope == _TEMPORARY
        )
        if (
            self._before is not None
            and not is_temporary
            and kind.startswith(("create", "alter", "drop", "truncate"))
        ):
            raise Refused("DDL of a permanent table within a transaction")
        match kind:
            case "query" | "insert" | "update" | "delete" | "export_data":
                pass
            case "merge" if not self.executes:
                self.before_each(self, "query", text)
            case "merge":
                # The engine executes no MERGE: dbt's into the ledger finds no row to merge.
                rows = _text(node.table_expression, script)
                if self.executes and self._query(f"select 1 from {rows}"):
                    raise NotImplementedError(text)
            case "create_table" | "create_table_as_select" | "create_view":
                if kind == "create_table_as_select":
                    self.before_each(self, "query", text)
                self._create(kind, resolved, _query_of(node, script))
                if is_temporary:
                    self._temporary |= set(resolved.parent.parent.name_path)
            case "alter_table":
                self._alter(resolved.parent)
            case "drop":
                self.tables.pop(resolved.name_path[0], None)
            case "create_schema" | "alter_table_set_options":
                pass
            case _:
                raise NotImplementedError(f"{kind}: {text}")

    def _create(self, kind: str, resolved: Message, query: str) -> None:
        create = resolved.parent.parent
        (name,) = create.name_path
        if kind == "create_view":
            self.views[name] = query
            columns = {c.name: c.column.type for c in resolved.parent.output_column_list}
        else:
            if name in self.tables and create.create_mode == _IF_NOT_EXISTS:
                return
            columns = {c.name: c.type for c in resolved.parent.column_definition_list}
        is_filled = kind == "create_table_as_select" and self.executes
        self.tables[name] = Table(columns, self._query(query) if is_filled else [])

    def _alter(self, alter: Message) -> None:
        table = self.tables[alter.name_path[0]]
        for any_action in alter.alter_action_list:
            kind, action = _unwrapped(any_action)
            if kind == "resolved_add_column_action_node":
                table.columns[action.column_definition.name] = action.column_definition.type
                table.rows = [[*row, ValueProto()] for row in table.rows]
            elif kind == "resolved_drop_column_action_node":
                place = list(table.columns).index(action.name)
                del table.columns[action.name]
                table.rows = [row[:place] + row[place + 1 :] for row in table.rows]
            elif "options_action" not in kind:
                raise NotImplementedError(kind)

    def _modify(self, kind: str, text: str) -> None:
        sql, (target, *_), names = self._prepared(text)
        table = self.tables[target]
        # INSERT ends the service when its table has a primary key; it needs none.
        table.has_places = kind != "insert"
        try:
            changes = self._engine.modify(sql, names)
        finally:
            table.has_places = False
        self._changed = len(changes)
        if kind == "insert":
            table.rows = table.rows + [list(change.cell) for change in changes]
            return
        changed = {
            change.old_primary_key[0].int64_value: list(change.cell)[:-1] for change in changes
        }
        if kind == "update":
            table.rows = [changed.get(place, row) for place, row in enumerate(table.rows)]
        else:
            table.rows = [row for place, row in enumerate(table.rows) if place not in changed]

    def _value(self, query: str) -> tuple[TypeProto, ValueProto]:
        _, resolved = self._analyze(query)
        self.before_each(self, "query", query)
        ((value,),) = self._query(query) if self.executes else [[ValueProto()]]
        return resolved.output_column_list[0].column.type, value

    def _analyze(self, text: str) -> tuple[str, Message]:
        sql, _, names = self._prepared(text, with_rows=False)
        for name, table in names.tables.items():
            same = self._variables.keys() & {column.lower() for column in table.columns}
            if same:
                raise Refused(f"variable {same.pop()} has the name of a column of {name}")
        return _unwrapped(self._engine.analyze(sql, names))

    def _query(self, text: str) -> list[Row]:
        sql, _, names = self._prepared(text)
        return self._engine.query(sql, names)

    # ---- Names ---------------------------------------------------------------------------------

    def resolved_to_tables(self, text: str) -> Message:
        """Analyze a statement with its views written out, and only the columns that it needs."""
        sql, _, names = self._prepared(text, views_in_full=True)
        return self._engine.analyze(sql, names, prune_unused_columns=True)

    def changed_table(self, text: str) -> str:
        """Return the name of the table that an INSERT, UPDATE or DELETE changes."""
        return self._prepared(text, with_rows=False)[1][0]

    def _prepared(
        self, text: str, with_rows: bool = True, views_in_full: bool = False
    ) -> tuple[str, list[str], Names]:
        """Return a statement as the engine takes it, the tables it names, and all names.

        Only tables whose name is one word can have rows: each gets its whole name as one, and its
        last part as the alias that it has without one.
        """
        script = text.encode()
        (statement,) = self._parse(text).statement_list
        # The engine executes no positional parameters.
        edits = [
            (*_range(node), f"@p{node.position}")
            for node in nodes(statement)
            if node.DESCRIPTOR.name == "ASTParameterExprProto" and node.position
        ]
        used = []
        for path, alias in _table_names(statement):
            parts = [part for name in path.names for part in name.id_string.split(".")]
            name = self._full_name(parts)
            if "INFORMATION_SCHEMA" in parts:
                columns = _INFORMATION_SCHEMA[parts[-1]]
                self.tables.setdefault(name, Table({n: type_of(t) for n, t in columns.items()}))
            if len(path.names) == 1 and len(parts) == 1 and name not in self.tables:
                continue  # of the statement's own: WITH
            used.append(name)
            start, end = _range(path)
            source = f"`{name}`"
            if name in self.views and views_in_full:
                source, inner, _ = self._prepared(self.views[name], views_in_full=True)
                source, used = f"({source})", used + inner
            edits.append((start, end, source + (f" as `{parts[-1]}`" if alias else "")))
        for start, end, name in sorted(edits, reverse=True):
            script = script[:start] + name.encode() + script[end:]
        tables = {}
        for name in used:
            if name in self.views and with_rows and not views_in_full:
                tables[name] = Table(self.tables[name].columns, self._query(self.views[name]))
            elif name in self.tables:
                tables[name] = self.tables[name]
        return script.decode(), used, Names(tables, self._variables, self.parameters)

    def _full_name(self, parts: list[str]) -> str:
        if parts[0] in self.tables or (len(parts) == 1 and self._dataset is None):
            return ".".join(parts)
        if len(parts) == 1:
            parts = [self._dataset, *parts]
        has_project = len(parts) == (4 if "INFORMATION_SCHEMA" in parts else 3)
        return ".".join(parts if has_project else [self._project, *parts])


def _table_names(any_statement: Message) -> Iterator[tuple[Message, bool]]:
    """Find the names of tables in a statement: path, and whether it should get an alias."""
    kind, statement = _unwrapped(any_statement)
    has_alias = "alias" not in statement.DESCRIPTOR.fields_by_name or statement.HasField("alias")
    for base in _bases(statement) if kind != "ast_create_schema_statement_node" else ():
        for name in _TABLE_NAMES & set(base.DESCRIPTOR.fields_by_name):
            _, path = _unwrapped(getattr(base, name))
            if path.DESCRIPTOR.name == "ASTPathExpressionProto":
                yield path, not has_alias
    for node in nodes(statement):
        if node.DESCRIPTOR.name == "ASTTablePathExpressionProto" and node.HasField("path_expr"):
            yield node.path_expr, not node.HasField("alias")


def _query_of(statement: Message, script: bytes) -> str:
    for base in _bases(statement):
        if "query" in base.DESCRIPTOR.fields_by_name:
            return _text(base.query, script)
    return ""


def _bases(node: Message) -> Iterator[Message]:
    """Yield a node, and what it has of the more general kinds of node that it is."""
    yield node
    while "parent" in node.DESCRIPTOR.fields_by_name:
        node = node.parent
        yield node


def nodes(message: Message) -> Iterator[Message]:
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type:
            for node in value if descriptor.is_repeated else [value]:
                yield from nodes(node)


def _unwrapped(message: Message) -> tuple[str, Any]:
    """Return what a message of any kind holds, and the kind."""
    kind = ""
    while "node" in message.DESCRIPTOR.oneofs_by_name and message.WhichOneof("node"):
        kind = message.WhichOneof("node")
        message = getattr(message, kind)
    return kind, message


def _text(node: Message, script: bytes) -> str:
    start, end = _range(node)
    return script[start:end].decode()


def _range(node: Message) -> tuple[int, int]:
    *_, base = _bases(_unwrapped(node)[1])
    return base.parse_location_range.start, base.parse_location_range.end
