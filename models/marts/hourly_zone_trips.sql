-- A full refresh would drop it, with every view on it.
{{ config(materialized='incremental', full_refresh=false) }}
{%- set months = months_without_marts() %}
with

trips as (

    {{ measured_trips(months) }}

),

hourly as (

    select
        dataset,
        file_month,
        -- on BigQuery dbt truncates to a time with a zone
        cast(
            {{ dbt.date_trunc('hour', 'pickup_datetime') }} as {{ type_datetime() }}
        ) as pickup_hour,
        pickup_location_id,
        payment_type,
        company,
        sum(case when is_reversal then 0 else 1 end) as trips,
        sum(case when is_reversal then 1 else 0 end) as reversals,
        sum(case when is_in_null_block then 1 else 0 end) as null_block_trips,
        sum(passengers) as passengers,
        {%- for amount in amounts() %}
        {{ exact_sum(amount) }} as {{ amount }},
        {%- endfor %}
        {{ exact_sum('miles') }} as miles,
        {{ exact_sum('minutes') }} as minutes,
        count(timed_miles) as timed_trips,
        {{ exact_sum('timed_miles') }} as timed_miles,
        {{ exact_sum('timed_minutes') }} as timed_minutes,
        sum(case when cbd_congestion_fee > 0 and not is_reversal then 1 else 0 end) as fee_trips,
        count(waiting_minutes) as waited_trips,
        {{ exact_sum('waiting_minutes') }} as waiting_minutes

    from trips
    group by dataset, file_month, pickup_hour, pickup_location_id, payment_type, company

),

{{ merged_rows('hourly', months) }}
