{#- Months whose rows differ from what TLC itself counted, without a known cause. The difference is the
    number of rows that the warning tells. -#}
{% test official_figures(model) %}
    {{- config(meta={'is_by_column': true}, fail_calc='coalesce(sum(row_count), 0)') -}}

with

validation_errors as (

    select
        file_month,
        official_verdict as column_name,
        abs(official_difference) as row_count

    from {{ ref('official_verdicts') }}
    where
        dataset = '{{ dataset_of(model) }}'
        and {{ is_tested_month(dataset_of(model)) }}
        and official_verdict in ('file lacks', 'file has more')
        and cause is null

)

select * from validation_errors

{% endtest %}
