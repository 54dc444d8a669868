{#- CTEs that end with `versioned`: the rows with the merge that they count. The ledger is read in the same
    statement as the trips, so that both are of one merge, whatever is merged meanwhile. -#}
{% macro with_merge(counted) -%}
merges as (

    select
        dataset,
        file_month,
        merged_at

    from {{ ref('file_ledger') }}
    where is_current

),

versioned as (

    select
        {{ counted }}.*,
        merges.merged_at

    from {{ counted }}
    inner join merges
        on {{ counted }}.dataset = merges.dataset
        and {{ counted }}.file_month = merges.file_month

)
{%- endmacro %}
