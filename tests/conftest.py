"""What tests share: one throwaway Postgres a session, schemas and folders of its own a test."""

import functools
import hashlib
import io
import itertools
import os
import pprint
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
import yaml

from loader.calendar import file_name, parse_month
from loader.embedded import local_server
from loader.embedded.wheel import program_path
from loader.sample import write_month
from loader.settings import PROJECT_DIR
from loader.terminal import commands
from tests import forks
from tests.emulator.rig import PROJECT

_DATA = Path(os.environ.get("TLC_TEST_DATA") or PROJECT_DIR.parent / "shared" / "data")
#: The folder of real files (trip-data/, republished/, facts/), for parametrized tests, which are
#: collected before any fixture runs; None when it is not there.
DATA_DIR: Path | None = _DATA if (_DATA / "trip-data").is_dir() else None

#: What of dbt's a build runs besides models and seeds: its data tests; its unit tests too; neither,
#: which saves half of the time. `run` never runs unit tests.
DATA_TESTS = {"DBT_RESOURCE_TYPES": "model seed test"}
ALL_TESTS = {"DBT_RESOURCE_TYPES": "model seed test unit_test"}
NO_TESTS = {"DBT_RESOURCE_TYPES": "model seed"}

#: The command line, which waits a hundredth of the usual time before it tries again.
IMPATIENT = """
from loader import cli
from loader.source import retries
retries.BACKOFF_SECONDS = 0.01
cli.main()
"""

_OURS = ("PG", "TLC_", "DBT_", "DLT_")
_NUMBERS = itertools.count(1)
#: dbt's cache of the parsed project by its target, with these in the place of what differs.
_PARSED: dict[str, bytes] = {}
#: What takes longest, by the beginning of its path.
_LONGEST = (
    *("tests/bigquery/", "benchmarks/", "tests/security/"),
    *("tests/postgres/test_snapshots", "tests/postgres/test_unfinished"),
)
_NO_PREFIX, _NO_OPTIONS = b"t000_", b"0" * 64


