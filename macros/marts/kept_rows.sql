{#- dbt's insert_overwrite on BigQuery replaces a whole partition, which is the month of all datasets:
    these are the rows of those that the build doesn't change. On Postgres, delete+insert replaces the
    rows of one dataset. -#}
{% macro kept_rows(months) %}
    {%- if target.type == 'bigquery' and is_incremental() %}
    {%- set all_months = months.values() | sum(start=[]) | unique | list -%}
    {%- set stored = adapter.get_columns_in_relation(this) | map(attribute='name') | list %}

union all

select
    {%- for column in model.columns %}
    {#- a table of an earlier version lacks it, until this build adds it #}
    {{ column if column in stored else 'null as ' ~ column }}{{ ',' if not loop.last }}
    {%- endfor %}

from {{ this }}
where
    file_month in (date '{{ (all_months or ['0001-01-01']) | join("', date '") }}')
    and not ({{ is_month_of(months, datasets()) }})
    {%- endif %}
{% endmacro %}
