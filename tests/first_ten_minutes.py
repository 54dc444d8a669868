"""The first ten minutes of a new user: a fresh clone, the demo, the README, mistakes, Ctrl-C.

`make first-ten-minutes`; part of `make test-all`. It types what the README says, in its order, with
a folder of month files as source: TLC's own when the machine has them, generated ones otherwise. It
prints every command and its output, and stops at the first that a person wouldn't expect.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TLC_TEST_DATA") or PROJECT_DIR.parent / "shared" / "data")
GREEN = ("--dataset", "green", "--month")
#: Commands of the README that need a server elsewhere, or an hour.
ELSEWHERE = re.compile(r"…|make test|make bench|WITH=|bigquery|target postgres")
OURS = ("TLC_", "PG", "DBT_", "DLT_", "VIRTUAL_ENV", "PYTHON", "MAKE", "MFLAGS")

#: More of them are in tests/unit/test_command_line.py and tests/postgres/test_cli.py.
TYPOS = (
    ("run --dataset green --month 2023-01 --target locl", "unknown target 'locl'"),
    ("available --dataset gren", "unknown dataset 'gren'"),
    ("doctor --for everything", "unknown work 'everything'"),
    ("mirror --dataset green --month 2023-01", "Missing argument"),
    ("statsu", "Did you mean 'status'?"),
)
VIEW = """
create schema mine;
create view mine.trips_by_zone as
select pickup_location_id, count(*) as trips from tlc_marts.trips group by pickup_location_id;
create materialized view mine.fares as
select file_month, sum(fare_amount) as fares from tlc.green_tripdata group by file_month;
"""


@dataclass
class Shell:
    """A terminal in the clone: what one command exports, the next one sees."""

    folder: Path
    env: dict[str, str]
    before: list[str] = field(default_factory=list)

    def type(self, command: str, expect: int = 0, said: str = "") -> subprocess.CompletedProcess:
        """Run a command; stop unless it ends with this code and says this."""
        print(f"\n$ {command}", flush=True)
        started = time.monotonic()
        process = subprocess.run(
            ["bash", "-c", "\n".join([*self.before, command])],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        print(process.stdout + process.stderr, end="")
        print(f"[exit {process.returncode}, {time.monotonic() - started:.1f} s]", flush=True)
        assert process.returncode == expect, f"exit {process.returncode}, not {expect}"
        output = process.stdout + process.stderr
        assert said in output, f"it doesn't say {said!r}"
        assert "Traceback" not in output
        if command.startswith((". ", "export ")):
            self.before.append(command)
        return process

    def interrupt(self, command: str, after: str) -> str:
        """Run a command, and press Ctrl-C when it has said this; return what it said."""
        print(f"\n$ {command}    # Ctrl-C after {after!r}", flush=True)
        process = subprocess.Popen(
            ["bash", "-c", "\n".join([*self.before, f"exec {command}"])],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines = []
        for line in process.stdout:
            lines.append(line)
            if after in line:
                # A terminal sends it to all processes of the group.
                os.killpg(process.pid, signal.SIGINT)
                break
        output = "".join(lines) + process.stdout.read()
        code = process.wait()
        print(f"{output}[exit {code}]", flush=True)
        assert code == 130, f"exit {code}, not 130"
        assert "Traceback" not in output
        assert "stopped" in output
        return output

    def ledger(self) -> list[dict]:
        """Return what `status` says of every month."""
        return json.loads(self.type("nyc-tlc status --json").stdout)


def readme_commands() -> list[str]:
    """List what the README has one type, in order."""
    text = (PROJECT_DIR / "README.md").read_text()
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.M | re.S)
    lines = [
        line[2:].split("  #")[0].strip()
        for b in blocks
        for line in b.splitlines()
        if line[:2] == "$ "
    ]
    return [line for line in lines if not ELSEWHERE.search(line)]


def make_sources(shell: Shell, folder: Path) -> tuple[Path, Path]:
    """Make a folder of two green months, and one in which the second is another version."""
    first, second = folder / "published", folder / "republished"
    real = DATA / "trip-data"
    for source in (first, second):
        source.mkdir()
        for month in ("2023-01", "2023-02"):
            name = f"green_tripdata_{month}.parquet"
            if real.is_dir():
                republished = DATA / "republished" / name
                path = republished if source == second and republished.exists() else real / name
                shutil.copy(path, source / name)
            else:
                seed = 1 if source == second and month == "2023-02" else 0
                options = f"--rows 5000 --seed {seed} {' '.join(GREEN)} {month}"
                shell.type(f"python -m loader.sample {options} {source}")
    return first, second


def main() -> None:
    """Live them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # `&` in a script has it ignored
    folder = Path(tempfile.mkdtemp(prefix="nyc_tlc-first-"))
    folder.chmod(0o755)  # the embedded server of root is another user's
    clone = folder / "nyc_tlc"
    env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    subprocess.run(["git", "clone", "--quiet", PROJECT_DIR, clone], check=True)
    shell = Shell(clone, env | {"COLUMNS": "200"})
    try:
        live(shell, folder)
    finally:
        shell.type("make clean")
        shutil.rmtree(folder)


