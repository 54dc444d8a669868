{% macro with_ordinals(trips, dataset) -%}
repeated as (

    -- A few rows of a month share their key; only they need an ordinal other than 1.
    select
        file_month,
        row_key

    from {{ trips }}
    group by file_month, row_key
    having count(*) > 1

),

ordinals as (

    select
        {{ trips }}.file_month,
        {{ trips }}.file_row,
        row_number() over (
            partition by {{ trips }}.file_month, {{ trips }}.row_key
            order by
                {%- for column, type in tie_breakers(dataset) %}
                {{ sort_key(trips ~ '.' ~ column, type) }},
                {%- endfor %}
                {{ trips }}.file_row
        ) as ordinal

    from {{ trips }}
    inner join repeated
        on {{ trips }}.file_month = repeated.file_month
        and {{ trips }}.row_key = repeated.row_key

)
{%- endmacro %}


{% macro tie_breakers(dataset) %}
    {#- Part of the identity: never reorder; a new column goes to the end. -#}
    {%- set columns = [
        ('pickup_datetime', 'timestamp'),
        ('dropoff_datetime', 'timestamp'),
        ('fare_amount', 'double'),
        ('trip_distance', 'double'),
        ('total_amount', 'double'),
        ('payment_type', 'integer'),
        ('passenger_count', 'integer'),
        ('rate_code_id', 'integer'),
        ('store_and_fwd_flag', 'text'),
        ('extra', 'double'),
        ('mta_tax', 'double'),
        ('tip_amount', 'double'),
        ('tolls_amount', 'double'),
        ('improvement_surcharge', 'double'),
        ('congestion_surcharge', 'double'),
    ] -%}
    {%- if dataset == 'yellow' -%}
        {%- do columns.append(('airport_fee', 'double')) -%}
    {%- elif dataset == 'green' -%}
        {%- do columns.extend([('ehail_fee', 'double'), ('trip_type', 'integer')]) -%}
    {%- endif -%}
    {%- do columns.extend([('cbd_congestion_fee', 'double'), ('request_source', 'text')]) -%}
    {{ return(columns) }}
{% endmacro %}


{% macro sort_key(column, type) -%}
    {{ return(adapter.dispatch('sort_key', 'nyc_tlc')(column, type)) }}
{%- endmacro %}

{% macro default__sort_key(column, type) -%}
    {{ column }} nulls last
{%- endmacro %}

{% macro postgres__sort_key(column, type) -%}
    {{ column }}{{ ' collate "C"' if type == 'text' }} nulls last
{%- endmacro %}
