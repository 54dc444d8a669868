-- A full refresh would drop it, with every view on it.
{{ config(materialized='incremental', full_refresh=false) }}
{%- set months = months_without_marts() -%}
{#- Warehouses sort NaN differently: it is no fare. -#}
{%- set finite_fare =
    'case when not is_reversal and abs(fare_amount) < 1e9 then fare_amount end' -%}
{#- A pair as one number, since Postgres sorts faster by one key than by two: the pickup is its
    upper four bytes, the dropoff its lower ones. 2147483647, which is no code, stands for none. -#}
{%- set pair = 'cast(coalesce(trips.pickup_location_id, 2147483647) as ' ~ dbt.type_bigint() ~ ')'
    ~ ' * 4294967296 + coalesce(trips.dropoff_location_id, 2147483647)' %}
with

trips as (

    {{ measured_trips(months) }}

),

pairs as (

    select
        dataset,
        file_month,
        min(pickup_location_id) as pickup_location_id,
        min(dropoff_location_id) as dropoff_location_id,
        sum(case when is_reversal then 0 else 1 end) as trips,
        sum(case when is_reversal then 1 else 0 end) as reversals,
        {{ exact_sum('total_amount') }} as total_amount,
        {{ percentile('minutes', 0.5) }} as median_minutes,
        {{ percentile('minutes', 0.9) }} as p90_minutes,
        {{ percentile(finite_fare, 0.5) }} as median_fare,
        {{ percentile('miles_an_hour', 0.5) }} as median_mph

    from trips
    group by dataset, file_month, {{ pair }}

),

{{ merged_rows('pairs', months) }}
