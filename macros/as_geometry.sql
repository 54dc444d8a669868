{% macro as_geometry(geojson) -%}
    {{ return(adapter.dispatch('as_geometry', 'nyc_tlc')(geojson)) }}
{%- endmacro %}

{% macro default__as_geometry(geojson) -%}
    {{ geojson }}
{%- endmacro %}

{% macro bigquery__as_geometry(geojson) -%}
    st_geogfromgeojson({{ geojson }}, make_valid => true)
{%- endmacro %}
