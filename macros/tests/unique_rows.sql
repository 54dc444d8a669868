{#- Ids that occur more than once in a tested month, or months whose ids can't be proved unique. -#}
{% test unique_rows(model, column_name) %}
    {{ return(adapter.dispatch('test_unique_rows', 'nyc_tlc')(model, column_name)) }}
{% endtest %}

{% macro default__test_unique_rows(model, column_name) %}

with

validation_errors as (

    select
        file_month,
        {{ column_name }},
        count(*) as row_count

    from {{ model }}
    where {{ is_tested_month(dataset_of(model)) }}
    group by file_month, {{ column_name }}
    having count(*) > 1

)

select * from validation_errors

{% endmacro %}

{#- Postgres has proved it already, by a unique index: what is left to test is that each month has
    the index. Counting 8 million ids again would take longer than building the month. -#}
{% macro postgres__test_unique_rows(model, column_name) %}

with

months as (

    select inhrelid as partition_id
    from pg_inherits
    where
        inhparent = cast('{{ model }}' as regclass)
        and pg_get_expr(
            (select relpartbound from pg_class where oid = inhrelid), inhrelid
        ) in (
            {% for month in tested_months(dataset_of(model)) -%}
            'FOR VALUES IN (''{{ month }}'')',
            {% endfor -%}
            ''
        )

),

validation_errors as (

    select cast(months.partition_id as regclass) as partition_without_unique_index
    from months
    where not exists (
        select 1
        from pg_index
        inner join pg_attribute
            on pg_index.indrelid = pg_attribute.attrelid
            and pg_index.indkey[0] = pg_attribute.attnum
        where
            pg_index.indrelid = months.partition_id
            and pg_index.indisunique
            and pg_index.indisvalid
            and pg_index.indnatts = 1
            and pg_index.indpred is null
            and pg_attribute.attname = '{{ column_name }}'
    )

)

select * from validation_errors

{% endmacro %}
