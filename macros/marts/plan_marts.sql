{#- Settings of the transaction that builds a month of a mart. The groups fit in memory, although Postgres
    guesses that there are many more. The marts are built side by side, so that workers would only make
    groups twice. -#}
{% macro plan_marts() %}
    {{ return(adapter.dispatch('plan_marts', 'nyc_tlc')()) }}
{% endmacro %}

{% macro default__plan_marts() %}
    set local work_mem = '256MB';
    set local hash_mem_multiplier = 8;
    {%- if model.name != 'month_quality' %}
    set local max_parallel_workers_per_gather = 0;
    {%- endif %}
    set local jit = off;
    {{ limit_lock_waits() }}
{% endmacro %}

{% macro bigquery__plan_marts() %}
{% endmacro %}
