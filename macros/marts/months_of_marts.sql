{#- Raise it when a mart of months gets a column, or one that has another meaning: builds then make the
    marts of all months again. -#}
{% macro marts_version() %}
    {{ return(2) }}
{% endmacro %}


{#- The last mart, month_quality, says which merge of a month the marts count, and by which version. A
    month that was merged since then, or whose marts were not finished, is built again. -#}
{% macro months_without_marts() %}
    {{ return(months_of_marts(has_marts=false)) }}
{% endmacro %}


{#- Mapping of datasets to those requested months whose marts count their last merge, or don't; without a
    request, to the newest twelve of each dataset. -#}
{% macro months_of_marts(has_marts) %}
    {%- set ledger = ref('file_ledger') -%}
    {%- if not execute or load_relation(ledger) is none -%}{{ return({}) }}{%- endif -%}
    {#- Not by ref: it is built after all that asks here. -#}
    {%- set month_quality = api.Relation.create(
        database=target.database, schema=generate_schema_name('tlc_marts', none), identifier='month_quality'
    ) -%}
    {#- The table of an earlier version of the project lacks the column, and all months their marts. -#}
    {%- set has_quality = load_relation(month_quality) is not none and 'marts_version' in (
        adapter.get_columns_in_relation(month_quality) | map(attribute='name')
    ) -%}
    {%- set requested = requested_months() -%}
    {%- set datasets = requested_datasets() | select('in', datasets_with_marts()) -%}
    {#- Postgres and BigQuery choose the rows: a loop over all of history's takes seconds here. -#}
    {%- set query -%}
        select
            ledger.dataset,
            ledger.file_month

        from {{ ledger }} as ledger
        {% if has_quality %}
        left join {{ month_quality }} as month_quality
            on ledger.dataset = month_quality.dataset
            and ledger.file_month = month_quality.file_month
            and ledger.merged_at = month_quality.merged_at
            and month_quality.marts_version = {{ marts_version() }}
        {% endif %}

        where
            ledger.is_current
            -- a file without rows leaves nothing to count
            and ledger.table_rows > 0
            and ledger.dataset in ('{{ datasets | join("', '") }}')
            {%- if requested %}
            and ledger.file_month in (date '{{ requested | join("', date '") }}')
            {%- endif %}
            {%- if has_quality %}
            and month_quality.dataset is {{ 'not null' if has_marts else 'null' }}
            {%- elif has_marts %}
            and false
            {%- endif %}

        order by ledger.file_month desc
    {%- endset -%}

    {%- set found = {} -%}
    {%- for row in run_query(query).rows -%}
        {%- set months = found.setdefault(row['dataset'], []) -%}
        {#- A build of all that is missing stays small: `nyc-tlc marts` builds month by month. -#}
        {%- if requested or months | length < 12 -%}
            {%- do months.append(row['file_month'] | string) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}


{% macro is_month_of(months, datasets) %}
    {%- set conditions = [] -%}
    {%- for dataset, of_dataset in months.items() if dataset in datasets and of_dataset -%}
        {%- do conditions.append(
            "dataset = '" ~ dataset ~ "' and file_month in (date '" ~ of_dataset | join("', date '") ~ "')"
        ) -%}
    {%- endfor -%}
    {#- Without a month: one that no file has, so that no partition is read. -#}
    {{ return(conditions | join(' or ') if conditions else "file_month = date '0001-01-01'") }}
{% endmacro %}
