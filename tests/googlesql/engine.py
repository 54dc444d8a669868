"""Google's own SQL engine, in this process: ZetaSQL, now GoogleSQL, which BigQuery's SQL is.

It has BigQuery's parser and analyzer, and a reference implementation that executes. PyPI's
`zetasql` ships it as WebAssembly; of the package, the module and its message classes are used.
"""

import ctypes
import datetime as dt
import fcntl
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tzdata
import wasmtime
from google.protobuf.message import Message
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto.options_pb2 import AnalyzerOptionsProto, LanguageOptionsProto
from zetasql.wasi._pb2.zetasql.proto.simple_catalog_pb2 import SimpleCatalogProto
from zetasql.wasi._pb2.zetasql.public import options_pb2
from zetasql.wasi._pb2.zetasql.public.type_pb2 import TypeKind, TypeProto
from zetasql.wasi._pb2.zetasql.public.value_pb2 import ValueProto

from tests.googlesql import Refused

Row = list[ValueProto]

#: Google publishes no list of the language features that BigQuery has. Its documentation describes
#: these. One too many would hide a mistake; one too few makes the engine refuse what BigQuery
#: takes, which shows at once: add it.
_FEATURES = [
    *("ANALYTIC_FUNCTIONS", "CREATE_TABLE_AS_SELECT_COLUMN_LIST", "CREATE_TABLE_CLUSTER_BY"),
    *("CREATE_TABLE_FIELD_ANNOTATIONS", "CREATE_TABLE_NOT_NULL", "CREATE_TABLE_PARTITION_BY"),
    *("CREATE_VIEW_WITH_COLUMN_LIST", "CREATE_VIEWS_WITH_COLUMN_OPTIONS"),
    *("DML_UPDATE_WITH_JOIN", "GEOGRAPHY", "NAMED_ARGUMENTS", "NUMERIC_TYPE"),
    *("BIGNUMERIC_TYPE", "PARAMETERIZED_TYPES"),
    "V_1_1_NULL_HANDLING_MODIFIER_IN_AGGREGATE",
    *("V_1_1_ORDER_BY_IN_AGGREGATE", "V_1_1_SELECT_STAR_EXCEPT_REPLACE"),
    *("V_1_1_WITH_ON_SUBQUERY", "V_1_2_CIVIL_TIME", "V_1_2_SAFE_FUNCTION_CALL"),
    *("V_1_3_ADDITIONAL_STRING_FUNCTIONS", "V_1_3_ALLOW_DASHES_IN_TABLE_NAME"),
    *("V_1_3_DATE_ARITHMETICS", "V_1_3_DATE_TIME_CONSTRUCTORS", "V_1_3_FORMAT_IN_CAST"),
    *("V_1_3_IS_DISTINCT", "V_1_3_NULLS_FIRST_LAST_IN_ORDER_BY"),
    *("V_1_3_OMIT_INSERT_COLUMN_LIST", "V_1_3_QUALIFY", "V_1_3_WITH_RECURSIVE"),
    *("V_1_4_GROUPING_BUILTIN", "V_1_4_GROUPING_SETS"),
]
LANGUAGE = LanguageOptionsProto(
    product_mode=options_pb2.PRODUCT_EXTERNAL,
    reserved_keywords=["QUALIFY"],
    enabled_language_features=[
        options_pb2.LanguageFeature.Value(f"FEATURE_{name}") for name in _FEATURES
    ],
)

