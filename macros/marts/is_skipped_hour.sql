{#- The hour that the clock skips: from two to three in the morning of the second Sunday of March. Some
    meters know it nevertheless. -#}
{% macro is_skipped_hour(hour) -%}
    (
            extract(month from {{ hour }}) = 3
            and extract(hour from {{ hour }}) = 2
            and extract(day from {{ hour }}) between 8 and 14
            -- 2001-01-01 was a Monday
            and mod({{ dbt.datediff("date '2001-01-01'", 'cast(' ~ hour ~ ' as date)', 'day') }}, 7) = 6
        )
{%- endmacro %}
