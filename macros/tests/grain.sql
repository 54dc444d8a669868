{#- A row is one of these columns' values, in the requested months. The loader's builds leave it out: what is
    grouped by them can't repeat them, unless the SQL of a model changes. -#}
{% test grain(model, columns) %}

with

validation_errors as (

    select
        {{ columns | join(',\n        ') }},
        count(*) as row_count

    from {{ model }}
    {%- if requested_months() and 'file_month' in columns %}
    where file_month in (date '{{ requested_months() | join("', date '") }}')
    {%- endif %}
    group by {{ columns | join(', ') }}
    having count(*) > 1

)

select * from validation_errors

{% endtest %}
