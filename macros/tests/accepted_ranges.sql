{% test accepted_ranges(model, dataset, ranges) %}

with

trips as (

    select * from {{ model }}
    where
        {{ is_in_hand(dataset) }}
        -- adding up is what takes time: only what is outside somewhere is added
        and (
            {%- for column, range in ranges.items() %}
            not ({{ column }} between {{ range[0] }} and {{ range[1] }}){{ ' or' if not loop.last }}
            {%- endfor %}
        )

),

-- One scan for all columns: a month may have 20 million rows.
outside as (

    select
        file_month
        {%- for column, range in ranges.items() %},
        sum(case when not ({{ column }} between {{ range[0] }} and {{ range[1] }}) then 1 else 0 end) as {{ column }}
        {%- endfor %}

    from trips
    group by file_month

),

validation_errors as (

    {% for column in ranges -%}
    select
        file_month,
        '{{ column }}' as column_name,
        {{ column }} as rows_outside

    from outside
    where {{ column }} > 0
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

)

select * from validation_errors

{% endtest %}
