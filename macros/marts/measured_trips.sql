{#- The trips of months, as the marts count them; of any kind when there is no month, so that a model has
    its columns. -#}
{% macro measured_trips(months) %}
    {%- set kinds = [] -%}
    {%- for kind in ['taxi', 'app']
        if not execute or datasets_of_kind(kind) | select('in', months.keys()) | list -%}
        {%- do kinds.append(kind) -%}
    {%- endfor -%}
    {%- for kind in kinds or ['taxi'] %}
    select * from {{ ref('int_' ~ kind ~ '_trips_measured') }}
    where {{ is_month_of(months, datasets_of_kind(kind)) }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}
{% endmacro %}


{#- No value that is impossible, and no NaN. -#}
{% macro plausible_miles(column) -%}
    case when {{ column }} between 0 and 1000 then {{ column }} end
{%- endmacro %}


{% macro plausible_minutes(column) -%}
    case when {{ column }} between 0 and 1440 then {{ column }} end
{%- endmacro %}


{#- Speeds are made of these: NULL for any other trip. -#}
{% macro timed_measures(miles, is_timed) -%}
    case when {{ is_timed }} then {{ miles }} end as timed_miles,
    case when {{ is_timed }} then trip_minutes end as timed_minutes,
    case when {{ is_timed }} then {{ miles }} / trip_minutes * 60 end as miles_an_hour
{%- endmacro %}


{#- The distance and the duration can both be those of a ride in New York. Meters that were left on run
    for a day: 0.5 percent of green's trips of January 2025 last over three hours, and have a third of
    all minutes. Up to three hours, green drives 12.0 miles an hour instead of 7.7. The limit of 80
    miles an hour, and one of two or four hours in place of three, change that by half a percent. -#}
{% macro is_plausible_ride(miles, minutes) -%}
    {{ miles }} > 0 and {{ minutes }} between 1 and 180 and {{ miles }} * 60 <= {{ minutes }} * 80
{%- endmacro %}
