-- Without a CTE, as int_taxi_trips_measured.
{%- set is_timed = is_plausible_ride('trip_miles', 'trip_minutes') %}
select
    dataset,
    file_month,
    pickup_datetime,
    dropoff_datetime,
    pickup_location_id,
    dropoff_location_id,
    cast(null as {{ dbt.type_int() }}) as payment_type,
    company,

    -- measures
    cast(null as {{ dbt.type_int() }}) as passengers,
    {{ plausible_miles('trip_miles') }} as miles,
    {{ plausible_minutes('trip_minutes') }} as minutes,
    {{ timed_measures('trip_miles', is_timed) }},
    case when waiting_minutes between 0 and 180 then waiting_minutes end as waiting_minutes,

    -- amounts
    {{- amounts_of_kind('app') }}

    -- flags
    false as is_reversal,
    true as is_tip_recorded,
    is_outside_file_month,
    false as is_in_null_block,
    is_dropoff_before_pickup,
    coalesce(not trip_miles <= 1000, false) as is_over_1000_miles,
    is_unknown_zone,
    {{ is_out_of_range('app') }} as is_out_of_range

from {{ ref('app_trips') }}
