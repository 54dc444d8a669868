{% test never_null(model, dataset, columns) %}

with

validation_errors as (

    select
        file_month,
        file_row

    from {{ model }}
    where
        {{ is_in_hand(dataset) }}
        and (
            {%- for column in columns %}
            {{ column }} is null{{ ' or' if not loop.last }}
            {%- endfor %}
        )

)

select * from validation_errors

{% endtest %}
