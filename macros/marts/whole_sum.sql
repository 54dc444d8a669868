{#- A sum of integers: Postgres makes a numeric of it. -#}
{% macro whole_sum(expression) -%}
    cast(sum({{ expression }}) as {{ dbt.type_bigint() }})
{%- endmacro %}
