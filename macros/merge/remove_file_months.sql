{#- `nyc-tlc remove`: removes months (YYYY-MM) of a dataset from the trips table and the marts, and records
    it in the ledger, in one transaction. -#}
{% macro remove_file_months(dataset, months) %}
    {%- set table, ledger = ref(dataset ~ '_tripdata'), ref('file_ledger') -%}
    {#- A ledger of an earlier version. -#}
    {%- if 'removed_at' not in adapter.get_columns_in_relation(ledger) | map(attribute='name') -%}
        {%- call statement('upgrade_ledger') -%}
            alter table {{ ledger }} add column if not exists removed_at {{ type_datetime() }}
        {%- endcall -%}
    {%- endif -%}
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
    {%- call statement('remove') -%}
        begin;
        {{ limit_lock_waits() }};
        -- not by dropping the partitions: a snapshot from before would find them empty
        delete from {{ table }} where file_month in (date '{{ months | join("', date '") }}');
        {{ records_sql }}
    {%- endcall -%}
    {%- set xid = transaction_id() -%}
    {%- call statement('commit') -%}commit{%- endcall -%}
    {%- for month in months -%}
        {%- do free_space(partition_of(table, month), xid) -%}
    {%- endfor -%}
{% endmacro %}

{#- Gives the space of an empty partition back now, if nothing is in the way, and no snapshot from
    before the transaction sees its former rows. Else Postgres' vacuum does later, but for the index. -#}
{% macro free_space(partition, xid) %}
    {%- call statement('free_space') -%}
        do $$
        begin
            perform set_config('lock_timeout', '1s', true);
            lock table {{ partition }} in access exclusive mode;
            if
                not exists (select from {{ partition }})
                and not exists {{ older_snapshots(xid) }}
            then
                truncate {{ partition }};
            end if;
        exception when others then null;
        end
        $$
    {%- endcall -%}
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
