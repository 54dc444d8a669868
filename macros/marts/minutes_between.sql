{% macro minutes_between(first, second) -%}
    {{ return(adapter.dispatch('minutes_between', 'nyc_tlc')(first, second)) }}
{%- endmacro %}

{#- dbt.datediff counts boundaries of minutes: it returns 1 for 10:00:59 to 10:01:01. -#}
{% macro default__minutes_between(first, second) -%}
    date_part('epoch', {{ second }} - {{ first }}) / 60
{%- endmacro %}

{% macro bigquery__minutes_between(first, second) -%}
    datetime_diff({{ second }}, {{ first }}, microsecond) / 60000000
{%- endmacro %}
