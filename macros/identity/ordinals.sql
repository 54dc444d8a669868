{#- The models give each row the id of ordinal 1. A few rows of a month share a key, and thus an id, by
    which they are found when the month is built: the later ones are given theirs then. Numbering
    in the model would sort the whole month by its text, or read it three times. -#}
{% macro number_shared_ids(built, dataset) %}
    {{ return(adapter.dispatch('number_shared_ids', 'nyc_tlc')(built, dataset)) }}
{% endmacro %}

{#- No row of these two tables outlives the transaction. They are no temporary ones, which parallel
    workers can't read; and the hash is sorted in less time than the id. -#}
{% macro default__number_shared_ids(built, dataset) %}
    {%- set shared = built.incorporate(path={'identifier': built.identifier ~ '_shared'}) -%}
    {%- set later = built.incorporate(path={'identifier': built.identifier ~ '_later'}) -%}
    {%- call statement('shared') -%}
        create table {{ shared }} as
        select uuid_hash_extended(unique_row_id, 0) as id_hash
        from {{ built }}
        group by 1
        having count(*) > 1
    {%- endcall -%}
    {%- call statement('later') -%}
        create table {{ later }} as
        select *
        from (
            select
                ctid as place,
                {{ ordinal(dataset) }} as ordinal
            from {{ built }}
            where uuid_hash_extended(unique_row_id, 0) in (select shared.id_hash from {{ shared }} as shared)
        ) as numbered
        where ordinal > 1
    {%- endcall -%}
    {%- call statement('number') -%}
        -- a few rows, found by their place
        set local enable_nestloop = on;
        update {{ built }} as trips
        set unique_row_id = {{ row_id(row_key(dataset), 'later.ordinal') }}
        from {{ later }} as later
        where trips.ctid = later.place;
        set local enable_nestloop = off;
        drop table {{ shared }}, {{ later }}
    {%- endcall -%}
{% endmacro %}

{#- A statement of the script that builds and merges the month. -#}
{% macro bigquery__number_shared_ids(built, dataset) %}
        update {{ built }} as trips
        set unique_row_id = {{ row_id(row_key(dataset), 'later.ordinal') }}
        from (
            select
                file_row,
                {{ ordinal(dataset) }} as ordinal
            from {{ built }}
            where unique_row_id in (select unique_row_id from {{ built }} group by 1 having count(*) > 1)
        ) as later
        where trips.file_row = later.file_row and later.ordinal > 1
{%- endmacro %}


{% macro ordinal(dataset) -%}
row_number() over (
                    partition by unique_row_id
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
