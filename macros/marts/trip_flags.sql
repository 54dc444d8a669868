{% macro is_outside_file_month(trips) -%}
    coalesce(
            {{ trips }}.pickup_datetime < cast({{ trips }}.file_month as {{ type_datetime() }})
            or {{ trips }}.pickup_datetime >= {{ dbt.dateadd('month', 1, trips ~ '.file_month') }},
            true
        )
{%- endmacro %}


{#- TLC's zones 264 and 265 are "Unknown" and "N/A". -#}
{% macro is_unknown_zone(pickup_zone, dropoff_zone) -%}
    coalesce({{ pickup_zone }} in (264, 265), true)
        or coalesce({{ dropoff_zone }} in (264, 265), true)
{%- endmacro %}


{% macro zone_of(trip_end) -%}
    coalesce(trips.{{ trip_end }}_location_id, trips.{{ trip_end }}_location_id_by_coordinates)
{%- endmacro %}


{#- Neither a zone nor, in yellow's first two years, coordinates; these may be outside of all zones. -#}
{% macro has_no_place() -%}
    case
        when pickup_location_id is null or dropoff_location_id is null then is_without_position
        else is_unknown_zone
    end
{%- endmacro %}


{#- By the ranges that the tests unusual_values of the datasets' tables declare. -#}
{% macro is_out_of_range(kind) %}
    {%- set cases = [] -%}
    {%- for dataset in datasets_of_kind(kind) if declared_ranges(dataset) -%}
        {%- set conditions = [] -%}
        {%- for column, range in declared_ranges(dataset).items() -%}
            {%- do conditions.append(column ~ ' between ' ~ range[0] ~ ' and ' ~ range[1]) -%}
        {%- endfor -%}
        {%- do cases.append("when '" ~ dataset ~ "' then not (" ~ conditions | join(' and ') ~ ')') -%}
    {%- endfor -%}
    {{ return('coalesce(case dataset ' ~ cases | join(' ') ~ ' end, false)' if cases else 'false') }}
{% endmacro %}


{#- None while dbt parses; a unit test, which gets no graph, overrides it. -#}
{% macro declared_ranges(dataset) %}
    {%- set tests = graph.nodes.values() | selectattr('name', 'equalto', 'unusual_values_' ~ dataset) | list if execute else [] -%}
    {{ return(tests[0].test_metadata.kwargs.get('ranges', {}) if tests else {}) }}
{% endmacro %}
