"""Malformed month files through the whole landing: refused with exit 5, or loaded right.

`python -m tests.security.fuzz --rounds 5000 --seed 1`, or `make fuzz ROUNDS=5000 SEED=1`. Landings
run in a process of their own, with a limit of memory and of time for each, so that a crash or a
hang of the Parquet reader is seen. `--first 1234 --rounds 1` replays one.
"""

import argparse
import csv
import datetime as dt
import gzip
import io
import json
import os
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from loader.calendar import SUFFIXES, Month, file_name
from loader.embedded import local_server
from loader.errors import FileRefusedError
from loader.landing.land import fetch_month, land_month
from loader.months.state import read_state
from loader.settings import PROJECT_DIR, Settings
from loader.terminal.progress import Reporter
from loader.warehouse.connect import connect_warehouse
from loader.warehouse.postgres import PostgresWarehouse
from tests import exact
from tests.security.mutants import MONTHS, Mutant, good_table, mutant

SECONDS = 60
MEMORY_BYTES = 4 << 30
#: Columns that nobody knows stay in the raw table: now and then it begins anew.
FRESH_EVERY = 100

# ---- What a landed file should look like, told without the loader --------------------------------


def expected(one: Mutant) -> tuple[dict[str, list], list[list | int]]:
    """Read a file, whole and from memory, as its rows should be in the raw table.

    The values of the contract's columns by name; and of each column besides, in the file's order,
    what `_shown` gives.
    """
    kinds = exact.columns_of(one.dataset)
    known = {name.lower(): exact.header(name) for name in good_table(one.dataset).column_names}
    is_csv = one.suffix != ".parquet"
    columns = _csv_columns(one) if is_csv else _parquet_columns(one)
    rows = len(columns[0][1])
    values: dict[str, list] = {name: [None] * rows for name in kinds}
    others = []
    for name, column in columns:
        raw_name = known.get(name.lower())
        if raw_name is None:
            shown = _shown(column)
            others.append([text or None for text in shown] if is_csv else shown)
            continue
        if is_csv:
            parsed = [_parsed(field, kinds[raw_name]) for field in column.to_pylist()]
            column = pa.chunked_array([pa.array(parsed)])
        cast = column.cast(kinds[raw_name])
        cast.validate(full=True)
        values[raw_name] = exact.cleaned(raw_name, cast).to_pylist()
    return values | {"_file_row": list(range(1, rows + 1))}, others


def _parquet_columns(one: Mutant) -> list[tuple[str, pa.ChunkedArray]]:
    table = pq.ParquetFile(pa.BufferReader(one.content), coerce_int96_timestamp_unit="us").read()
    return list(zip(table.column_names, table.columns, strict=True))


def _csv_columns(one: Mutant) -> list[tuple[str, pa.Array]]:
    content = gzip.decompress(one.content) if one.suffix.endswith(".gz") else one.content
    lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    names, *rows = [row for row in csv.reader(lines) if row]
    columns = [pa.array(fields, pa.string()) for fields in zip(*rows, strict=True)]
    return list(zip(map(str.strip, names), columns, strict=True))


