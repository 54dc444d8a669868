{#- Records that all marts of this build's months are built; by the last one of them, in its transaction. A
    month without rows has none in the marts. -#}
{% macro record_marts() %}
    {%- set months = months_without_marts() -%}
    insert into {{ ref('marts_ledger') }} (dataset, file_month, merged_at, marts_version)
    select
        dataset,
        file_month,
        merged_at,
        {{ marts_version() }}
    from (
        select dataset, file_month, merged_at from {{ this }}
        union all
        select dataset, file_month, merged_at from {{ ref('file_ledger') }} where is_current and table_rows = 0
    ) as built
    where {{ is_month_of(months, datasets()) }}
    {#- A build of this mart alone may find the others as they were. #}
    except distinct
    select dataset, file_month, merged_at, marts_version from {{ ref('marts_ledger') }}
{% endmacro %}


{% macro marts_record_of_earlier_version() %}
    {%- set table = load_relation(api.Relation.create(
        database=target.database, schema=generate_schema_name('tlc_marts', none), identifier='month_quality'
    )) if execute -%}
    {%- if table and 'marts_version' in adapter.get_columns_in_relation(table) | map(attribute='name') -%}
        {{ return(table) }}
    {%- endif -%}
    (
        {{ get_empty_schema_sql(model.columns) }}
        from (select 1 as placeholder) as one_row
        where false
    ) as no_record
{% endmacro %}
