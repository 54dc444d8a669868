{{
    config(
        materialized='incremental',
        incremental_strategy='merge' if target.type == 'bigquery' else 'append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        post_hook='{{ refresh_verdicts() }}',
    )
}}
{%- set landed = source('tlc_raw', 'official_figures') %}
{%- set columns %}
source, vintage, dataset, licence, month, trips_per_day, trips, sha256, source_url, etag
{%- endset %}
with

known as (

    select
        *,
        cast(null as {{ dbt.type_string() }}) as source_url,
        cast(null as {{ dbt.type_string() }}) as etag,
        cast(null as {{ type_datetime() }}) as landed_at

    from {{ ref('known_figures') }}

),

figures as (

    select {{ columns }}, landed_at
    from known
    {%- if execute and load_relation(landed) %}

    union all

    select {{ columns }}, {{ wall_clock('landed_at') }} as landed_at
    from {{ landed }}
    {%- endif %}

)

select {{ contract_order() }} from figures
{%- if is_incremental() %}
where
    not exists (
        select 1
        from {{ this }} as here
        where
            here.sha256 = figures.sha256
            and here.landed_at is not distinct from figures.landed_at
    )
{%- endif %}
