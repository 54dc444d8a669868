{%- set landed = source('tlc_raw', 'base_list') -%}
{%- set no_text = 'cast(null as ' ~ dbt.type_string() ~ ')' -%}
with

both_lists as (

    select
        base_num,
        base_name as former_name,
        {{ no_text }} as base_name,
        {{ no_text }} as base_type,
        company,
        {{ no_text }} as sha256,
        cast(null as {{ type_datetime() }}) as landed_at

    from {{ ref('bases') }}
    {%- if execute and load_relation(landed) %}

    union all

    select
        base_num,
        {{ no_text }} as former_name,
        base_name,
        base_type,
        {{ no_text }} as company,
        sha256,
        {{ wall_clock('landed_at') }} as landed_at

    from {{ landed }}
    where landed_at = (select max(latest.landed_at) from {{ landed }} as latest)
    {%- endif %}

),

-- Grouped, so that Postgres knows that a base is one row, and leaves out joins that nobody needs.
grouped as (

    select
        base_num,
        coalesce(max(base_name), max(former_name)) as base_name,
        max(base_type) as base_type,
        max(company) as company,
        max(sha256) as sha256,
        max(landed_at) as landed_at

    from both_lists
    group by base_num

)

select * from grouped
