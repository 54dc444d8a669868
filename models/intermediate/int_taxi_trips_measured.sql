-- Sums of amounts hold the reversals, so that a charge and its negative twin cancel each other;
-- what describes a trip (miles, minutes, passengers) doesn't.
-- Without a CTE: Postgres doesn't merge a query that has one into the query that reads it, and the
-- marts would take a tenth longer.
{%- set is_timed = is_plausible_ride('trip_distance', 'trip_minutes') ~ ' and not is_reversal' %}
select
    dataset,
    file_month,
    pickup_datetime,
    dropoff_datetime,
    pickup_location_id,
    dropoff_location_id,
    payment_type,
    cast(null as {{ dbt.type_string() }}) as company,

    -- measures
    case when not is_reversal then passenger_count end as passengers,
    case when not is_reversal then {{ plausible_miles('trip_distance') }} end as miles,
    case when not is_reversal then {{ plausible_minutes('trip_minutes') }} end as minutes,
    {{ timed_measures('trip_distance', is_timed) }},
    cast(null as {{ dbt.type_float() }}) as waiting_minutes,

    -- amounts
    {{- amounts_of_kind('taxi') }}

    -- flags
    is_reversal,
    not is_reversal and payment_type = 1 as is_tip_recorded,
    is_outside_file_month,
    is_in_null_block,
    is_dropoff_before_pickup,
    is_over_1000_miles,
    {{ has_no_place() }} as is_unknown_zone,
    {{ is_out_of_range('taxi') }} as is_out_of_range

from {{ ref('trips') }}
