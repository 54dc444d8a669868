"""Try the loader on the real BigQuery: one month, twice, compared with its file, and cleaned up.

    GOOGLE_CLOUD_PROJECT=my-project python scripts/try_bigquery.py

It makes a bucket and four datasets of its own, loads a month of green, then the same month changed
as if TLC had republished it, and compares every row and id with the file. Then it asks the service
what no emulator knows: what a partition keeps that expires, which transactions it runs side by
side, and what a DELETE reads. With --account it does its work with the least roles of
docs/bigquery.md, as a service account that you may impersonate, such as the one of
scripts/gcp_setup.sh. It costs a cent at most. At the end all of it is deleted, also after an error,
and a report is written, without the project's name: please send it to us, as an issue, whatever
came out.
"""

import argparse
import datetime as dt
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google.auth
import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPIError
from google.auth import impersonated_credentials
from google.auth.transport.requests import Request
from google.cloud import bigquery, storage
from google.oauth2.credentials import Credentials

PROJECT_DIR = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT_DIR))

from loader.settings import TLC_CDN  # noqa: E402
from tests import exact  # noqa: E402

DATASET = "green"
SCHEMAS = ("tlc_raw", "tlc_staging", "tlc", "tlc_marts")
#: Computed in tests/bigquery/test_bill.py: the most bytes that a row costs with its marts, and
#: small tables that are read.
BYTES_A_ROW, SMALL_TABLES, SMALL_BYTES = 1_190, 60, 10 * 2**20


