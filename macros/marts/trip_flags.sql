{% macro is_outside_file_month(trips) -%}
    coalesce(
            {{ trips }}.pickup_datetime < cast({{ trips }}.file_month as {{ type_datetime() }})
            or {{ trips }}.pickup_datetime >= {{ dbt.dateadd('month', 1, trips ~ '.file_month') }},
            true
        )
{%- endmacro %}


{#- TLC's zones 264 and 265 are "Unknown" and "N/A". -#}
{% macro is_unknown_zone(trips) -%}
    coalesce({{ trips }}.pickup_location_id in (264, 265), true)
        or coalesce({{ trips }}.dropoff_location_id in (264, 265), true)
{%- endmacro %}
