{% materialization incremental, adapter='postgres' -%}
    {#- dbt's own `incremental`, with one more strategy. dbt-postgres knows no partitions, and its
        strategies first write the rows to a temporary table, then a second time. -#}
    {%- if config.get('incremental_strategy') == 'replace_file_month' -%}
        {{ return(replace_file_months()) }}
    {%- else -%}
        {{ return(dbt.materialization_incremental_default()) }}
    {%- endif -%}
{%- endmaterialization %}


{% materialization incremental, adapter='bigquery', supported_languages=['sql'] -%}
    {#- dbt-bigquery's own takes no other strategies, and replaces partitions without the ledger. -#}
    {%- if config.get('incremental_strategy') == 'replace_file_month' -%}
        {{ return(replace_file_months()) }}
    {%- else -%}
        {{ return(dbt.materialization_incremental_bigquery()) }}
    {%- endif -%}
{%- endmaterialization %}
