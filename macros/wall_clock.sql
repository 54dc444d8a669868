{% macro wall_clock(column) -%}
    {{ return(adapter.dispatch('wall_clock', 'nyc_tlc')(column)) }}
{%- endmacro %}

{% macro default__wall_clock(column) -%}
    {{ column }}
{%- endmacro %}

{#- dlt lands times as TIMESTAMP there, the wall clock's figures marked as UTC: the mark comes off. -#}
{% macro bigquery__wall_clock(column) -%}
    datetime({{ column }}, 'UTC')
{%- endmacro %}
