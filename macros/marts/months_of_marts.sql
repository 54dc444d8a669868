{#- Raise it when a mart of months gets a column, or one that has another meaning: builds then make the
    marts of all months again. -#}
{% macro marts_version() %}
    {{ return(4) }}
{% endmacro %}


{#- By the ledger of marts: a month that was merged since then, or whose marts were not finished, is built
    again. -#}
{% macro months_without_marts() %}
    {{ return(months_of_marts(has_marts=false)) }}
{% endmacro %}


{#- Mapping of datasets to those requested months whose marts count their last merge, or don't; without a
    request, to the newest twelve of each dataset. Of those without rows alone, if asked. -#}
{% macro months_of_marts(has_marts, is_empty=false) %}
    {%- set ledger, built = ref('file_ledger'), ref('marts_ledger') -%}
    {%- if not execute or load_relation(built) is none -%}{{ return({}) }}{%- endif -%}
    {%- set requested = requested_months() -%}
    {%- set datasets = requested_datasets() | select('in', datasets_with_marts()) -%}
    {#- Postgres and BigQuery choose the rows: a loop over all of history's takes seconds here. -#}
    {%- set query -%}
        select
            dataset,
            file_month,
            table_rows

        from {{ ledger }} as ledger
        where
            is_current
            and dataset in ('{{ datasets | join("', '") }}')
            {%- if requested %}
            and file_month in (date '{{ requested | join("', date '") }}')
            {%- endif %}
            and {{ '' if has_marts else 'not' }} exists (
                select 1
                from {{ built }} as built
                where
                    built.dataset = ledger.dataset
                    and built.file_month = ledger.file_month
                    and built.merged_at = ledger.merged_at
                    and built.marts_version = {{ marts_version() }}
            )

        order by file_month desc
    {%- endset -%}

    {%- set found = {} -%}
    {%- for row in ask_once(query).rows if not (is_empty and row['table_rows']) -%}
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
