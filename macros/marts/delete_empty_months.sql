{#- A file without rows is accepted on demand: neither delete+insert nor insert_overwrite takes away the
    rows of a month that has none any more. -#}
{% macro delete_empty_months() %}
    {%- if not execute or not is_incremental() -%}{{ return('') }}{%- endif -%}
    {%- set months = months_of_marts(has_marts=false, is_empty=true) -%}
    {%- if months -%}
    delete from {{ this }} where {{ is_month_of(months, datasets()) }}
    {%- endif -%}
{% endmacro %}
