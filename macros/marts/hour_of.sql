{% macro hour_of(datetime) -%}
    {{ return(adapter.dispatch('hour_of', 'nyc_tlc')(datetime)) }}
{%- endmacro %}

{% macro default__hour_of(datetime) -%}
    date_trunc('hour', {{ datetime }})
{%- endmacro %}

{#- dbt.date_trunc returns a TIMESTAMP there, which has a zone. -#}
{% macro bigquery__hour_of(datetime) -%}
    datetime_trunc({{ datetime }}, hour)
{%- endmacro %}