#: BigQuery's other names of types, which the engine doesn't know.
_ALIASES = dict.fromkeys(["INT", "INTEGER", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT"], "INT64")
_EPOCH = dt.datetime(1970, 1, 1)
_SECOND = dt.timedelta(seconds=1)


@dataclass
class Table:
    """A table, or what a view shows.

    Attributes:
        columns: types by name.
        rows: the content.
        has_places: the last value of each row is its place, by which a change of it is known.
    """

    columns: dict[str, TypeProto]
    rows: list[Row] = field(default_factory=list)
    has_places: bool = False


@dataclass
class Names:
    """What a statement can name, beside BigQuery's own functions.

    Attributes:
        tables: by name, which is one word.
        variables: of the script: type and value by name.
        parameters: of the query: likewise.
    """

    tables: Mapping[str, Table] = field(default_factory=dict)
    variables: Mapping[str, tuple[TypeProto, ValueProto]] = field(default_factory=dict)
    parameters: Mapping[str, tuple[TypeProto, ValueProto]] = field(default_factory=dict)

    def catalog(self) -> SimpleCatalogProto:
        catalog = SimpleCatalogProto(name="bigquery")
        catalog.builtin_function_options.language_options.CopyFrom(LANGUAGE)
        for alias, name in _ALIASES.items():
            catalog.named_type.add(name=alias, type=type_of(name))
        # Of a variable and a column of one name, BigQuery takes the column: so do constants.
        for name, (kind, value) in self.variables.items():
            catalog.constant.add(name_path=[name], type=kind, value=value)
        for number, (name, table) in enumerate(self.tables.items(), 1):
            entry = catalog.table.add(name=name, serialization_id=number)
            for column, kind in table.columns.items():
                entry.column.add(name=column, type=kind)
            if table.has_places:
                entry.primary_key_column_index.append(len(table.columns))
                entry.column.add(name="__place", type=type_of("INT64"), is_pseudo_column=True)
        return catalog

    def options(self, prune_unused_columns: bool = False) -> AnalyzerOptionsProto:
        options = AnalyzerOptionsProto(
            language_options=LANGUAGE,
            default_timezone="UTC",
            error_message_mode=options_pb2.ERROR_MESSAGE_ONE_LINE,
            prune_unused_columns=prune_unused_columns,
        )
        for name, (kind, _) in self.parameters.items():
            options.query_parameters.add(name=name, type=kind)
        return options


class Engine:
    """The engine. Its machine code, half a minute of work, is kept in a folder."""

    def __init__(self, folder: Path) -> None:
        config = wasmtime.Config()
        config.shared_memory = True
        engine = wasmtime.Engine(config)
        self._store = wasmtime.Store(engine)
        wasi = wasmtime.WasiConfig()
        wasi.preopen_dir(str(Path(tzdata.__file__).parent / "zoneinfo"), "/usr/share/zoneinfo")
        self._store.set_wasi(wasi)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        instance = linker.instantiate(self._store, _compiled(engine, folder))
        self._exports = instance.exports(self._store)
        self._exports["_initialize"](self._store)

    def parse(self, script: str) -> Message:
        """Return the parse tree of a script (ASTScriptProto)."""
        request = service.ParseRequest(sql_statement=script, options=LANGUAGE, allow_script=True)
        return self._call("Parse", request, service.ParseResponse).parsed_script

    def analyze(self, sql: str, names: Names, prune_unused_columns: bool = False) -> Message:
        """Return the resolved statement (AnyResolvedStatementProto)."""
        request = service.AnalyzeRequest(
            sql_statement=sql,
            options=names.options(prune_unused_columns),
            simple_catalog=names.catalog(),
        )
        return self._call("Analyze", request, service.AnalyzeResponse).resolved_statement

    def query(self, sql: str, names: Names) -> list[Row]:
        """Execute a query."""
        request = _with_rows(service.EvaluateQueryRequest, sql, names)
        answer = self._call("EvaluateQuery", request, service.EvaluateQueryResponse)
        return [list(row.cell) for row in answer.content.table_data.row]

    def modify(self, sql: str, names: Names) -> Message:
        """Execute an INSERT, UPDATE or DELETE; return the new and changed rows, changing none."""
        request = _with_rows(service.EvaluateModifyRequest, sql, names)
        return self._call("EvaluateModify", request, service.EvaluateModifyResponse).content

    def _call(self, method: str, request: Message, answer: type[Message]) -> Any:
        exports, store, data = self._exports, self._store, request.SerializeToString()
        sent, size = exports["wasm_malloc"](store, len(data)), exports["wasm_malloc"](store, 4)
        try:
            ctypes.memmove(self._address(sent), data, len(data))
            got = exports[f"ZetaSqlLocalService_{method}"](store, sent, len(data), size)
            if not got:
                length = exports["wasm_get_last_error_size"](store)
                said = self._read(exports["wasm_get_last_error"](store), length).decode()
                raise Refused(" ".join((said.partition("Message: ")[2] or said).split()))
            length = int.from_bytes(self._read(size, 4), "little")
            try:
                return answer.FromString(self._read(got, length))
            finally:
                exports["wasm_free"](store, got)
        finally:
            exports["wasm_free"](store, sent)
            exports["wasm_free"](store, size)

    def _read(self, offset: int, size: int) -> bytes:
        return ctypes.string_at(self._address(offset), size)

    def _address(self, offset: int) -> int:
        memory = self._exports["memory"].data_ptr()  # asked each time: it moves when it grows
        return ctypes.addressof(memory.contents) + (offset & 0xFFFFFFFF)


def _compiled(engine: wasmtime.Engine, folder: Path) -> wasmtime.Module:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"zetasql-{version('zetasql')}-wasmtime-{version('wasmtime')}.cwasm"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            part = kept.with_suffix(".part")
            part.write_bytes(wasmtime.Module.from_file(engine, str(get_wasm_path())).serialize())
            part.replace(kept)
    return wasmtime.Module.deserialize_file(engine, str(kept))


def _with_rows(kind: type[Message], sql: str, names: Names) -> Any:
    request = kind(sql=sql, options=names.options(), simple_catalog=names.catalog())
    for name, table in names.tables.items():
        data = request.table_content[name].table_data
        data.SetInParent()  # also without rows
        for place, row in enumerate(table.rows):
            cells = data.row.add(cell=row).cell
            if table.has_places:
                cells.add(int64_value=place)
    for name, (_, value) in names.parameters.items():
        request.params.add(name=name, value=value)
    return request


def type_of(name: str) -> TypeProto:
    """Return a simple type, or an array of one, by one of its names in BigQuery."""
    if name.upper().startswith("ARRAY<"):
        array = TypeProto(type_kind=TypeKind.TYPE_ARRAY)
        array.array_type.element_type.CopyFrom(type_of(name[len("ARRAY<") : -1]))
        return array
    name = name.upper().partition("(")[0]
    name = {"BOOLEAN": "BOOL", "FLOAT64": "DOUBLE", "FLOAT": "DOUBLE"}.get(name, name)
    return TypeProto(type_kind=TypeKind.Value(f"TYPE_{_ALIASES.get(name, name)}"))


def value_of(kind: TypeProto, value: Any) -> ValueProto:
    """Return a Python value as the engine has it; times are naive."""
    name = TypeKind.Name(kind.type_kind).removeprefix("TYPE_").lower()
    if value is None:
        return ValueProto()
    made = ValueProto()
    if name == "date":
        made.date_value = (value - _EPOCH.date()).days
    elif name == "timestamp":
        made.timestamp_value.seconds = (value - _EPOCH) // _SECOND
        made.timestamp_value.nanos = value.microsecond * 1000
    elif name == "datetime":
        bits = 0
        for part, width in zip(value.timetuple()[:6], (14, 4, 5, 5, 6, 6), strict=True):
            bits = bits << width | part
        made.datetime_value.bit_field_datetime_seconds = bits
        made.datetime_value.nanos = value.microsecond * 1000
    else:
        setattr(made, f"{name}_value", value)
    return made


def python_of(value: ValueProto) -> Any:
    """Return the engine's value as Python has it; of a DATE, TIMESTAMP or DATETIME too."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "date_value":
        return _EPOCH.date() + dt.timedelta(days=value.date_value)
    if which == "timestamp_value":
        time = value.timestamp_value
        return _EPOCH + dt.timedelta(seconds=time.seconds, microseconds=time.nanos // 1000)
    if which == "datetime_value":
        bits, parts = value.datetime_value.bit_field_datetime_seconds, []
        for width in (6, 6, 5, 5, 4, 14):
            parts.insert(0, bits & (1 << width) - 1)
            bits >>= width
        return dt.datetime(*parts, value.datetime_value.nanos // 1000)
    return getattr(value, which)
