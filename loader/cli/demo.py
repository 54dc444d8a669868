"""The command demo: two generated months of green and yellow, in a warehouse of their own."""

import datetime as dt
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from loader.calendar import file_name, format_month
from loader.cli.app import app
from loader.errors import LoaderError
from loader.settings import IS_CHECKOUT, load_settings

_LAST = dt.date(2023, 3, 1)
_QUERY = """
select
    dataset,
    file_month,
    count(*) as trips,
    count(*) filter (where is_reversal) as reversals,
    count(*) filter (where is_outside_file_month) as outside_month,
    round(sum(total_amount)::numeric, 2) as total_amount
from tlc_marts.trips
group by dataset, file_month
order by dataset, file_month
"""
_NEXT = """
These trips are invented, so there are not as many as TLC counted. They are in a warehouse of their
own, {folder}. To try more with them, in this shell:

{activate}  export TLC_LOCAL_DIR={folder} TLC_SOURCE={source}
  nyc-tlc sync                # loads 2023-03, which the demo left for you
  nyc-tlc report --month 2023-03
  nyc-tlc postgres psql       # SQL: select * from tlc_marts.trips limit 10;
  nyc-tlc dbt build           # builds the views again and runs dbt's tests

Real trips from TLC, in a new shell or after `unset TLC_LOCAL_DIR TLC_SOURCE`:

  nyc-tlc run --dataset green --month 2023-01

To stop and remove the demo: {remove}"""


@app.command()
def demo() -> None:
    """Load two generated months of green and yellow, without network, and report.

    They are in a warehouse of their own, in the folder `demo` of TLC_LOCAL_DIR, so that invented
    trips never mix with real ones.
    """
    folder = load_settings("local").local_dir / "demo"
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    # Absolute, wherever the project is.
    environment = os.environ | {
        "TLC_LOCAL_DIR": str(folder.absolute()),
        "TLC_SOURCE": str(source.absolute()),
        "TLC_TARGET": "local",
        "TLC_SCHEMA_PREFIX": "",
    }
    for name in ("DLT_DATA_DIR", "DBT_TARGET_PATH", "DBT_LOG_PATH"):
        environment.pop(name, None)  # those of the real warehouse

    def run_module(module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        if subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603
            raise LoaderError(f"the demo has stopped at {module} {arguments[0]}: see above")

    nyc_tlc = partial(run_module, "loader")

    for dataset in ("green", "yellow"):
        if not (source / file_name(dataset, _LAST)).exists():
            # The third month is left for the user: `nyc-tlc sync` finds it.
            months = ("--month", "2023-01", "--to", format_month(_LAST))
            run_module("loader.sample", "--dataset", dataset, *months, source)
        nyc_tlc("run", "--dataset", dataset, "--month", "2023-01", "--to", "2023-02")
    print(flush=True)
    nyc_tlc("status")
    print("\nTrips by month:", flush=True)
    nyc_tlc("postgres", "psql", "--", "-P", "pager=off", "-c", _QUERY)
    report = folder / "report.html"
    nyc_tlc("report", "--month", "2023-02", "--out", report)
    by_hand = f"TLC_LOCAL_DIR={folder} nyc-tlc postgres stop; rm -r {folder}"
    print(f"\nOpen the report in a browser: {report.absolute()}")
    print(
        _NEXT.format(
            folder=folder,
            source=source,
            activate="  . .venv/bin/activate\n" if IS_CHECKOUT else "",
            remove="make demo-clean" if IS_CHECKOUT else by_hand,
        )
    )
