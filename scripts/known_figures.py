#!/usr/bin/env python3
"""Write the seed `known_figures` from a folder of reports: of each month, its newest figure."""

import csv
import sys

from loader.settings import PROJECT_DIR
from loader.source import figures


def main(folder: str) -> None:
    """Write the seed."""
    found = [figures.read(address) for address in figures.addresses(folder)]
    reports = (one for one in found if isinstance(one, figures.Vintage))
    vintages = sorted(reports, key=lambda one: one.vintage)
    newest = {
        (one.source, figure.licence, figure.month): (one, figure)
        for one in vintages
        for figure in one.figures
    }
    with (PROJECT_DIR / "seeds" / "known_figures.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = ("source", "vintage", "dataset", "licence", "month", "trips_per_day", "trips")
        writer.writerow((*names, "sha256"))
        for key in sorted(newest):
            one, figure = newest[key]
            values = (figure.dataset, figure.licence, figure.month, figure.trips_per_day)
            writer.writerow((one.source, one.vintage, *values, figure.trips, one.sha256))


if __name__ == "__main__":
    main(*sys.argv[1:])
