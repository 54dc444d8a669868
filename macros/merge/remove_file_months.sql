{#- `nyc-tlc remove`: removes months of a dataset from the trips table and the marts, and records it in
    the ledger, in one transaction. -#}
{% macro remove_file_months(dataset, months) %}
    {%- set table, ledger = ref(dataset ~ '_tripdata'), ref('file_ledger') -%}
    {%- call statement('upgrade_ledger') -%}
        -- a ledger of an earlier version
        alter table {{ ledger }} add column if not exists removed_at {{ type_datetime() }}
    {%- endcall -%}
    {%- set dates = [] -%}
    {%- for month in months -%}{%- do dates.append(month ~ '-01') -%}{%- endfor -%}
    {%- set is_removed = "dataset = '" ~ dataset ~ "' and file_month in (date '" ~ dates | join("', date '") ~ "')" -%}
    {%- set records_sql -%}
        {%- for mart in mart_tables() %}
        delete from {{ mart }} where {{ is_removed }};
        {%- endfor %}
        update {{ ledger }} set is_current = false, removed_at = {{ utc_now() }} where is_current and {{ is_removed }};
    {%- endset -%}
    {%- do remove_trips(table, dates, records_sql) -%}
{% endmacro %}


{#- Deletes months from a trips table and runs other statements, in one transaction. -#}
{% macro remove_trips(table, months, records_sql) %}
    {{ return(adapter.dispatch('remove_trips', 'nyc_tlc')(table, months, records_sql)) }}
{% endmacro %}

{% macro default__remove_trips(table, months, records_sql) %}
    {%- call statement('begin') -%}begin; {{ limit_lock_waits() }}{%- endcall -%}
    {%- for month in months -%}
        {%- do drop_partition(table, partition_of(table, month), month) -%}
    {%- endfor -%}
    {%- call statement('records') -%}{{ records_sql }} commit{%- endcall -%}
{% endmacro %}

{% macro bigquery__remove_trips(table, months, records_sql) %}
    {%- do run_query(
        "begin transaction; delete from " ~ table ~ " where file_month in (date '" ~ months | join("', date '")
        ~ "');" ~ records_sql ~ " commit transaction;"
    ) -%}
{% endmacro %}


{#- The marts that exist and hold rows of months. -#}
{% macro mart_tables() %}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and 'marts' in node.fqn and node.config.materialized == 'incremental' -%}
        {%- set mart = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- if mart -%}{%- do found.append(mart) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}
