{% macro type_datetime() -%}
    {{ return(adapter.dispatch('type_datetime', 'nyc_tlc')()) }}
{%- endmacro %}

{% macro default__type_datetime() -%}
    timestamp
{%- endmacro %}

{% macro bigquery__type_datetime() -%}
    datetime
{%- endmacro %}
