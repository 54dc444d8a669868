{#- dbt's own `incremental`, with one more strategy: replace_file_month. It has to take the place of the
    materialization, because that gives a strategy the new rows in a temporary table, and so writes
    a month twice; and because constraints and on_schema_change are for `incremental` only. -#}
{% materialization incremental, adapter='postgres' -%}
    {%- if config.get('incremental_strategy') == 'replace_file_month' -%}
        {{ return(replace_file_months()) }}
    {%- else -%}
        {{ return(dbt.materialization_incremental_default()) }}
    {%- endif -%}
{%- endmaterialization %}


{#- dbt asks for the columns of the query and of the contract, in two jobs. A table that exists has those
    of the contract, and BigQuery itself refuses rows that don't fit them. -#}
{% macro bigquery__get_assert_columns_equivalent(sql) %}
    {%- if model.config.materialized != 'incremental' or load_cached_relation(this) is none -%}
        {{ return(assert_columns_equivalent(sql)) }}
    {%- endif -%}
{% endmacro %}


{#- A table that has the contract's columns needs no other one to be compared with: one job less. -#}
{% macro incremental_validate_on_schema_change(on_schema_change, default='ignore') %}
    {%- if target.type == 'bigquery' -%}
        {%- set existing = adapter.get_columns_in_relation(this) | map(attribute='name') | list -%}
        {%- if existing | sort == model.columns.keys() | sort -%}{{ return('ignore') }}{%- endif -%}
    {%- endif -%}
    {{ return(dbt.incremental_validate_on_schema_change(on_schema_change, default)) }}
{% endmacro %}


{% materialization incremental, adapter='bigquery', supported_languages=['sql'] -%}
    {%- if config.get('incremental_strategy') == 'replace_file_month' -%}
        {{ return(replace_file_months()) }}
    {%- else -%}
        {{ return(dbt.materialization_incremental_bigquery()) }}
    {%- endif -%}
{%- endmaterialization %}
