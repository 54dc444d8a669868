{#- Readers queue behind DDL that waits for a table, so the wait is limited. -#}
{% macro limit_lock_waits() -%}
    {{ return(adapter.dispatch('limit_lock_waits', 'nyc_tlc')()) }}
{%- endmacro %}

{% macro default__limit_lock_waits() -%}
    set local lock_timeout = '{{ env_var("TLC_LOCK_SECONDS", "60") | int }}s'
{%- endmacro %}

{% macro bigquery__limit_lock_waits() -%}
{%- endmacro %}
