{#- The trips of a dataset, as the marts count them: one declaration of what a measure is made of. Sums
    of amounts hold the reversals, so that a charge and its negative twin cancel each other; what
    describes a trip (miles, minutes, passengers) doesn't. -#}
{% macro measured_trips(dataset, months) %}
    {%- set distance = 'trip_miles' if is_app_dataset(dataset) else 'trip_distance' -%}
    {%- set is_timed = is_plausible_ride(distance, 'trip_minutes')
        ~ ('' if is_app_dataset(dataset) else ' and not is_reversal') -%}
    {%- if is_app_dataset(dataset) %}
    select
        file_month,
        pickup_datetime,
        pickup_location_id,
        dropoff_location_id,
        cast(null as {{ dbt.type_int() }}) as payment_type,
        false as is_reversal,
        false as is_in_null_block,
        cast(null as {{ dbt.type_int() }}) as passengers,
        {{ plausible_miles(distance) }} as miles,
        {{ plausible_minutes('trip_minutes') }} as minutes,
        true as is_tip_recorded,
        base_passenger_fare as fare_amount,
        cast(null as {{ dbt.type_float() }}) as extra,
        cast(null as {{ dbt.type_float() }}) as mta_tax,
        tips as tip_amount,
        tolls as tolls_amount,
        cast(null as {{ dbt.type_float() }}) as ehail_fee,
        cast(null as {{ dbt.type_float() }}) as improvement_surcharge,
        congestion_surcharge,
        airport_fee,
        cbd_congestion_fee,
        bcf as black_car_fund,
        sales_tax,
        -- TLC publishes no total of these: it is what the passenger pays
        base_passenger_fare
        {%- for part in ['tips', 'tolls', 'bcf', 'sales_tax', 'congestion_surcharge', 'airport_fee', 'cbd_congestion_fee'] %}
        + coalesce({{ part }}, 0)
        {%- endfor %} as total_amount,
        driver_pay,
        {{ timed_measures(distance, is_timed) }}

    from {{ ref('app_trips') }}
    {%- else %}
    select
        file_month,
        pickup_datetime,
        pickup_location_id,
        dropoff_location_id,
        payment_type,
        is_reversal,
        is_in_null_block,
        case when not is_reversal then passenger_count end as passengers,
        case when not is_reversal then {{ plausible_miles(distance) }} end as miles,
        case when not is_reversal then {{ plausible_minutes('trip_minutes') }} end as minutes,
        not is_reversal and payment_type = 1 as is_tip_recorded,
        fare_amount,
        extra,
        mta_tax,
        tip_amount,
        tolls_amount,
        ehail_fee,
        improvement_surcharge,
        congestion_surcharge,
        airport_fee,
        cbd_congestion_fee,
        cast(null as {{ dbt.type_float() }}) as black_car_fund,
        cast(null as {{ dbt.type_float() }}) as sales_tax,
        total_amount,
        cast(null as {{ dbt.type_float() }}) as driver_pay,
        {{ timed_measures(distance, is_timed) }}

    from {{ ref('trips') }}
    {%- endif %}
    where {{ is_month_of(months, [dataset]) }}
{% endmacro %}


{#- No value that is impossible, and no NaN. -#}
{% macro plausible_miles(column) -%}
    case when {{ column }} between 0 and 1000 then {{ column }} end
{%- endmacro %}


{% macro plausible_minutes(column) -%}
    case when {{ column }} between 0 and 1440 then {{ column }} end
{%- endmacro %}


{#- Speeds are made of these: NULL for any other trip. -#}
{% macro timed_measures(miles, is_timed) -%}
    case when {{ is_timed }} then {{ miles }} end as timed_miles,
        case when {{ is_timed }} then trip_minutes end as timed_minutes,
        case when {{ is_timed }} then {{ miles }} / trip_minutes * 60 end as miles_an_hour
{%- endmacro %}


{#- The distance and the duration can both be those of a ride in New York. Meters that were left on run
    for a day: 0.5 percent of green's trips of January 2025 last over three hours, and have a third of
    all minutes. Up to three hours, green drives 12.0 miles an hour instead of 7.7. The limit of 80
    miles an hour, and one of two or four hours in place of three, change that by half a percent. -#}
{% macro is_plausible_ride(miles, minutes) -%}
    {{ miles }} > 0 and {{ minutes }} between 1 and 180 and {{ miles }} * 60 <= {{ minutes }} * 80
{%- endmacro %}
