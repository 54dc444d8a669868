{% macro numbered_trips(trips, dataset, versions) -%}
    {{ return(adapter.dispatch('numbered_trips', 'nyc_tlc')(trips, dataset, versions)) }}
{%- endmacro %}

{% macro default__numbered_trips(trips, dataset, versions) -%}
{{ repeated_keys(trips, versions) }},

alone as (

    select
        *,
        1 as ordinal

    from {{ trips }}
    where
        {{ is_landed_version(versions) }}
        and not ({{ key_hash() }} in (select repeated.key_hash from repeated))

),

sharing as (

    select
        *,
        {{ ordinal(dataset) }} as ordinal

    from {{ trips }}
    where
        {{ is_landed_version(versions) }}
        and {{ key_hash() }} in (select repeated.key_hash from repeated)

),

numbered as (

    select * from alone
    union all
    select * from sharing

)
{%- endmacro %}

{#- The rows are read three times, each time by all cores. That is why the few values that one step
    hands to the next are multiranges: Postgres gives a scalar subquery's value to its parallel
    workers, but no rows of a common table expression. And there are no joins: the planner has no
    statistics of rows that landed seconds ago, and can't go wrong here. -#}
{% macro postgres__numbered_trips(trips, dataset, versions) -%}
{%- set place = "((cast(file_month - date '1970-01-01' as bigint) << 32) | file_row)" -%}
{{ repeated_keys(trips, versions) }},

sharing as (

    select
        *,
        {{ ordinal(dataset) }} as ordinal

    from {{ trips }}
    where
        {{ is_landed_version(versions) }}
        and (
            select coalesce(range_agg(int8range(repeated.key_hash, repeated.key_hash, '[]')), '{}')
            from repeated
        ) @> {{ key_hash() }}

),

later as (

    select *
    from sharing
    where ordinal > 1

),

first_of_key as (

    select
        *,
        1 as ordinal

    from {{ trips }}
    where
        {{ is_landed_version(versions) }}
        and not (
            select coalesce(range_agg(int8range({{ place }}, {{ place }}, '[]')), '{}')
            from later
        ) @> {{ place }}

),

numbered as (

    select * from first_of_key
    union all
    select * from later

)
{%- endmacro %}


{% macro repeated_keys(trips, versions) -%}
repeated as (

    -- A few rows of a month share their key. These may be some more: the hash is a coarse one.
    select {{ key_hash() }} as key_hash
    from {{ trips }}
    where {{ is_landed_version(versions) }}
    group by 1
    having count(*) > 1

)
{%- endmacro %}


{% macro ordinal(dataset) -%}
row_number() over (
            partition by file_month, row_key
            order by
                {%- for column, type in tie_breakers(dataset) %}
                {{ sort_key(column, type) }},
                {%- endfor %}
                file_row
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

{#- BigQuery takes NaN for the smallest number, Postgres for the greatest. -#}
{% macro bigquery__sort_key(column, type) -%}
    {{ column }} is null, {{ 'is_nan(' ~ column ~ '), ' if type == 'double' }}{{ column }}
{%- endmacro %}


{% macro key_hash() -%}
    {{ return(adapter.dispatch('key_hash', 'nyc_tlc')()) }}
{%- endmacro %}

{% macro default__key_hash() -%}
    farm_fingerprint(row_key)
{%- endmacro %}

{#- Numbers only: making the key's text for every row once more would cost as much as the id. Rows with
    one key have one hash; the hash tells apart what a month has many of, refunds included, so that
    few rows are looked at closer. -#}
{% macro postgres__key_hash() -%}
    cast(
        {{ key_seconds('pickup_datetime') }} * 1048576
        + {{ key_seconds('dropoff_datetime') }} * 1024
        + coalesce(pickup_location_id, 0) * cast(32 as double precision)
        + coalesce(dropoff_location_id, 0)
        + case
            when fare_amount > -1e15 and fare_amount < -0.001
                then case when floor(fare_amount * 100 + 0.5) < 0 then 512 else 0 end
            else 0
        end
    as bigint)
{%- endmacro %}

{#- In these years, a double holds the microseconds, and `floor` is right. -#}
{% macro key_seconds(column) -%}
    case
            when {{ column }} >= timestamp '1900-01-01' and {{ column }} < timestamp '2200-01-01'
                then floor(date_part('epoch', {{ column }}))
            else 0
        end
{%- endmacro %}
