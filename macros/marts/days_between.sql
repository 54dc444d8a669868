{% macro days_between(first, last) %}
    {{ return(adapter.dispatch('days_between', 'nyc_tlc')(first, last)) }}
{% endmacro %}

{% macro default__days_between(first, last) %}
    select cast(day_start as date) as date_day
    from generate_series(timestamp '{{ first }}', timestamp '{{ last }}', interval '1 day') as day_start
{% endmacro %}

{% macro bigquery__days_between(first, last) %}
    select date_day
    from unnest(generate_date_array('{{ first }}', '{{ last }}')) as date_day
{% endmacro %}
