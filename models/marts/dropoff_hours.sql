-- A full refresh would drop it, with every view on it.
{{ config(materialized='incremental', full_refresh=false) }}
{%- set months = months_without_marts() %}
with

trips as (

    {{ measured_trips(months) }}

),

dropoffs as (

    select
        dataset,
        file_month,
        cast(extract(hour from dropoff_datetime) as {{ dbt.type_int() }}) as hour_of_day,
        dropoff_location_id,
        sum(case when is_reversal then 0 else 1 end) as trips,
        sum(case when is_reversal then 1 else 0 end) as reversals

    from trips
    group by 1, 2, 3, 4

),

{{ merged_rows('dropoffs', months) }}
