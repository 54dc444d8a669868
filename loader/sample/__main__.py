"""The command: python -m loader.sample."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from loader.calendar import file_name, month_range, parse_month
from loader.errors import LoaderError
from loader.sample import write_month


def main(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="Folder; made when missing.")
    ],
    dataset: Annotated[str, typer.Option(help="yellow, green, fhv or fhvhv.")],
    month: Annotated[str, typer.Option(help="Month to make, YYYY-MM.", metavar="YYYY-MM")],
    to: Annotated[
        str | None, typer.Option(help="Last month, to make several.", metavar="YYYY-MM")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows in each file.")] = 20_000,
    form: Annotated[
        Literal["parquet", "csv"],
        typer.Option("--format", help="csv: like the frozen copies, 2019-01 to 2021-07."),
    ] = "parquet",
    seed: Annotated[int, typer.Option(help="Another seed gives other trips.")] = 0,
) -> None:
    """Make month files that look like TLC's, quirks included, without the network.

    Parquet files are named as TLC's, so the folder can be a TLC_SOURCE. The
    same options always give the same trips. A real month has about 60,000 rows
    (green), 2,000,000 (fhv), 3,500,000 (yellow) or 20,000,000 (fhvhv).

    Example: python -m loader.sample --dataset green --month 2023-01 --to 2023-02 /tmp/trip-data
    """
    try:
        first = parse_month(month)
        months = month_range(first, parse_month(to) if to else first)
        folder.mkdir(parents=True, exist_ok=True)
        for each in months:
            path = folder / file_name(dataset, each)
            if form == "csv":
                path = path.with_suffix(".csv.gz")
            write_month(path, dataset, each, rows, seed)
            typer.echo(f"{path}: {rows} rows")
    except LoaderError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


if __name__ == "__main__":
    typer.run(main)
