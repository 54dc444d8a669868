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


def datasets_of(months: dict[str, list[str]]) -> list[str]:
    """Datasets."""
    return list(months)


def is_month_of(months: dict[str, list[str]], datasets: list[str]) -> str:
    """A condition."""
    return "file_month = date '2023-01-01'"


def measured_trips(dataset: str, months: dict[str, list[str]]) -> str:
    """A query."""
    return "select * from trips_of_all"


def with_merge(counted: str) -> str:
    """A CTE."""
    return f"versioned as (select * from {counted})"


def rows_to_write(months: dict[str, list[str]]) -> str:
    """A query."""
    return "select * from versioned"


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


def flags_of(dataset: str) -> dict[str, str]:
    """Conditions."""
    return {"reversal": "is_reversal"}


def is_app_dataset(dataset: str) -> bool:
    """Whether it is one."""
    return False


def described_trips() -> str:
    """A query."""
    return "select * from trips_of_all"


def has_no_place() -> str:
    """A condition."""
    return "(pickup_location_id is null)"


class flags:
    """What dbt was called for."""

    WHICH = "test"