def _parsed(field: str, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return field or None
    plain = field.strip()
    if not plain:
        return None
    if pa.types.is_timestamp(kind):
        return dt.datetime.strptime(plain, "%Y-%m-%d %H:%M:%S")
    return float(plain)


def _shown(column: pa.ChunkedArray | pa.Array) -> list[str | None] | int:
    """Give text and whole numbers as text; of other types only the number of NULLs."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    texts = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    try:
        column.validate(full=True)
        plain = column.to_pylist() if texts or pa.types.is_integer(column.type) else None
    except pa.ArrowInvalid:  # no UTF-8
        plain = None
    if plain is None:
        return column.null_count
    return [None if value is None else str(value).replace("\0", "") for value in plain]


# ---- The process that lands ----------------------------------------------------------------------


class _Landings:
    """Lands mutants one after the other, and compares what the warehouse holds then."""

    def __init__(self, local_dir: Path) -> None:
        self.source = local_dir / "source"
        self.source.mkdir(exist_ok=True)
        self.settings = Settings("local", str(self.source), local_dir, "")
        warehouse = connect_warehouse(self.settings)
        assert isinstance(warehouse, PostgresWarehouse)
        self.warehouse = warehouse
        self.reporter = Reporter(Console(file=io.StringIO()))
        self.landed: list[list[tuple]] = []

    def land(self, one: Mutant) -> tuple[str, str]:
        """Land a mutant: refused, loaded or wrong; and the message, or what is wrong."""
        dataset, month = one.dataset, MONTHS[one.dataset]
        for suffix in SUFFIXES:
            (self.source / file_name(dataset, month, suffix)).unlink(missing_ok=True)
        (self.source / file_name(dataset, month, one.suffix)).write_bytes(one.content)
        before = self._state()
        try:
            state = read_state(self.warehouse, Month(dataset, month))
            file = fetch_month(self.settings, state.month, state.landed, self.reporter)
            versions = state.landed, state.merged
            land_month(self.settings, self.warehouse, file, *versions, self.reporter)
        except FileRefusedError as error:
            if len(str(error).splitlines()) != 1 or not str(error).isprintable():
                return "wrong", f"the message isn't one line: {error!r}"
            if self._state() != before:
                return "wrong", f"refused, but something changed: {error}"
            return "refused", str(error)
        except Exception as error:  # whatever it is, it should have been a refusal
            return "wrong", f"{type(error).__name__}: {error}"
        difference = self._difference(one)
        return ("wrong", difference) if difference else ("loaded", "")

    def _difference(self, one: Mutant) -> str | None:
        try:
            values, others = expected(one)
        except Exception as error:
            return f"loaded, but pyarrow can't read it whole: {error}"
        landed = {version.dataset: version for version in self.warehouse.landed_versions()}
        version = landed[one.dataset]
        names = [name for name in (version.unknown_columns or "").split(",") if name]
        if len(names) != len(others):
            return f"{len(others)} columns are not of the contract, landed: {names}"
        columns = ", ".join(f'"{name}"' for name in [*values, *names])
        table = f"tlc_raw.{one.dataset}_tripdata"
        rows = self._query(f"select {columns} from {table} order by _file_row")
        actual = list(zip(*rows, strict=True)) or [()] * (len(values) + len(names))
        for name, wanted, found in zip(values, values.values(), actual, strict=False):
            # By their texts: NaN is not equal to itself.
            if list(map(repr, wanted)) != list(map(repr, found)):
                return f"column {name} differs from what is in the file"
        for name, wanted, found in zip(names, others, actual[len(values) :], strict=True):
            if wanted != (found.count(None) if isinstance(wanted, int) else list(found)):
                return f"unknown column {name} differs from what is in the file"
        return None

    def _state(self) -> list[tuple]:
        """Tell the versions on record, and the tables that hold their rows."""
        if self._query("select to_regclass('tlc_raw.month_files')") == [(None,)]:
            return []
        return self._query(
            "select sha256, landed_rows, landed_at::text from tlc_raw.month_files union all"
            " select inhrelid::regclass::text, 0, '' from pg_inherits"
            " where inhparent::regclass::text like 'tlc_raw.%' order by 1"
        )

    def begin_anew(self) -> None:
        """Drop all that landed."""
        self._query("drop schema if exists tlc_raw cascade")
        shutil.rmtree(self.settings.local_dir / "dlt", ignore_errors=True)

    def _query(self, query: str) -> list[tuple]:
        with self.warehouse.connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []


def work() -> None:
    """Land the mutants that the arguments name, and print what became of each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    seed, start, stop = map(int, sys.argv[1:])
    landings = _Landings(Path(os.environ["TLC_LOCAL_DIR"]))
    for number in range(start, stop):
        if number % FRESH_EVERY == 0 or number == start:
            landings.begin_anew()
        outcome, detail = landings.land(mutant(seed, number))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([number, outcome, detail, peak]), flush=True)


# ---- The process that watches --------------------------------------------------------------------


def outcomes(local_dir: Path, seed: int, numbers: range) -> Iterator[list[Any]]:
    """Have mutants landed, in as many processes as it takes; the server of the folder is up.

    Gives the mutant's number, what `land` says, and the process's peak of memory in KiB.
    """
    while numbers:
        code = "from tests.security import fuzz; fuzz.work()"
        log = local_dir / "fuzz.log"
        with (
            log.open("w") as stderr,
            subprocess.Popen(
                [sys.executable, "-c", code, *map(str, (seed, numbers.start, numbers.stop))],
                cwd=PROJECT_DIR,
                env=os.environ | {"TLC_LOCAL_DIR": str(local_dir)},
                stdout=subprocess.PIPE,
                stderr=stderr,
            ) as worker,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(worker.stdout, selectors.EVENT_READ)
            while numbers:
                heard = selector.select(SECONDS)
                line = worker.stdout.readline() if heard else b""
                if not line:
                    worker.kill()
                    ended = f"exit code {worker.wait()}" if heard else f"no end in {SECONDS} s"
                    said = log.read_text(errors="replace").splitlines()[-3:]
                    yield [numbers.start, "wrong", f"crash or hang: {ended}: {said}", 0]
                else:
                    yield json.loads(line)
                numbers = numbers[1:]
                if not line:
                    break


def main() -> int:
    """Run mutants, and tell of those that went wrong; the last line counts them all."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    of_kind: dict[str, Counter[str]] = {}
    peak = 0
    local_dir = Path(tempfile.mkdtemp(prefix="nyc_tlc-fuzz-"))
    try:
        local_server.start(local_dir)
        numbers = range(options.first, options.first + options.rounds)
        for number, outcome, detail, memory in outcomes(local_dir, options.seed, numbers):
            one = mutant(options.seed, number)
            kind = f"{one.dataset}: {one.kind}"
            counts[outcome] += 1
            of_kind.setdefault(kind, Counter())[outcome] += 1
            peak = max(peak, memory)
            if outcome == "wrong":
                print(f"seed {options.seed}, mutant {number} ({kind}): {detail}", flush=True)
    finally:
        local_server.stop(local_dir)
        shutil.rmtree(local_server.socket_dir(local_dir), ignore_errors=True)
        shutil.rmtree(local_dir)
    for kind, told in sorted(of_kind.items()):
        print(f"{kind:<35} {told['refused']:6} refused {told['loaded']:6} loaded")
    print(f"peak of memory {peak / 1024:,.0f} MiB")
    print(
        f"{options.rounds} mutants: {counts['refused']} refused,"
        f" {counts['loaded']} loaded right, {counts['wrong']} wrong"
    )
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