def clean_env(**variables: str) -> dict[str, str]:
    """Return the environment without any setting of the project's user, and these variables."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    # A test that forgets --source must not ask TLC; and `python -m loader` works anywhere.
    nowhere = {"TLC_SOURCE": "/no/such/source", "TLC_SHAPES": "/no/such/shapes"}
    return env | nowhere | {"PYTHONPATH": str(PROJECT_DIR)} | variables


def pytest_configure() -> None:
    """Let tests press Ctrl-C, however the session was started.

    `nohup`, or `&` in a script, has a command ignore SIGINT, and what it starts inherits that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that two workers end together."""
    items.sort(key=lambda item: [not item.nodeid.startswith(place) for place in _LONGEST])


@dataclass(frozen=True)
class Workspace:
    """A test's own surroundings: schemas on the session's server, and a folder.

    Attributes:
        env: environment of the commands: target postgres, the server's PG* variables.
        local_dir: TLC_LOCAL_DIR; `source` below it is a folder for files made by the test.
        prefix: TLC_SCHEMA_PREFIX.
        marts: whether `run` and `sync` build the marts, when a test doesn't say.
    """

    env: dict[str, str]
    local_dir: Path
    prefix: str
    marts: bool = True

    @property
    def raw(self) -> str:
        """Name of the raw schema."""
        return f"{self.prefix}tlc_raw"

    @property
    def tlc(self) -> str:
        """Name of the schema of the trips tables and the ledger."""
        return f"{self.prefix}tlc"

    @property
    def source(self) -> Path:
        """Folder for the month files that the test makes."""
        folder = self.local_dir / "source"
        folder.mkdir(exist_ok=True)
        return folder

    def loader(
        self, *args: object, cwd: Path = PROJECT_DIR, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m loader` with these arguments, and variables besides the workspace's."""
        if args[0] in ("run", "sync") and not self.marts and "--marts" not in args:
            args = (*args, "--marts", "later")
        return self._python("-m", "loader", *args, cwd=cwd, **env)

    def dbt(self, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run dbt with these arguments, the command first, and more variables."""
        folders = ("--project-dir", PROJECT_DIR, "--profiles-dir", PROJECT_DIR)
        command, *options = args
        return self._python(
            "-m", "dbt.cli.main", "--no-use-colors", command, *folders, *options, **env
        )

    def python(self, code: str, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process of its own."""
        return self._python("-c", code, *args, **env)

    def connect(self) -> psycopg2.extensions.connection:
        """Open a connection of the test's own; it commits by itself."""
        names = ("host", "port", "user", "password", "dbname")
        variables = ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE")
        connection = psycopg2.connect(
            **{n: self.env[v] for n, v in zip(names, variables, strict=True)}
        )
        connection.autocommit = True
        return connection

    def query(self, sql: str, *args: Any) -> list[tuple]:
        """Run a statement and return its rows."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, args or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def read(self, query: str, kinds: dict[str, pa.DataType]) -> pa.Table:
        """Run a query and return its rows, with columns of these types."""
        out = io.BytesIO()
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.copy_expert(f"copy ({query}) to stdout (format csv)", out)
        if not out.getvalue():
            return pa.schema(kinds.items()).empty_table()
        return pa_csv.read_csv(
            pa.BufferReader(out.getvalue()),
            pa_csv.ReadOptions(column_names=list(kinds)),
            convert_options=pa_csv.ConvertOptions(
                column_types=kinds,
                null_values=[""],  # quoted, it is a text without characters
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def relations(self, schema: str | None = None) -> dict[str, tuple]:
        """Describe a schema's relations (default: of the trips) so that any change shows."""
        rows = self.query(
            "select relname, oid, relfilenode, xmin::text from pg_class"
            " where relnamespace = to_regnamespace(%s) and relkind in ('r', 'p', 'i', 'I')",
            schema or self.tlc,
        )
        return {name: identity for name, *identity in rows}

    def _python(
        self, *args: object, cwd: Path = PROJECT_DIR, **env: str
    ) -> subprocess.CompletedProcess[str]:
        with self.parsed(args, **env):
            return subprocess.run(
                [forks.python(), *map(str, args)],
                cwd=cwd,
                env=self.env | env,
                capture_output=True,
                text=True,
                check=False,
                timeout=900,  # against a hang only: a busy machine is slow, not wrong
            )

    @contextmanager
    def parsed(self, args: Sequence[object], **env: str) -> Iterator[None]:
        """Lend dbt the cache of the parsed project that it wrote for another command.

        Only the prefix differs, and dbt's hash of `--vars` and `--target`, on which parsing doesn't
        depend: test_dbt_build.py. dbt itself checks that a cache fits its connection and the
        project's files, and parses again if not. A copy of the project gets none, and none of it
        is kept: dbt takes a file for the one that it has read if their times are the same.
        """
        settings = self.env | env
        target, options = _target_and_options(args, settings)
        folder = settings.get("DBT_TARGET_PATH")
        is_ours = settings.get("TLC_SCHEMA_PREFIX", "") == self.prefix
        is_ours &= settings.get("PGUSER", "postgres") == "postgres"
        is_ours &= settings["PYTHONPATH"] == str(PROJECT_DIR)  # not a copy
        if not options or not folder or not is_ours:
            yield
            return
        path, prefix = Path(folder) / "partial_parse.msgpack", self.prefix.encode()
        if target in _PARSED:
            path.parent.mkdir(exist_ok=True)
            lent = _PARSED[target].replace(_NO_OPTIONS, options)
            path.write_bytes(lent.replace(_NO_PREFIX, prefix) if prefix else lent)
        before = path.stat() if path.exists() else None
        yield
        if path.exists() and path.stat() != before:
            kept = path.read_bytes().replace(options, _NO_OPTIONS)
            _PARSED[target] = kept.replace(prefix, _NO_PREFIX) if prefix else kept


def _target_and_options(args: Sequence[object], env: dict[str, str]) -> tuple[str, bytes]:
    """Return a command's target, and dbt's hash of its options; empty when it starts no dbt."""
    given = dict(itertools.pairwise(map(str, args)))
    target, variables = given.get("--target", ""), {}
    if args[:2] == ("-m", "loader") and args[2] in ("run", "sync", "marts"):
        told = target or env.get("TLC_TARGET", "local")  # the loader always tells dbt the target
    elif args[:2] == ("-m", "dbt.cli.main"):
        told, variables = target, yaml.safe_load(given.get("--vars", "{}"))
    else:
        return target, b""
    # As dbt's ManifestLoader.build_manifest_state_check makes it.
    text = "\0".join([pprint.pformat(variables), "", told, version("dbt-core")])
    return target or env.get("TLC_TARGET", ""), hashlib.sha256(text.encode()).hexdigest().encode()


def publish(
    folder: Path, dataset: str, month: str, rows: int, seed: int = 0, suffix: str = ".parquet"
) -> Path:
    """Write a month's file into a folder, as TLC would publish it."""
    folder.mkdir(exist_ok=True)
    path = folder / file_name(dataset, parse_month(month), suffix)
    write_month(path, dataset, parse_month(month), rows, seed)
    return path


def succeeded(process: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Return the process, or fail with what it said."""
    assert process.returncode == 0, f"{process.args}\n{process.stdout}\n{process.stderr}"
    return process


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """The project's folder."""
    return PROJECT_DIR


@pytest.fixture(scope="session")
def data_dir() -> Path | None:
    """The folder of real files; None when it is not there."""
    return DATA_DIR


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """An embedded Postgres for the whole session; gives its TLC_LOCAL_DIR."""
    # Not pytest's tmp_path, of which the last three sessions' are kept: this one is big.
    local_dir = Path(tempfile.mkdtemp(prefix="nyc_tlc-tests-"))
    try:
        local_server.start(local_dir)
        yield local_dir
    finally:
        local_server.stop(local_dir)
        shutil.rmtree(local_server.socket_dir(local_dir), ignore_errors=True)
        shutil.rmtree(local_dir)


@pytest.fixture(scope="session")
def new_database() -> Callable[..., Any]:
    """Makes empty databases of Google's own SQL engine; `executes=True` for more than analysis."""
    try:
        from tests.googlesql.engine import Engine
        from tests.googlesql.scripts import Database
    except ImportError as error:
        reason = f"Google's SQL engine is missing, so no statement is analyzed: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    engine = Engine(PROJECT_DIR / ".local" / "googlesql")
    return functools.partial(Database, engine, PROJECT)


@pytest.fixture(scope="session")
def new_workspace(server, tmp_path_factory) -> Callable[..., Workspace]:
    """Makes workspaces: for fixtures of a wider scope than one test.

    In its warehouse all is built, and nothing has landed: building takes longer than what most
    tests look at. `built=False` is for tests of a first run, and of what makes or owns the schemas.
    `marts=True` is for tests that look at the marts, whose building takes half of a small month.
    """

    def make(marts: bool = False, built: bool = True) -> Workspace:
        prefix = f"t{next(_NUMBERS):03}_"  # as long as _NO_PREFIX
        local_dir = tmp_path_factory.mktemp(prefix)
        env = clean_env(
            TLC_TARGET="postgres",
            TLC_LOCAL_DIR=str(local_dir),
            TLC_SCHEMA_PREFIX=prefix,
            DBT_TARGET_PATH=str(local_dir / "dbt"),
            DBT_LOG_PATH=str(local_dir / "logs"),
            **NO_TESTS,  # tests of dbt's that matter to a test of ours are asked for
            **local_server.connection_env(server),
        )
        workspace = Workspace(env, local_dir, prefix, marts)
        if built:
            workspace.query(built_warehouse().replace(_NO_PREFIX.decode(), prefix))
        return workspace

    @functools.cache
    def built_warehouse() -> str:
        first = make(marts=True, built=False)
        publish(first.source, "green", "2023-01", 1)
        month = ("--dataset", "green", "--month", "2023-01", "--source", first.source)
        succeeded(first.loader("run", *month))
        return _without_months(first)

    return make


def _without_months(workspace: Workspace) -> str:
    """Return a warehouse, as if no month had landed, as SQL with _NO_PREFIX."""
    no_rows = ("*.month_files", "*._dlt_loads", "*.*_ledger", "*tlc_marts.*")
    command = [
        *(program_path("pg_dump"), "--inserts", "--rows-per-insert=1000"),
        *(f"--schema={workspace.prefix}*", "--exclude-table=*.*_20*"),
        *(f"--exclude-table-data={name}" for name in no_rows),
    ]
    done = subprocess.run(command, env=workspace.env, capture_output=True, text=True, check=True)
    # Lines with a backslash are commands of psql.
    lines = [line for line in done.stdout.split("\n") if not line.startswith("\\")]
    return "\n".join(lines).replace(workspace.prefix, _NO_PREFIX.decode())


@pytest.fixture
def workspace(request, new_workspace) -> Workspace:
    """A workspace of the test's own, with nothing landed."""
    return new_workspace(built=not request.node.get_closest_marker("empty_warehouse"))


@pytest.fixture(autouse=True)
def no_options_given() -> None:
    """A command that a test runs in this process leaves no options for another test's messages."""
    commands.remember(None, None)
