{#- A sum of doubles that were published with up to four decimals, as an exact numeric. NULL when it
    is no number, because one of the values is none. By way of an integer, as Postgres casts a double
    to a numeric through its text. -#}
{% macro exact_sum(expression) -%}
    case
            when abs(sum({{ expression }})) < 1e14
                then cast(
                    cast(cast(sum({{ expression }}) * 10000 as {{ dbt.type_bigint() }}) as numeric) * numeric '0.0001'
                    as numeric
                )
        end
{%- endmacro %}
