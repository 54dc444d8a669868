{% macro percentile(expression, share) -%}
    {{ return(adapter.dispatch('percentile', 'nyc_tlc')(expression, share)) }}
{%- endmacro %}

{% macro default__percentile(expression, share) -%}
    percentile_disc({{ share }}) within group (order by {{ expression }})
{%- endmacro %}

{#- BigQuery has it as a window function only. -#}
{% macro bigquery__percentile(expression, share) -%}
    array_agg({{ expression }} ignore nulls order by {{ expression }})[
        safe_ordinal(cast(ceil({{ share }} * count({{ expression }})) as int64))
    ]
{%- endmacro %}
