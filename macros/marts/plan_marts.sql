{#- Settings of the transaction that builds a month of a mart. The groups fit in memory. The marts are
    built side by side, so that workers would only make groups twice. -#}
{% macro plan_marts() %}
    {{ return(adapter.dispatch('plan_marts', 'nyc_tlc')()) }}
{% endmacro %}

{% macro default__plan_marts() %}
    set local work_mem = '256MB';
    {%- if model.name == 'monthly_fares' %}
    -- it has few groups; Postgres expects a tenth of the rows, and would sort them
    set local hash_mem_multiplier = 8;
    {%- endif %}
    {%- if model.name != 'month_quality' %}
    set local max_parallel_workers_per_gather = 0;
    {%- endif %}
    set local jit = off;
    {{ limit_lock_waits() }}
{% endmacro %}

{% macro bigquery__plan_marts() %}
{% endmacro %}
