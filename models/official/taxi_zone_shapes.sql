{%- set landed = source('tlc_raw', 'taxi_zone_shapes') -%}
{%- if execute and load_relation(landed) -%}
with

source as (

    select * from {{ landed }}

),

newest as (

    select
        location_id,
        zone_name,
        borough,
        {{ as_geometry('geometry') }} as geometry,  -- noqa: RF04
        longitude,
        latitude,
        area_square_miles,
        sha256,
        {{ wall_clock('landed_at') }} as landed_at

    from source
    where landed_at = (select max(latest.landed_at) from source as latest)

)

select * from newest
{%- else -%}
-- Nothing has landed here yet.
select
    cast(null as {{ dbt.type_int() }}) as location_id,
    cast(null as {{ dbt.type_string() }}) as zone_name,
    cast(null as {{ dbt.type_string() }}) as borough,
    {{ as_geometry('cast(null as ' ~ dbt.type_string() ~ ')') }} as geometry,  -- noqa: RF04
    cast(null as {{ dbt.type_float() }}) as longitude,
    cast(null as {{ dbt.type_float() }}) as latitude,
    cast(null as {{ dbt.type_float() }}) as area_square_miles,
    cast(null as {{ dbt.type_string() }}) as sha256,
    cast(null as {{ type_datetime() }}) as landed_at

from (select 1 as placeholder) as one_row
where false
{%- endif %}
