"""Settings: environment variables, read once, and those of `.env` in the working folder."""

import datetime as dt
import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from dotenv import load_dotenv

from loader.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent
IS_CHECKOUT = (_PACKAGE.parent / "dbt_project.yml").exists()
#: The dbt project: the checkout, or a copy in the installed package.
PROJECT_DIR = _PACKAGE.parent if IS_CHECKOUT else _PACKAGE / "project"
#: Where `.env` and relative paths are: the checkout, or wherever the installed program runs.
WORK_DIR = PROJECT_DIR if IS_CHECKOUT else Path.cwd()
TLC_CDN = "https://d37ci6vzurychx.cloudfront.net/trip-data"
#: TLC's shapes of its taxi zones, on the same server.
TLC_SHAPES = "https://d37ci6vzurychx.cloudfront.net/misc/taxi_zones.zip"
TARGETS = ("local", "postgres", "bigquery")

_Number = TypeVar("_Number", int, float)
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,20}|")


@dataclass(frozen=True)
class Settings:
    """The settings of a command."""

    target: str  #: the warehouse: local, postgres or bigquery
    source: str  #: base URL or folder of the month files
    local_dir: Path  #: the embedded server's data, downloads, dlt's working directory (absolute)
    schema_prefix: str  #: put before each schema's name, for environments side by side
    shapes: str = TLC_SHAPES  #: TLC's zone shapes: address of the zip, or a folder that holds it
    #: share of a month's rows that a new version may lack and still be merged
    max_row_drop: float = 0.5
    lock_seconds: int = 60  #: how long to wait for a table that another session uses
    max_bytes_billed: int = 100_000_000_000  #: the most that a query on BigQuery may be billed for
    price_per_tib: float = 6.25  #: dollars for a TiB that BigQuery bills
    #: the date it is in New York, or that TLC_TODAY says it is
    today: dt.date = field(default_factory=lambda: _today(None))

    @property
    def raw_schema(self) -> str:
        """Name of the schema that month files land in."""
        return f"{self.schema_prefix}tlc_raw"

    @property
    def schema(self) -> str:
        """Name of the schema of the trips tables and the ledger."""
        return f"{self.schema_prefix}tlc"

    @property
    def marts_schema(self) -> str:
        """Name of the schema of the marts."""
        return f"{self.schema}_marts"

    @property
    def built_schemas(self) -> tuple[str, ...]:
        """Names of the schemas that dbt builds in."""
        return (self.schema, f"{self.schema}_staging", self.marts_schema)


def local_directory() -> Path:
    """Return the directory for all local data (absolute)."""
    # profiles.yml builds exactly the same path: the embedded server's socket directory is named
    # after it.
    return WORK_DIR / (os.environ.get("TLC_LOCAL_DIR") or ".local")


def cores() -> int:
    """Return how many cores to use: TLC_CORES, or this machine's."""
    return _number("TLC_CORES", int, 1, 1_024, os.cpu_count() or 1)


def install_command(extra: str) -> str:
    """Return the command that installs an extra of the package, from any directory."""
    if not IS_CHECKOUT:
        return f"pip install 'nyc-tlc[{extra}]'"
    folder = "" if Path.cwd() == PROJECT_DIR else f" -C {shlex.quote(str(PROJECT_DIR))}"
    return f"make{folder} install WITH={extra}"


def export_settings() -> None:
    """Read `.env`, and set what dbt and dlt need to find the project; what is set already stays."""
    load_dotenv(WORK_DIR / ".env")
    local = local_directory()
    # Absolute: dbt and dlt read it in another directory.
    os.environ["TLC_LOCAL_DIR"] = str(local)
    paths = {
        "DBT_PROJECT_DIR": PROJECT_DIR,
        "DBT_PROFILES_DIR": PROJECT_DIR,
        "DLT_PROJECT_DIR": PROJECT_DIR,
        "DLT_DATA_DIR": local / "dlt",
    }
    if not IS_CHECKOUT:  # where dbt writes by default, an installed package isn't to be changed
        paths |= {"DBT_TARGET_PATH": local / "target", "DBT_LOG_PATH": local / "logs"}
    for name, path in paths.items():
        os.environ.setdefault(name, str(path))


def load_settings(target: str | None = None, source: str | None = None) -> Settings:
    """Read and check the settings from the environment and `.env`; options win over both."""
    export_settings()
    target = target or os.environ.get("TLC_TARGET") or "local"
    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}: choose from {', '.join(TARGETS)}")
    prefix = os.environ.get("TLC_SCHEMA_PREFIX", "")
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"TLC_SCHEMA_PREFIX={prefix!r}: use at most 21 lower-case letters, digits and _,"
            " a letter first"
        )
    return Settings(
        target=target,
        source=(source or os.environ.get("TLC_SOURCE") or TLC_CDN).rstrip("/"),
        local_dir=local_directory(),
        schema_prefix=prefix,
        shapes=os.environ.get("TLC_SHAPES") or TLC_SHAPES,
        max_row_drop=_number("TLC_MAX_ROW_DROP", float, 0, 1, Settings.max_row_drop),
        lock_seconds=_number("TLC_LOCK_SECONDS", int, 1, 86_400, Settings.lock_seconds),
        max_bytes_billed=_number("TLC_MAX_BYTES_BILLED", int, 1, 2**60, Settings.max_bytes_billed),
        price_per_tib=_number("TLC_PRICE_PER_TIB", float, 0, 1_000, Settings.price_per_tib),
        today=_today(os.environ.get("TLC_TODAY")),
    )


def _today(text: str | None) -> dt.date:
    if not text:
        return dt.datetime.now(ZoneInfo("America/New_York")).date()
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"TLC_TODAY={text!r}: write YYYY-MM-DD") from error


def _number(
    name: str, kind: type[_Number], lowest: _Number, highest: _Number, default: _Number
) -> _Number:
    text = os.environ.get(name) or str(default)
    try:
        number = kind(text)
    except ValueError:
        number = None
    # NaN is not between anything.
    if number is None or not lowest <= number <= highest:
        raise UsageError(f"{name}={text!r}: write a number from {lowest} to {highest}")
    return number
