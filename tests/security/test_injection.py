"""No option, setting, file name, column name or value becomes SQL or a path."""

import datetime as dt
import functools
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.datasets import datasets
from tests.cdn import cdn, with_headers
from tests.conftest import PROJECT_DIR, Workspace, publish, succeeded
from tests.postgres.test_cli import in_process, one_line
from tests.security.mutants import NASTY_NAMES, NASTY_TEXTS

__all__ = ["cdn", "in_process"]

GREEN = ("--dataset", "green", "--month")
NAME = "green_tripdata_2023-01.parquet"
#: What an environment variable or an argument can hold at all.
TEXTS = [text for text in NASTY_NAMES if "\0" not in text]


def schemas(workspace: Workspace) -> list[tuple]:
    """List the schemas that are not another test's."""
    mine = "nspname !~ '^t[0-9]+_' or starts_with(nspname, %s)"
    return workspace.query(
        f"select nspname from pg_namespace where ({mine}) and nspname !~ '^pg_' order by 1",
        workspace.prefix,
    )


# ---- Options and settings ------------------------------------------------------------------------


def mangled(rng: random.Random, good: str) -> str:
    """Give a good value with something nasty in it, or instead of it."""
    nasty = rng.choice(TEXTS)
    place = rng.randrange(len(good) + 1)
    other_digits = good.translate({ord("0") + n: 0xFF10 + n for n in range(10)})
    forms = (nasty, good[:place] + nasty + good[place:], f"{good}\n", f" {good}", other_digits)
    return rng.choice(forms)


def test_options_that_cant_be_right_are_refused(in_process, workspace):
    rng = random.Random(4711)
    publish(workspace.source, "green", "2023-01", 5)
    good = {"dataset": "green", "month": "2023-01", "to": "2023-01", "target": "postgres"}
    before, tried = schemas(workspace), 0
    for _ in range(250):
        option = rng.choice(list(good))
        value = mangled(rng, good[option])
        if value in (good[option], ""):  # an empty option is one that is left out
            continue
        options = [f"--{name}={text}" for name, text in (good | {option: value}).items()]
        code, stdout, stderr = in_process("load", *options, "--source", workspace.source)
        assert (code, stdout) == (2, ""), (option, value)
        assert one_line(stderr).isprintable()
        assert len(stderr.splitlines()) == 1
        tried += 1
    assert tried > 200
    assert schemas(workspace) == before


@pytest.mark.parametrize("variable", ["TLC_SCHEMA_PREFIX", "TLC_TARGET"])
def test_settings_that_cant_be_right_are_refused(in_process, workspace, variable):
    rng = random.Random(4712)
    good = {"TLC_SCHEMA_PREFIX": "dev_", "TLC_TARGET": "postgres"}[variable]
    for _ in range(60):
        value = mangled(rng, good)
        if value in (good, "") or re.fullmatch("[a-z][a-z0-9_]{0,20}", value):
            continue
        code, _, stderr = in_process("status", **{variable: value})
        assert code == 2, value
        assert one_line(stderr).isprintable()


SOURCES = [
    *("http://[", "http://:x/", "http://127.0.0.1:99999999/", "http://\u2100.invalid/", "http:///"),
    *("http://" + "a" * 70 + ".invalid", "http://127.0.0.1:1/%00/../..", "http://a\nb/", "ftp://x"),
    *("file://host/x", "file:///no/such", "file:///%00", "gs://", "s3://a b", "/no/such/../x"),
    *("/" + "x" * 300, "/dev/null", "/proc/self/mem", "x" * 5_000, "~root", "javascript:alert(1)"),
]


@pytest.mark.parametrize("source", SOURCES + [text for text in TEXTS if text.strip()])
def test_any_source_that_is_none_ends_in_one_line(in_process, source):
    code, stdout, stderr = in_process("load", *GREEN, "2023-01", "--source", source)
    assert code in (2, 3, 4)
    assert stdout == ""
    assert one_line(stderr).isprintable()


@pytest.mark.parametrize("number", range(0, len(TEXTS), 3))
def test_any_local_folder_stays_a_folder(in_process, workspace, number):
    name = TEXTS[number].replace("/", "|") or "x"
    publish(workspace.source, "green", "2023-01", 5)
    folder = workspace.local_dir / "around" / name[:200]
    code, _, stderr = in_process(
        "load", *GREEN, "2023-01", "--source", workspace.source, TLC_LOCAL_DIR=str(folder)
    )
    assert code == 0, stderr
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} <= {"logs", "dlt", "downloads"}
    count = f"select count(*) from {workspace.raw}.green_tripdata"
    assert workspace.query(count) == [(5,)]


