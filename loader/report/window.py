"""What the explorer asks the warehouse."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import psycopg2

from loader.calendar import days_of, format_month, parse_month
from loader.errors import LoaderError
from loader.report.numbers import IN_FILE_MONTH, with_floats
from loader.report.pictures import runs_of
from loader.settings import load_settings
from loader.warehouse.connect import connect_warehouse

#: A query shows so many rows: the browser has to hold them.
_MOST_ROWS = 5_000


class Window:
    """The marts of a warehouse, for one browser."""

    def __init__(self) -> None:
        """Connect to the warehouse of the settings, and list what it has."""
        settings = load_settings()
        self._warehouse = connect_warehouse(settings)
        rows = self._warehouse.read(
            "select dataset, file_month from {marts}.month_quality order by file_month, dataset"
        )
        self.newest = rows[-1]["dataset"] if rows else None
        self.months: dict[str, list[str]] = {}
        for row in rows:
            self.months.setdefault(row["dataset"], []).append(format_month(row["file_month"]))
        zones = self._warehouse.read("select location_id, zone_name, borough from {tlc}.taxi_zones")
        self.zones = {
            f"{zone['zone_name']} ({zone['location_id']})": zone["location_id"]
            for zone in sorted(zones, key=lambda zone: str(zone["zone_name"]))
        }
        self.example = (
            "select pickup_zone_name, sum(trips) as trips\n"
            f"from {settings.marts_schema}.daily_zone_trips\n"
            "group by pickup_zone_name\norder by trips desc\nlimit 10"
        )

    def days(
        self, dataset: str, first: str, last: str, zones: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Return trips by day, with the number of the run of days that a line joins.

        Args:
            first: first month, YYYY-MM.
            zones: zones of pickup; none for all.

        Returns:
            All days of the months that have marts; none when there is no trip.
        """
        rows = self._warehouse.read(
            "select cast(pickup_hour as date) as day, sum(trips) as trips"
            f" from {{marts}}.hourly_zone_trips where {_where(dataset, first, last, zones)}"
            f" and {IN_FILE_MONTH} group by day"
        )
        trips = {row["day"]: int(row["trips"]) for row in rows}
        start, end = sorted([first, last])
        months = [month for month in self.months[dataset] if start <= month <= end]
        days = [day for month in months for day in days_of(parse_month(month))] if trips else []
        runs = runs_of(day.toordinal() for day in days)
        return [
            {"day": f"{day}T12:00:00", "trips": trips.get(day, 0), "run": runs[day.toordinal()]}
            for day in days
        ]

    def busiest(
        self, dataset: str, first: str, last: str, zones: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Return the zones in which most trips begin; arguments as of `days`."""
        return _plain(
            self._warehouse.read(
                "select pickup_zone_name as zone, pickup_borough as borough, sum(trips) as trips,"
                " sum(total_amount) as dollars from {marts}.daily_zone_trips"
                f" where {_where(dataset, first, last, zones)}"
                " group by pickup_location_id, pickup_zone_name, pickup_borough"
                " order by trips desc limit 50"
            )
        )

    def ask(self, query: str) -> tuple[list[dict[str, Any]], str]:
        """Run a query of the user's, which can only read on Postgres.

        Returns:
            Its rows, or what is wrong with it.
        """
        try:
            rows = self._warehouse.ask(query, _MOST_ROWS)
        except (LoaderError, psycopg2.Error) as error:
            return [], " ".join(str(error).split())
        return _plain(rows), ""


def _where(dataset: str, first: str, last: str, zones: Sequence[int]) -> str:
    start, end = sorted([parse_month(first), parse_month(last)])
    conditions = [f"dataset = '{dataset}'", f"file_month between date '{start}' and date '{end}'"]
    if zones:
        conditions.append(f"pickup_location_id in ({', '.join(map(str, zones))})")
    return " and ".join(conditions)


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return values as a table in the browser takes them."""
    return [
        {name: str(value) if isinstance(value, dt.date) else value for name, value in row.items()}
        for row in with_floats(rows)
    ]
