"""No password or token is left anywhere: messages, logs, dlt's and dbt's files, the warehouse."""

import base64
import contextlib
import gzip
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cdn import Behaviour, Cdn, Request, cdn, drop, html, status
from tests.conftest import IMPATIENT, PROJECT_DIR, Workspace, publish, succeeded
from tests.security.test_roles import Roles, roles, with_passwords

__all__ = ["cdn", "roles", "with_passwords"]

GREEN = ("--dataset", "green", "--month")
PASSWORD = "Pg%Secret/4711"
USER_AT_SOURCE, SOURCE_PASSWORD, TOKEN = "sourceuser", "Url+Secret&4712", "tok/Secret=4713"
GOOGLE_TOKEN = "ya29.Secret4714"


def forms(secret: str) -> set[bytes]:
    """Give the ways in which a secret may be written."""
    texts = {secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1]}
    texts.add(secret.replace("/", "\\/"))
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {text.encode() for text in (*texts, encoded[:-1])} | {secret.encode("utf-16-le")}


def unpacked(content: bytes) -> list[bytes]:
    """Give a file's bytes, and what they are when they are compressed."""
    found = [content]
    for unpack in (gzip.decompress, zlib.decompress):
        with contextlib.suppress(OSError, zlib.error, EOFError):
            found.append(unpack(content))
    return found


def leaks(secrets: tuple[str, ...], folders: tuple[Path, ...], *said: str) -> list[str]:
    """Tell where a secret is found, in files or in what was said."""
    wanted = {form for secret in secrets for form in forms(secret)}
    places = {f"said {n}": [text.encode()] for n, text in enumerate(said)}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                places[str(path)] = unpacked(path.read_bytes())
    return [p for p, texts in places.items() if any(w in text for w in wanted for text in texts)]


def everything_stored(workspace: Workspace) -> str:
    """Give all rows and comments of the workspace's schemas as text."""
    tables = workspace.query(
        "select c.oid::regclass::text from pg_class as c join pg_namespace as n"
        " on n.oid = relnamespace where starts_with(nspname, %s) and relkind in ('r', 'p', 'v')",
        workspace.prefix,
    )
    rows = [workspace.query(f"select t::text from {table} as t") for (table,) in tables]
    comments = workspace.query("select description from pg_description where objoid > 16384")
    return str((rows, comments))


@pytest.fixture
def workspace_with_password(roles: Roles) -> Workspace:
    """A workspace whose user loads and builds, and has a password that would be noticed."""
    name = roles.name("transformer")
    roles.owner.query(f"grant {roles.name('loader')} to {name}")
    roles.owner.query(f"alter role {name} password %s", PASSWORD)
    env = roles.owner.env | {"PGUSER": name, "PGPASSWORD": PASSWORD}
    # dbt's and dlt's own folders, as they are without a test's settings.
    for variable in ("DBT_TARGET_PATH", "DBT_LOG_PATH"):
        env.pop(variable)
    return Workspace(env, roles.owner.local_dir, roles.owner.prefix)


