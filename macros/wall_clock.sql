{#- SQL for a time of the raw tables without a zone: New York's wall clock for times of trips, UTC for
    times that the loader wrote. -#}
{% macro wall_clock(column) -%}
    {{ return(adapter.dispatch('wall_clock', 'nyc_tlc')(column)) }}
{%- endmacro %}

{% macro default__wall_clock(column) -%}
    {{ column }}
{%- endmacro %}

{#- dlt lands wall clock times as TIMESTAMP, as if they were UTC. -#}
{% macro bigquery__wall_clock(column) -%}
    datetime({{ column }}, 'UTC')
{%- endmacro %}
