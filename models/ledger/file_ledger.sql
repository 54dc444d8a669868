{{
    config(
        incremental_strategy='merge' if target.type == 'bigquery' else 'append',
        full_refresh=false,
    )
}}

-- The table's columns; its rows come from the merge (macros/merge).
select
    cast(null as {{ dbt.type_string() }}) as dataset,
    cast(null as date) as file_month,
    cast(null as {{ dbt.type_string() }}) as file_name,
    cast(null as {{ dbt.type_string() }}) as source_url,
    cast(null as {{ dbt.type_string() }}) as etag,
    cast(null as {{ type_datetime() }}) as last_modified,
    cast(null as {{ dbt.type_bigint() }}) as file_bytes,
    cast(null as {{ dbt.type_string() }}) as sha256,
    cast(null as {{ dbt.type_bigint() }}) as file_rows,
    cast(null as {{ dbt.type_bigint() }}) as landed_rows,
    cast(null as {{ dbt.type_bigint() }}) as table_rows,
    cast(null as {{ dbt.type_bigint() }}) as rows_added,
    cast(null as {{ dbt.type_bigint() }}) as rows_removed,
    cast(null as {{ dbt.type_bigint() }}) as rows_unchanged,
    cast(null as {{ type_datetime() }}) as landed_at,
    cast(null as {{ type_datetime() }}) as merged_at,
    cast(null as {{ dbt.type_string() }}) as loader_version,
    cast(null as {{ dbt.type_boolean() }}) as is_current,
    cast(null as {{ dbt.type_string() }}) as load_id,
    cast(null as {{ dbt.type_string() }}) as invocation_id,
    cast(null as {{ type_datetime() }}) as removed_at

from (select 1 as placeholder) as one_row
where false
