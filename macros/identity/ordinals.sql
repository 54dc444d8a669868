{#- The models give each row the id of ordinal 1. Rows that share a key share that id, and are numbered
    when the month is built, by a window over all rows. On Postgres, where few rows of most months do, the
    loader says which to look at: then these alone are numbered, after the month is built. -#}
{% macro numbered_rows(dataset, columns, rows_sql) %}
    select
        {%- for column in columns %}
        {%- if column == 'unique_row_id' %}
        case
            when ordinal = 1 then unique_row_id
            else {{ row_id(row_key(dataset), 'ordinal') }}
        end as unique_row_id
        {%- else %}
        {{ adapter.quote(column) }}
        {%- endif %}{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select
            model.*,
            {{ ordinal(dataset) }} as ordinal
        from ({{ rows_sql }}) as model
    ) as numbered
{% endmacro %}


{#- The rows' places are kept in a table that doesn't outlive the transaction; no temporary one, which
    parallel workers can't make. -#}
{% macro number_repeated_keys(built, dataset, version) %}
    {%- set repeated = built.incorporate(path={'identifier': built.identifier ~ '_repeated'}) -%}
    {%- call statement('repeated') -%}
        create table {{ repeated }} as
        select ctid as place
        from {{ built }}
        where file_row in (
            select cast(unnest(string_to_array(shared_rows, ',')) as integer)
            from {{ source('tlc_raw', 'month_files') }}
            where load_id = '{{ version.load_id }}'
        )
    {%- endcall -%}
    {%- call statement('number') -%}
        -- a few rows, found by their place
        set local enable_nestloop = on;
        update {{ built }} as trips
        set unique_row_id = {{ row_id(row_key(dataset), 'numbered.ordinal') }}
        from (
            select
                ctid as place,
                {{ ordinal(dataset) }} as ordinal
            from {{ built }}
            where ctid = any(array(select repeated.place from {{ repeated }} as repeated))
        ) as numbered
        where trips.ctid = numbered.place and numbered.ordinal > 1;
        set local enable_nestloop = off;
        drop table {{ repeated }}
    {%- endcall -%}
{% endmacro %}

{#- SQL for the position of a row among the rows of its file month with the same key, and so far the same
    unique_row_id, in the order of the tie-breakers, then of the file. -#}
{% macro ordinal(dataset) -%}
row_number() over (
                    partition by unique_row_id
                    order by
                        {%- for column in numbered_columns(dataset, 'tie_breaker') %}
                        {{ sort_key(column.name, column.data_type) }},
                        {%- endfor %}
                        file_row
                )
{%- endmacro %}


{#- SQL for a column in an order that is the same on every warehouse: NULL last, text by its bytes. -#}
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
