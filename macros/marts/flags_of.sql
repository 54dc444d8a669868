{#- What month_quality counts, by dataset: names and conditions. -#}
{% macro flags_of(dataset) %}
    {%- set is_app = is_app_dataset(dataset) -%}
    {{ return({
        'reversal': 'false' if is_app else 'is_reversal',
        'outside_month': 'is_outside_file_month',
        'null_block': 'false' if is_app else 'is_in_null_block',
        'dropoff_before_pickup': 'is_dropoff_before_pickup',
        'over_1000_miles': 'not trip_miles <= 1000' if is_app else 'is_over_1000_miles',
        'unknown_zone': 'is_unknown_zone' if is_app else has_no_place(),
        'out_of_range': is_out_of_range(dataset),
    }) }}
{% endmacro %}


{#- Neither a zone nor, in yellow's first two years, coordinates. -#}
{% macro has_no_place() -%}
    case when pickup_location_id is null then is_without_position else is_unknown_zone end
{%- endmacro %}


{#- By the ranges that the test unusual_values of the dataset's table declares. -#}
{% macro is_out_of_range(dataset) %}
    {%- set conditions = [] -%}
    {%- for column, range in declared_ranges(dataset).items() -%}
        {%- do conditions.append(column ~ ' between ' ~ range[0] ~ ' and ' ~ range[1]) -%}
    {%- endfor -%}
    {{ return('coalesce(not (' ~ conditions | join(' and ') ~ '), false)' if conditions else 'false') }}
{% endmacro %}


{#- None while dbt parses; a unit test, which gets no graph, overrides it. -#}
{% macro declared_ranges(dataset) %}
    {%- set tests = graph.nodes.values() | selectattr('name', 'equalto', 'unusual_values_' ~ dataset) | list if execute else [] -%}
    {{ return(tests[0].test_metadata.kwargs.get('ranges', {}) if tests else {}) }}
{% endmacro %}
