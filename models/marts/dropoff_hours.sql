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

-- In the statement that reads the trips: so both are of one merge, whatever is merged meanwhile.
versioned as (

    select
        dropoffs.*,
        ledger.merged_at

    from dropoffs
    inner join {{ ref('file_ledger') }} as ledger
        on dropoffs.dataset = ledger.dataset
        and dropoffs.file_month = ledger.file_month
        and ledger.is_current

)

select {{ contract_order() }} from versioned
{{ kept_rows(months) }}
