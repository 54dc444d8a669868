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
    type_bigint=lambda: "bigint",
    type_boolean=lambda: "boolean",
    type_float=lambda: "float",
    type_int=lambda: "integer",
    type_string=lambda: "text",
)
target = SimpleNamespace(type="postgres")
model = SimpleNamespace(columns=[])
flags = SimpleNamespace(WHICH="test")

_EXPRESSIONS = {
    "as_geometry": lambda geojson: geojson,
    "zone_of": lambda trip_end: f"trips.{trip_end}_location_id",
    "type_datetime": lambda: "timestamp",
    "wall_clock": lambda column: f"cast({column} as timestamp)",
    "minutes_between": lambda first, second: f"({second} - {first})",
    "row_key": lambda dataset, relation="": f"'{dataset}'",
    "row_id": lambda row_key, ordinal: f"{row_key} || {ordinal}",
    "marts_version": lambda: 1,
    "plausible_miles": lambda column: f"nullif({column}, 0)",
    "plausible_minutes": lambda column: f"nullif({column}, 0)",
    "exact_sum": lambda expression: f"sum({expression})",
    "whole_sum": lambda expression: f"sum({expression})",
    "ratio": lambda dividend, divisor: f"{dividend} / {divisor}",
    "percentile": lambda expression, share: f"max({expression})",
    # several
    "amounts_of_kind": lambda kind: "\n        fare_amount,",
    "timed_measures": lambda miles, is_timed: (
        f"case when {is_timed} then {miles} end as timed_miles"
    ),
    "contract_order": lambda: "*",
    "get_empty_schema_sql": lambda columns: "select cast(null as text) as dataset",
}
_CONDITIONS = {
    "is_outside_file_month": lambda trips: f"({trips}.pickup_datetime < {trips}.file_month)",
    "is_unknown_zone": lambda pickup_zone, dropoff_zone: f"({pickup_zone} = {dropoff_zone})",
    "is_version_to_merge": lambda dataset: "true",
    "is_tested_month": lambda dataset: "true",
    "is_month_of": lambda months, datasets: "file_month = date '2023-01-01'",
    "is_plausible_ride": lambda miles, minutes: f"{miles} > {minutes}",
    "is_out_of_range": lambda kind: "(fare_amount > 1000)",
    "has_no_place": lambda: "(pickup_location_id is null)",
    "is_skipped_hour": lambda hour: f"({hour} is null)",
    "load_relation": lambda relation: True,
}
_QUERIES = {
    "union_datasets": lambda datasets: "select * from trips_of_all",
    "measured_trips": lambda months: "select * from trips_of_all",
    "marts_record_of_earlier_version": lambda: "month_quality",
    "record_marts": lambda: "",
    "refresh_verdicts": lambda: "",
    "kept_rows": lambda months: "",
    "merged_rows": lambda rows, months: (
        f"versioned as (\n\n    select * from {rows}\n\n)\n\nselect * from versioned"
    ),
}
_LISTS = {
    "trip_columns": lambda dataset: ["vendor_id", "fare_amount"],
    "typed_columns": lambda dataset: ["vendor_id", "fare_amount"],
    "amounts": lambda: ["fare_amount"],
    "datasets": lambda: ["green"],
    "datasets_of_kind": lambda kind: ["green"],
    "months_without_marts": lambda: {"green": ["2023-01-01"]},
}
globals().update(_EXPRESSIONS | _CONDITIONS | _QUERIES | _LISTS)
