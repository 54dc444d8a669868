{#- A file without rows is accepted on demand: neither delete+insert nor insert_overwrite takes away the
    rows of a month that has none any more. -#}
{% macro delete_empty_months() %}
    {%- set ledger = ref('file_ledger') -%}
    {%- if not execute or not is_incremental() -%}{{ return('') }}{%- endif -%}
    {%- set months = {} -%}
    {%- for row in run_query(
        "select dataset, file_month from " ~ ledger ~ " where is_current and table_rows = 0"
    ).rows -%}
        {%- do months.setdefault(row['dataset'], []).append(row['file_month'] | string) -%}
    {%- endfor -%}
    {%- if months -%}
    delete from {{ this }} where {{ is_month_of(months, datasets()) }}
    {%- endif -%}
{% endmacro %}