class Trial:
    """One trial: its names, its clients, and its report."""

    def __init__(self, month: str, source: str, account: str | None, folder: Path) -> None:
        self.month, self.source, self.folder = month, source, folder
        self.project = os.environ["GOOGLE_CLOUD_PROJECT"]
        self.location = os.environ.get("BIGQUERY_LOCATION") or "US"
        token = os.environ.get("BIGQUERY_ACCESS_TOKEN")
        credentials = Credentials(token=token) if token else google.auth.default()[0]
        self.client = bigquery.Client(self.project, credentials, location=self.location)
        self.storage = storage.Client(self.project, credentials)
        self.account = account
        self.rights: dict[str, str] = {}  #: of the loader, if they aren't yours
        if account:
            least = impersonated_credentials.Credentials(
                credentials, account, ["https://www.googleapis.com/auth/cloud-platform"]
            )
            least.refresh(Request())
            self.rights["BIGQUERY_ACCESS_TOKEN"] = least.token
        self.prefix = f"try{secrets.token_hex(3)}_"
        self.tlc = f"{self.project}.{self.prefix}tlc"
        self.bucket = f"nyc-tlc-{self.prefix.strip('_')}"
        self.began = dt.datetime.now(dt.UTC)
        self.lines = [f"# Trial of {self.began:%Y-%m-%d}, location {self.location}", ""]

    def say(self, line: str) -> None:
        """Print a line, which is in the report, too."""
        print(line, flush=True)
        self.lines.append(line.replace(self.project, "PROJECT"))

    @contextmanager
    def places(self) -> Iterator[None]:
        """Make the bucket and the datasets, and delete them in the end."""
        self.storage.create_bucket(self.bucket, location=self.location)
        try:
            for schema in SCHEMAS:
                dataset = bigquery.Dataset(f"{self.project}.{self.prefix}{schema}")
                dataset.location = self.location
                self.client.create_dataset(dataset)
                if self.account:
                    self.client.query_and_wait(
                        f"grant `roles/bigquery.dataEditor` on schema `{self.project}`."
                        f"{self.prefix}{schema} to 'serviceAccount:{self.account}'"
                    )
            if self.account:
                bucket = self.storage.bucket(self.bucket)
                policy = bucket.get_iam_policy(requested_policy_version=3)
                member = {f"serviceAccount:{self.account}"}
                policy.bindings.append({"role": "roles/storage.objectAdmin", "members": member})
                bucket.set_iam_policy(policy)
            yield
        finally:
            for schema in SCHEMAS:
                name = f"{self.project}.{self.prefix}{schema}"
                self.client.delete_dataset(name, delete_contents=True, not_found_ok=True)
            self.storage.bucket(self.bucket).delete(force=True)

    def loader(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the loader."""
        return subprocess.run(
            [sys.executable, "-m", "loader", *arguments],
            cwd=PROJECT_DIR,
            env=os.environ
            | {
                "TLC_TARGET": "bigquery",
                "TLC_BUCKET": f"gs://{self.bucket}",
                "TLC_SCHEMA_PREFIX": self.prefix,
                "TLC_LOCAL_DIR": str(self.folder),
                "DBT_TARGET_PATH": str(self.folder / "dbt"),
                "DBT_LOG_PATH": str(self.folder / "logs"),
            }
            | self.rights,
            stdout=subprocess.PIPE,
            text=True,
        )

    def doctor(self) -> None:
        """Report what doctor says of the project, billing and rights included."""
        who = "an account with the least roles" if self.account else "your account"
        done = self.loader("doctor", "--source", self.source)
        target = [line for line in done.stdout.splitlines() if "target" in line]
        self.say(f"- doctor, by {who}: exit {done.returncode}: {' '.join(target).strip()}")

    def run(self, source: str) -> dict[str, Any]:
        """Run the loader for the month; return what it reports."""
        began = time.monotonic()
        month = ("--dataset", DATASET, "--month", self.month, "--source", source)
        done = self.loader("run", "--json", "--keep-files", *month)
        report = json.loads(done.stdout or "[{}]")[0]
        self.say(
            f"- run: exit {done.returncode}, {report.get('state')}, {report.get('rows')} rows,"
            f" {report.get('rows_added')} added, {report.get('rows_removed')} removed,"
            f" {report.get('rows_unchanged')} unchanged, {time.monotonic() - began:.0f} s"
        )
        if done.returncode:
            raise SystemExit(f"the run failed: {report.get('error')}")
        return report

    def compare(self, path: Path) -> None:
        """Compare the table with a file, row by row, and the ids with those that are documented."""
        wanted = exact.expected(path, DATASET)
        names = wanted.column_names
        rows = self.client.query(
            f"select unique_row_id, {', '.join(names)} from `{self.tlc}.{DATASET}_tripdata`"
            f" where file_month = date '{self.month}-01' order by file_row"
        ).result()
        found = [tuple(row.values()) for row in rows]
        ids = exact.ids_of(wanted, DATASET, self.month)
        columns = [column.to_pylist() for column in wanted.columns]
        file_rows = list(zip(ids, *columns, strict=True))
        if sorted(map(repr, found)) != sorted(map(repr, file_rows)):
            raise SystemExit(f"the table differs from the file: {len(found)} rows")
        self.say(f"- {len(found)} rows, each column and each id: as in the file")

    def bill(self, report: dict[str, Any]) -> None:
        """Report what was billed beside what is computed."""
        computed = (report["rows"] * BYTES_A_ROW + SMALL_TABLES * SMALL_BYTES) / 1e6
        billed = "- billed: unknown, jobs may not be listed;"  # the least roles don't include this
        if report["bytes_billed"] is not None:
            dollars = f"(${report['dollars']:.4f})"
            billed = f"- billed {report['bytes_billed'] / 1e6:,.0f} MB {dollars},"
        self.say(f"{billed} computed {computed:,.0f} MB")

    def expire(self) -> None:
        """Report what a table keeps whose partitions expire, in a transaction and after it."""
        name = f"{self.tlc}.expiring"
        table = bigquery.Table(name, [bigquery.SchemaField("file_month", "DATE")])
        table.time_partitioning = bigquery.TimePartitioning(
            "MONTH", "file_month", expiration_ms=60 * 24 * 3_600_000
        )
        self.client.create_table(table)
        month = f"date '{self.month}-01'"
        ((inside,),) = self.client.query_and_wait(
            f"begin transaction; insert into `{name}` (file_month) values ({month}), ({month});"
            f" create temp table inside as select count(*) as n from `{name}`;"
            " commit transaction; select n from inside"
        )
        ((after,),) = self.client.query_and_wait(f"select count(*) from `{name}`")
        self.say(f"- of 2 rows in an expired partition: {inside} in the transaction, {after} after")
        refused = self.loader("doctor", "--source", self.source).returncode
        self.say(f"- doctor with a table that expires: exit {refused}")
        self.client.delete_table(name)

    def side_by_side(self) -> None:
        """Report which transactions on one table the service runs at once."""
        name = f"`{self.tlc}.together`"
        self.client.query_and_wait(f"create table {name} as select 0 as n")
        takes_time = (
            "select count(*) from unnest(generate_array(1, 20000000)) as n where mod(n, 7) = 3;"
        )

        def change(statement: str) -> str:
            script = f"begin transaction; {statement}; {takes_time} commit transaction;"
            try:
                self.client.query_and_wait(script)
            except GoogleAPIError as error:
                return "aborted" if "concurrent update" in str(error) else f"{error}"
            return "committed"

        inserts = f"insert into {name} (n) values (1)"
        updates = f"update {name} set n = 2 where true"
        for one, other in ((inserts, inserts), (inserts, updates), (updates, updates)):
            with ThreadPoolExecutor(2) as threads:
                found = ", ".join(threads.map(change, (one, other)))
            self.say(f"- {one.split()[0]} beside {other.split()[0]}: {found}")

    def reads(self) -> None:
        """Report what a DELETE of the month reads, by how it names the month, and a count."""
        table = f"`{self.tlc}.{DATASET}_tripdata`"
        month = f"date '{self.month}-01'"
        range_ = f"file_month >= {month} and file_month < date_add({month}, interval 1 month)"
        for statement in (
            f"delete from {table} where file_month = {month}",
            f"delete from {table} where {range_}",
            f"select count(*) from {table} where {range_}",
        ):
            dry = bigquery.QueryJobConfig(dry_run=True)
            read = self.client.query(statement, job_config=dry).total_bytes_processed
            self.say(f"- reads {read:,} bytes: {statement.replace(self.prefix, '')}")

    def list_jobs(self) -> None:
        """Report each job: what only the service knows."""
        self.lines += ["", "| job | statement | processed MB | billed MB | slot s | error |"]
        self.lines.append("|:--|:--|--:|--:|--:|:--|")
        for job in self.client.list_jobs(min_creation_time=self.began):
            processed = getattr(job, "total_bytes_processed", 0) or 0
            billed = getattr(job, "total_bytes_billed", 0) or 0
            slot = (getattr(job, "slot_millis", 0) or 0) / 1000
            error = (job.error_result or {}).get("reason", "")
            statement = getattr(job, "statement_type", "") or ""
            self.lines.append(
                f"| {job.job_type} | {statement} | {processed / 1e6:.1f} | {billed / 1e6:.1f}"
                f" | {slot:.1f} | {error} |"
            )


def republished(path: Path, folder: Path) -> Path:
    """Write the month as TLC might publish it again: rows reversed, one less, one changed."""
    table = pq.read_table(path)
    table = table.take(list(reversed(range(1, len(table)))))
    place = table.column_names.index("tip_amount")
    tips = table["tip_amount"].to_pylist()
    tips[0] = (tips[0] or 0) + 1
    field = table.schema.field(place)
    folder.mkdir()
    pq.write_table(table.set_column(place, field, pa.array(tips, field.type)), folder / path.name)
    return folder / path.name


def main() -> None:
    """Run the trial."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--month", default="2023-01", help="month of green; default 2023-01")
    parser.add_argument("--source", default=TLC_CDN, help="where to load it from; default TLC")
    parser.add_argument("--account", help="service account that does the work, e.g. nyc-tlc@…")
    parser.add_argument("--report", default="try-bigquery.md", type=Path)
    options = parser.parse_args()
    if not os.environ.get("GOOGLE_CLOUD_PROJECT"):
        parser.error("set GOOGLE_CLOUD_PROJECT to a project with billing")
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(options.month, options.source, options.account, Path(folder))
        try:
            with trial.places():
                trial.doctor()
                first = trial.run(options.source)
                name = f"{DATASET}_tripdata_{options.month}.parquet"
                (path,) = [*Path(folder, "downloads").glob(name), Path(options.source, name)][:1]
                trial.compare(path)
                trial.bill(first)
                changed = republished(path, Path(folder, "republished"))
                trial.bill(trial.run(str(changed.parent)))
                trial.compare(changed)
                trial.expire()
                trial.side_by_side()
                trial.reads()
                trial.list_jobs()
            trial.say("- all is deleted")
        except BaseException as error:
            trial.say(f"- failed: {type(error).__name__}: {error}")
            raise
        finally:
            options.report.write_text("\n".join(trial.lines) + "\n")
            print(f"report: {options.report}")


if __name__ == "__main__":
    main()
