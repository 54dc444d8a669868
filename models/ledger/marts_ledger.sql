{{
    config(
        incremental_strategy='merge' if target.type == 'bigquery' else 'append',
        full_refresh=false,
    )
}}

-- Its rows come from the last mart of a month (macros/marts/record_marts.sql).
select
    dataset,
    file_month,
    merged_at,
    marts_version

from {{ marts_record_of_earlier_version() }}
{% if is_incremental() %}
where false
{% endif %}