# ---- The source and its files --------------------------------------------------------------------


def test_nothing_that_a_server_says_is_a_path_or_sql(in_process, workspace, cdn):
    outside = {p for p in workspace.local_dir.parent.iterdir()}
    nasty = [text for text in TEXTS if text.isprintable() and text.isascii()]
    for number, text in enumerate(nasty):
        publish(cdn.folder, "green", "2023-01", 5 + number)
        headers = with_headers(
            ETag=text,
            Last_Modified=("Mon, 01 Jan 0001 00:00:00 +2359", text)[number % 2],
            Content_Disposition=f'attachment; filename="../../{text}"',
            Content_Type=text,
        )
        cdn.script(NAME, [headers], method="HEAD")
        cdn.script(NAME, [headers], method="GET")
        code, _, stderr = in_process("load", *GREEN, "2023-01", "--source", cdn.url)
        assert code == 0, stderr
        assert all(line.isprintable() for line in stderr.splitlines())
        etag = workspace.query(f"select etag from {workspace.raw}.month_files order by landed_at")
        assert etag[-1][0] in (text, text.strip(), None)
    names = {p.name for p in (workspace.local_dir / "downloads").iterdir()}
    assert names == {NAME, f"{NAME}.version"}
    assert {p for p in workspace.local_dir.parent.iterdir()} == outside
    # Lengths and control characters that no honest server sends.
    for length in ("-1", "1e3", "9" * 5_000, "\xb2", "0x10", "12, 12"):
        cdn.script(NAME, [with_headers(Content_Length=length)], method="HEAD")
        code, _, stderr = in_process("load", *GREEN, "2023-01", "--source", cdn.url)
        assert code == 4, stderr
        assert one_line(stderr).isprintable()
    publish(cdn.folder, "green", "2023-01", 99)
    control = with_headers(ETag='"a\x00b\x1b[2J"', Last_Modified="\x07")
    cdn.script(NAME, [control], method="HEAD")
    cdn.script(NAME, [control], method="GET")
    assert in_process("load", *GREEN, "2023-01", "--source", cdn.url)[0] == 0


@pytest.mark.empty_warehouse
def test_names_and_values_of_a_file_are_data(workspace):
    rows = 60
    path = publish(workspace.source, "green", "2023-01", rows)
    table = pq.read_table(path)
    rng = random.Random(4713)
    values = {}
    for name in (name for name in NASTY_NAMES if name != "VENDORID"):
        values[name] = [rng.choice((*NASTY_TEXTS, None)) for _ in range(rows)]
        table = table.append_column(name, pa.array(values[name], pa.string()))
    flags = [rng.choice((*NASTY_TEXTS, None)) for _ in range(rows)]
    flag = table.column_names.index("store_and_fwd_flag")
    table = table.set_column(flag, "store_and_fwd_flag", pa.array(flags, pa.string()))
    pq.write_table(table, path)
    before = schemas(workspace)
    landed = succeeded(workspace.loader("load", *GREEN, "2023-01", "--source", workspace.source))
    assert len(landed.stderr.splitlines()) == 4  # two stages, the unknown columns, what is next
    assert all(line.isprintable() for line in landed.stderr.splitlines())
    (names,) = workspace.query(f"select unknown_columns from {workspace.raw}.month_files")[0]
    assert all(re.fullmatch("[a-z][a-z0-9_]{0,62}", name) for name in names.split(","))
    for name, wanted in zip(names.split(","), values.values(), strict=True):
        query = f'select "{name}" from {workspace.raw}.green_tripdata order by _file_row'
        assert [value for (value,) in workspace.query(query)] == wanted
    succeeded(workspace.dbt("build", "--vars", "{month: 2023-01}"))
    query = f"select store_and_fwd_flag from {workspace.tlc}.green_tripdata order by file_row"
    assert [value for (value,) in workspace.query(query)] == flags
    made = [(f"{workspace.prefix}{n}",) for n in ("tlc", "tlc_marts", "tlc_raw", "tlc_staging")]
    assert schemas(workspace) == sorted([*before, *made])

    # Not from a file: what somebody with the loader's rights could write for the builder to run.
    nasty = "1.1' or true; drop table x; --"
    workspace.query(f"update {workspace.raw}.month_files set load_id = %s", nasty)
    tables = workspace.relations()
    refused = workspace.dbt("build", "--vars", "{month: 2023-01}")
    assert refused.returncode != 0
    assert "load_id is not one of dlt's" in refused.stdout
    assert workspace.relations() == tables


