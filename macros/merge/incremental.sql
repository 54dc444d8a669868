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


{% materialization incremental, adapter='bigquery', supported_languages=['sql'] -%}
    {%- if config.get('incremental_strategy') == 'replace_file_month' -%}
        {{ return(replace_file_months()) }}
    {%- else -%}
        {{ return(dbt.materialization_incremental_bigquery()) }}
    {%- endif -%}
{%- endmaterialization %}