def live(shell: Shell, folder: Path) -> None:
    """Type what a new user types."""
    shell.type("make demo", said="merged")
    again = shell.type("make demo")
    assert again.stdout.count("nothing to do") == 4
    of_demo = Shell(shell.folder, shell.env)
    for command in suggestions(again.stdout):
        of_demo.type(command)
    assert {row["month"] for row in of_demo.ledger()} == {"2023-01", "2023-02", "2023-03"}

    activate = ". .venv/bin/activate"
    shell.type(activate)
    published, republished = make_sources(shell, folder)
    shell.type(f"export TLC_SOURCE={shlex.quote(str(published))}")
    commands = readme_commands()
    assert activate in commands
    assert any(command.startswith("nyc-tlc run") for command in commands)
    for command in commands:
        shell.type(command)
    assert {row["state"] for row in shell.ledger()} == {"merged"}

    shell.type(f"nyc-tlc postgres psql -v ON_ERROR_STOP=1 -c {shlex.quote(VIEW)}")
    for arguments, said in TYPOS:
        process = shell.type(f"nyc-tlc {arguments}", expect=2, said=said)
        assert len(process.stderr.splitlines()) == 1
        assert process.stdout == ""

    before = shell.ledger()
    run = f"nyc-tlc run {' '.join(GREEN)} 2023-01 --to 2023-02"
    for after in ("download", "copy", "merge"):
        shell.interrupt(f"{run} --source {republished} --force", after)
        assert {row["state"] for row in shell.ledger()} <= {"merged", "landed, not merged"}
        shell.type(f"{run} --source {published} --force")
        assert facts(shell.ledger()) == facts(before)

    # TLC publishes February again.
    shell.type(f"{run} --source {republished}", said="merged")
    assert facts(shell.ledger()) != facts(before)
    for name in ("trips_by_zone", "fares"):
        shell.type(f"nyc-tlc postgres psql -v ON_ERROR_STOP=1 -c 'table mine.{name}'")

    before = shell.ledger()
    shell.type("make demo")
    assert shell.ledger() == before
    assert not any("demo" in row["source_url"] for row in before)
    shell.type("make demo-clean")


def suggestions(output: str) -> list[str]:
    """List what the demo says one can try with its trips, in order."""
    lines = output.partition("To try more")[2].partition("Real trips")[0].splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("  ")]


def facts(ledger: list[dict]) -> list[tuple]:
    """Return what a ledger says of the months, without the times."""
    return [
        (row["dataset"], row["month"], row["state"], row["table_rows"], row["sha256"])
        for row in ledger
    ]


if __name__ == "__main__":
    main()
