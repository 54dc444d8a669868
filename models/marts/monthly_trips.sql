-- Of hourly_zone_trips, so that no trip is read again: all of history has less than a million rows.
-- A full refresh would drop it, with every view on it.
{{ config(materialized='incremental', full_refresh=false) }}
{%- set months = months_without_marts() %}
with

hourly as (

    select * from {{ ref('hourly_zone_trips') }}
    where {{ is_month_of(months, datasets()) }}

),

zones as (

    select * from {{ ref('taxi_zones') }}

),

monthly as (

    select
        hourly.dataset,
        hourly.file_month,
        cast(extract(hour from hourly.pickup_hour) as {{ dbt.type_int() }}) as hour_of_day,
        zones.borough as pickup_borough,
        hourly.payment_type,
        hourly.company,
        {%- for count in ['trips', 'reversals', 'fee_trips', 'timed_trips', 'waited_trips'] %}
        {{ whole_sum('hourly.' ~ count) }} as {{ count }},
        {%- endfor %}
        {%- for sum in [
            'miles', 'timed_miles', 'timed_minutes', 'waiting_minutes', 'fare_amount',
            'tip_amount', 'total_amount', 'driver_pay',
        ] %}
        sum(hourly.{{ sum }}) as {{ sum }},
        {%- endfor %}
        min(hourly.merged_at) as merged_at

    from hourly
    left join zones on hourly.pickup_location_id = zones.location_id
    group by 1, 2, 3, 4, 5, 6

),

dated as (

    select
        *,
        {{ dbt.datediff('file_month', dbt.dateadd('month', 1, 'file_month'), 'day') }}
            as days_in_month

    from monthly

)

select {{ contract_order() }} from dated
{{ kept_rows(months) }}
