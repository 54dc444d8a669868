{#- NULL by zero. A double on both warehouses, whose numerics would be cut off at different digits. -#}
{% macro ratio(dividend, divisor) -%}
    cast({{ dividend }} as {{ dbt.type_float() }}) / nullif(cast({{ divisor }} as {{ dbt.type_float() }}), 0)
{%- endmacro %}
