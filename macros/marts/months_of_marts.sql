{#- The last mart, month_quality, says which merge of a month the marts count. A month that was merged
    since then, or whose marts were not finished, is built again. -#}
{% macro months_without_marts() %}
    {{ return(months_of_marts(has_marts=false)) }}
{% endmacro %}


{% macro months_of_marts(has_marts) %}
    {%- set ledger = ref('file_ledger') -%}
    {%- if not execute or load_relation(ledger) is none -%}{{ return({}) }}{%- endif -%}
    {#- Not by ref: it is built after all that asks here. -#}
    {%- set month_quality = api.Relation.create(
        database=target.database, schema=generate_schema_name('tlc_marts', none), identifier='month_quality'
    ) -%}
    {%- set has_quality = load_relation(month_quality) is not none -%}
    {%- set query -%}
        select
            ledger.dataset,
            ledger.file_month,
            {{ 'month_quality.dataset is not null' if has_quality else 'false' }} as has_marts

        from {{ ledger }} as ledger
        {% if has_quality %}
        left join {{ month_quality }} as month_quality
            on ledger.dataset = month_quality.dataset
            and ledger.file_month = month_quality.file_month
            and ledger.merged_at = month_quality.merged_at
        {% endif %}

        -- a file without rows leaves nothing to count
        where ledger.is_current and ledger.table_rows > 0
        order by ledger.file_month desc
    {%- endset -%}

    {%- set requested, found = requested_months(), {} -%}
    {%- for row in run_query(query).rows
        if row['dataset'] in requested_datasets() and row['has_marts'] == has_marts
        and 'pickup_location_id' in contract_columns(row['dataset']) -%}
        {%- set month, months = row['file_month'] | string, found.setdefault(row['dataset'], []) -%}
        {#- A build of all that is missing stays small: `nyc-tlc marts` builds month by month. -#}
        {%- if month in requested or (not requested and months | length < 12) -%}
            {%- do months.append(month) -%}
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


{#- The datasets that have a month here; any one when none has, so that a model has its columns. -#}
{% macro datasets_of(months) %}
    {%- set found = [] -%}
    {%- for dataset, of_dataset in months.items() if of_dataset -%}{%- do found.append(dataset) -%}{%- endfor -%}
    {{ return(found | sort or datasets()[:1]) }}
{% endmacro %}
