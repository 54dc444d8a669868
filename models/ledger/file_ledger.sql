{{
    config(
        incremental_strategy='merge' if target.type == 'bigquery' else 'append',
        full_refresh=false,
    )
}}

-- The table's columns; its rows come from the merge (macros/merge).
{{ get_empty_schema_sql(model.columns) }}
from (select 1 as placeholder) as one_row
where false
