{#- List of the file months that tests look at, as dates in text: in a build only those that this build
    has merged, else those requested, or all. -#}
{% macro tested_months(dataset) %}
    {%- set ledger = ref('file_ledger') -%}
    {%- if not execute -%}{{ return([]) }}{%- endif -%}
    {%- if dataset not in requested_datasets() -%}{{ return([]) }}{%- endif -%}

    {%- set months = requested_months() -%}
    {%- set query -%}
        select distinct file_month
        from {{ ledger }}
        where dataset = '{{ dataset }}'
        {%- if months %}
            and file_month in (date '{{ months | join("', date '") }}')
        {%- endif %}
        {%- if flags.WHICH == 'build' %}
            and invocation_id = '{{ invocation_id }}'
        {%- endif %}
        order by file_month
    {%- endset -%}
    {{ return(ask_once(query).columns[0].values() | map('string') | list) }}
{% endmacro %}


{#- With literal dates, so that no other partition is read. -#}
{% macro is_tested_month(dataset) %}
    {%- set months = tested_months(dataset) -%}
    {%- if months -%}
        file_month in (date '{{ months | join("', date '") }}')
    {%- else -%}
        {#- No file has this month: no partition is read. -#}
        file_month = date '0001-01-01'
    {%- endif -%}
{% endmacro %}
