-- A full refresh would drop it, with every view on it.
{{ config(materialized='incremental', full_refresh=false) }}
{%- set months = months_without_marts() -%}
{%- set amounts = [
    'fare_amount',
    'extra',
    'mta_tax',
    'tip_amount',
    'tolls_amount',
    'ehail_fee',
    'improvement_surcharge',
    'congestion_surcharge',
    'airport_fee',
    'cbd_congestion_fee',
    'black_car_fund',
    'sales_tax',
    'total_amount',
    'driver_pay',
] -%}
-- depends_on: {{ ref('trips') }}, {{ ref('app_trips') }}
with

hourly as (

    {% for dataset in datasets_of(months) -%}
    select
        {{ dbt.string_literal(dataset) }} as dataset,
        file_month,
        -- on BigQuery dbt truncates to a time with a zone
        cast(
            {{ dbt.date_trunc('hour', 'pickup_datetime') }} as {{ type_datetime() }}
        ) as pickup_hour,
        pickup_location_id,
        payment_type,
        sum(case when is_reversal then 0 else 1 end) as trips,
        sum(case when is_reversal then 1 else 0 end) as reversals,
        sum(case when is_in_null_block then 1 else 0 end) as null_block_trips,
        sum(passengers) as passengers,
        {%- for amount in amounts %}
        {{ exact_sum(amount) }} as {{ amount }},
        {%- endfor %}
        {{ exact_sum('miles') }} as miles,
        {{ exact_sum('minutes') }} as minutes,
        count(timed_miles) as timed_trips,
        {{ exact_sum('timed_miles') }} as timed_miles,
        {{ exact_sum('timed_minutes') }} as timed_minutes

    from ({{ measured_trips(dataset, months) }}) as trips
    group by file_month, pickup_hour, pickup_location_id, payment_type
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

),

{{ with_merge('hourly') }}

{{ rows_to_write(months) }}