@pytest.mark.slow
def test_a_password_and_a_token_are_nowhere(workspace_with_password, cdn):
    workspace = workspace_with_password
    path = publish(cdn.folder, "green", "2023-01", 40)
    publish(cdn.folder, "fhv", "2023-01", 1)  # what doctor looks for
    query = f"?token={quote(TOKEN, safe='')}&part=1"
    login = f"{USER_AT_SOURCE}:{quote(SOURCE_PASSWORD, safe='')}"
    source = f"{cdn.url.replace('://', f'://{login}@')}{query}"
    said = []

    def say(process) -> int:
        said.extend((process.stdout, process.stderr))
        return process.returncode

    run = ("run", *GREEN, "2023-01", "--target", "postgres")
    targets = workspace.local_dir / "target"
    dbt = {"DBT_TARGET_PATH": str(targets), "DBT_LOG_PATH": str(workspace.local_dir / "logs")}
    # What goes well, the source asking for both.
    assert say(workspace.loader(*run, "--keep-raw", "--keep-files", TLC_SOURCE=source)) == 0
    (asked,) = cdn.asked("GET", path.name)
    assert asked.path.endswith(f"{path.name}{query}")
    assert asked.headers["Authorization"].startswith("Basic ")
    assert say(workspace.loader("status", "--json", TLC_SOURCE=source)) == 0
    assert say(workspace.loader("doctor", TLC_SOURCE=source)) == 0
    assert say(workspace.loader("mirror", *GREEN, "2023-01", workspace.local_dir / "copy",
                                TLC_SOURCE=source)) == 0  # fmt: skip
    assert say(workspace.dbt("build", "--vars", "{month: 2023-01}", **dbt)) == 0
    assert say(workspace.dbt("debug", **dbt)) in (0, 1)

    # What fails: the source …
    for behaviours, code in (
        ([status(401)], 4),
        ([drop()] * 9, 4),
        ([html()], 5),
        ([status(503, Retry_After="0")] * 9, 4),
    ):
        publish(cdn.folder, "green", "2023-01", 41 + code + len(behaviours))
        (workspace.local_dir / "downloads" / path.name).unlink(missing_ok=True)
        cdn.script(path.name, behaviours, method="GET")
        assert say(workspace.python(IMPATIENT, *run, TLC_SOURCE=source)) == code
    dead = source.replace(cdn.host, "127.0.0.1:1")
    assert say(workspace.python(IMPATIENT, *run, TLC_SOURCE=dead)) == 4
    assert say(workspace.loader("doctor", TLC_SOURCE=dead)) == 4
    # … and the warehouse, password and host, of the loader and of dbt.
    for env in ({"PGPASSWORD": f"{PASSWORD}!"}, {"PGHOST": "127.0.0.1", "PGPORT": "1"}):
        assert say(workspace.loader(*run, TLC_SOURCE=source, **env)) == 6
        assert say(workspace.dbt("build", **dbt, **env)) != 0
        assert say(workspace.dbt("debug", **dbt, **env)) != 0
    # dlt's own commands, on what it keeps.
    for command in ("info", "trace"):
        process = workspace.python(
            "import sys; from dlt._workspace.cli._dlt import _main; sys.argv[0] = 'dlt';"
            " sys.exit(_main())",
            "pipeline", "--pipelines-dir", workspace.local_dir / "dlt" / "pipelines", "nyc_tlc",
            command,
        )  # fmt: skip
        assert say(process) == 0

    secrets = (PASSWORD, SOURCE_PASSWORD, USER_AT_SOURCE, TOKEN)
    folders = (workspace.local_dir, PROJECT_DIR / "target", PROJECT_DIR / "logs")
    log = (workspace.local_dir / "logs" / "loader.log").read_text()
    assert "Traceback" in log
    assert "?***" in log
    assert len(list(workspace.local_dir.rglob("*"))) > 50
    assert leaks(secrets, folders, everything_stored(workspace), *said) == []
    assert "Traceback" not in "".join(said)


def test_the_search_finds_what_is_there(tmp_path):
    for content in (
        PASSWORD.encode(),
        b"x=" + quote(PASSWORD, safe="").encode(),
        gzip.compress(b"a" + PASSWORD.encode()),
        zlib.compress(PASSWORD.encode()),
        base64.b64encode(PASSWORD.encode()),
    ):
        (tmp_path / "file").write_bytes(content)
        assert leaks((PASSWORD,), (tmp_path,)) == [str(tmp_path / "file")]
    assert leaks((PASSWORD,), (), "nothing", f"it is {PASSWORD}") == ["said 1"]


# ---- BigQuery ------------------------------------------------------------------------------------


class RefusingGoogle(Cdn):
    """Google, to somebody whose token has expired."""

    def record(self, request: Request) -> Behaviour:
        body = b'{"error": {"code": 403, "message": "Access denied", "errors": []}}'
        return Behaviour(403, {"Content-Type": "application/json"}, body)


def test_an_access_token_is_nowhere(workspace):
    google = RefusingGoogle(workspace.source)
    publish(workspace.source, "green", "2023-01", 10)
    env = {
        "TLC_TARGET": "bigquery",
        "GOOGLE_CLOUD_PROJECT": "nobodys-project",
        "BIGQUERY_ACCESS_TOKEN": GOOGLE_TOKEN,
        "BIGQUERY_EMULATOR_HOST": f"http://{google.host}",
        "TLC_SOURCE": str(workspace.source),
    }
    said = []
    for command in (("load", *GREEN, "2023-01"), ("status",), ("doctor",)):
        process = workspace.loader(*command, **env)
        assert process.returncode == 6
        assert "Access denied" in process.stdout + process.stderr
        assert "Traceback" not in process.stdout + process.stderr
        said += [process.stdout, process.stderr]
    process = workspace.dbt("build", **env)
    google.close()
    assert process.returncode != 0
    assert "Database Error" in process.stdout
    assert leaks((GOOGLE_TOKEN,), (workspace.local_dir,), process.stdout, *said) == []
    assert (workspace.local_dir / "logs" / "loader.log").stat().st_size
    assert (workspace.local_dir / "logs" / "dbt.log").stat().st_size
    succeeded(workspace.loader("doctor", TLC_SOURCE=str(workspace.source)))
