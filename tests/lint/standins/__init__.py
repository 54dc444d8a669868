"""What the macros that models and tests call stand for while sqlfluff lints: SQL of their kind.

A name that isn't here fails the lint as undefined.
"""

from types import SimpleNamespace

dbt = SimpleNamespace(
    dateadd=lambda part, number, date: f"({date} + interval '{number} {part}')",
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


def contract_columns(dataset: str) -> list[str]:
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


class flags:
    """What dbt was called for."""

    WHICH = "test"
