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
{{ get_empty_schema_sql(model.columns) }}
from (select 1 as placeholder) as one_row
where false
{%- endif %}