# ---- dbt's --vars and its schemas ----------------------------------------------------------------


class Refused(Exception):
    """What exceptions.raise_compiler_error does."""


class Returned(Exception):
    """What return() does."""


@functools.cache
def templates() -> dict[str, jinja2.Template]:
    """The project's own validators of --vars, to be called here: dbt takes seconds for one."""
    text = (PROJECT_DIR / "macros" / "months" / "requested_months.sql").read_text()
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    return {
        name: environment.from_string(f"{source}{{{{ {name}() }}}}")
        for source, name in re.findall(r"({% macro (\w+)\(\) %}.*?{% endmacro %})", text, re.DOTALL)
    }


def raising(error: type[Exception]) -> Callable[[Any], None]:
    def act(value: Any) -> None:
        raise error(value)

    return act


def macros(variables: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Give the validators, as dbt would call them with these variables."""
    context: dict[str, Any] = {
        "invocation_args_dict": {"vars": variables},
        "var": variables.get,
        "exceptions": {"raise_compiler_error": raising(Refused)},
        "return": raising(Returned),
        "modules": {"re": re},
        "execute": True,
        "datasets": lambda: list(datasets()),
    }

    def call(name: str) -> Any:
        with pytest.raises(Returned) as returned:
            templates()[name].render(context)
        return returned.value.args[0]

    context |= {name: functools.partial(call, name) for name in templates()}
    return context


MONTH_LIKE = st.from_regex(r"\A\d{4}-\d{2}\n?\Z") | st.from_regex(r"\A[0-9]{4}-(0[1-9]|1[0-2])\Z")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
NASTY = st.sampled_from(NASTY_NAMES)
VALUES = MONTH_LIKE | NASTY | SCALARS | st.lists(MONTH_LIKE | SCALARS | NASTY)
VALUES |= st.dictionaries(st.text(), SCALARS)
NAMES = st.sampled_from(["month", "months", "dataset", "Month", "x"]) | NASTY


@settings(
    max_examples=400, derandomize=True, suppress_health_check=[HealthCheck.too_slow], deadline=None
)
@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_whatever_vars_hold_only_months_and_datasets_get_through(variables):
    try:
        found = macros(variables)
        months, asked_for = found["requested_months"](), found["requested_datasets"]()
    except Refused as refused:
        assert "--vars: " in str(refused)
        return
    assert set(variables) <= {"month", "months", "dataset"}
    assert set(asked_for) <= {"fhv", "fhvhv", "green", "yellow"}
    asked = variables.get("months") or [variables.get("month")]
    assert months == sorted({f"{month}-01" for month in asked if month is not None})
    for month in months:
        assert month.isascii()
        assert dt.date.fromisoformat(month).day == 1


def test_vars_that_are_right_get_through():
    found = macros({"dataset": "green", "months": ["2023-02", "2023-01", "2023-02"]})
    assert found["requested_months"]() == ["2023-01-01", "2023-02-01"]
    assert found["requested_datasets"]() == ["green"]
    assert macros({})["requested_datasets"]() == ["fhv", "fhvhv", "green", "yellow"]


@pytest.mark.parametrize(
    ("prefix", "is_parsed"),
    [('x"; drop schema public cascade; --', False), ("x\n", False), ('x"; --', True)],
)
def test_a_prefix_that_cant_be_right_is_refused_by_dbt_too(workspace, prefix, is_parsed):
    before = schemas(workspace)
    if is_parsed:  # with another prefix
        succeeded(workspace.dbt("parse"))
    process = workspace.dbt("build", TLC_SCHEMA_PREFIX=prefix)
    assert process.returncode != 0
    assert "TLC_SCHEMA_PREFIX: use at most 21" in process.stdout
    assert schemas(workspace) == before


def test_dbt_and_the_loader_agree_on_prefixes():
    pattern = re.compile(r"\[a-z\]\[a-z0-9_\]\{0,20\}\|")
    for path in ("loader/settings.py", "macros/generate_schema_name.sql"):
        assert pattern.search(Path(PROJECT_DIR, path).read_text())
