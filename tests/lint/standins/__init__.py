"""What the macros that models and tests call stand for while sqlfluff lints: SQL of their kind.

A name that isn't here fails the lint as undefined.
"""

from types import SimpleNamespace

dbt = SimpleNamespace(
    dateadd=lambda part, number, date: f"({date} + interval '{number} {part}')",
    date_spine=lambda part, first, last: "select * from all_days",
    date_trunc=lambda part, time: f"date_trunc('{part}', {time})",
    datediff=lambda first, second, part: f"({second} - {first})",
    escape_single_quotes=lambda text: text.replace("'", "''"),
    string_literal=lambda text: f"'{text}'",
    type_bigint=lambda: "bigint",
    type_boolean=lambda: "boolean",
    type_float=lambda: "float",
    type_int=lambda: "integer",
    type_string=lambda: "text",
)


target = SimpleNamespace(type="postgres")


def wall_clock(column: str) -> str:
    """An expression."""
    return f"cast({column} as timestamp)"


def type_datetime() -> str:
    """A type."""
    return "timestamp"


def minutes_between(first: str, second: str) -> str:
    """An expression."""
    return f"({second} - {first})"


def is_outside_file_month(trips: str) -> str:
    """A condition."""
    return f"({trips}.pickup_datetime < {trips}.file_month)"


def is_unknown_zone(trips: str) -> str:
    """A condition."""
    return f"({trips}.pickup_location_id = 264)"


def row_key(dataset: str, relation: str = "") -> str:
    """An expression."""
    return f"'{dataset}'"


def row_id(row_key: str, ordinal: str) -> str:
    """An expression."""
    return f"{row_key} || {ordinal}"


def trip_columns(dataset: str) -> list[str]:
    """A list, which the macro reads from the declaration."""
    return ["vendor_id", "fare_amount"]


def typed_columns(dataset: str) -> list[str]:
    """A list, which the macro reads from the declaration."""
    return ["vendor_id", "fare_amount"]


def is_version_to_merge(dataset: str) -> str:
    """A condition, which the macro asks the warehouse for."""
    return "true"


def union_datasets(datasets: list[str]) -> str:
    """A query."""
    return "select * from trips_of_all"


def is_tested_month(dataset: str) -> str:
    """A condition, which the macro asks the warehouse for."""
    return "true"


def months_without_marts() -> dict[str, list[str]]:
    """Months by dataset, which the macro asks the warehouse for."""
    return {"green": ["2023-01-01"]}


def marts_version() -> int:
    """A number."""
    return 1


def datasets() -> list[str]:
    """The declared datasets."""
    return ["green"]


def datasets_of_kind(kind: str) -> list[str]:
    """The declared datasets of a kind."""
    return ["green"]


def is_month_of(months: dict[str, list[str]], datasets: list[str]) -> str:
    """A condition."""
    return "file_month = date '2023-01-01'"


def measured_trips(months: dict[str, list[str]]) -> str:
    """A query."""
    return "select * from trips_of_all"


def marts_record_of_earlier_version() -> str:
    """A table."""
    return "month_quality"


def record_marts() -> str:
    """A statement."""
    return ""


def kept_rows(months: dict[str, list[str]]) -> str:
    """Nothing, or a query after `union all`."""
    return ""


def contract_order() -> str:
    """A list of columns."""
    return "*"


def amounts() -> list[str]:
    """Names of columns."""
    return ["fare_amount"]


def amounts_of_kind(kind: str) -> str:
    """Expressions."""
    return "\n        fare_amount,"


def plausible_miles(column: str) -> str:
    """An expression."""
    return f"nullif({column}, 0)"


def plausible_minutes(column: str) -> str:
    """An expression."""
    return f"nullif({column}, 0)"


def timed_measures(miles: str, is_timed: str) -> str:
    """Expressions."""
    return f"case when {is_timed} then {miles} end as timed_miles"


def is_plausible_ride(miles: str, minutes: str) -> str:
    """A condition."""
    return f"{miles} > {minutes}"


def is_out_of_range(kind: str) -> str:
    """A condition."""
    return "(fare_amount > 1000)"


def exact_sum(expression: str) -> str:
    """An expression."""
    return f"sum({expression})"


def whole_sum(expression: str) -> str:
    """An expression."""
    return f"sum({expression})"


def ratio(dividend: str, divisor: str) -> str:
    """An expression."""
    return f"{dividend} / {divisor}"


def percentile(expression: str, share: float) -> str:
    """An expression."""
    return f"max({expression})"


def has_no_place() -> str:
    """A condition."""
    return "(pickup_location_id is null)"


class flags:
    """What dbt was called for."""

    WHICH = "test"
