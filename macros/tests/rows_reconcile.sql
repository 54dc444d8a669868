{#- Tested months whose row counts differ between the file's footer, the raw table, the trips table and the
    ledger. -#}
{% test rows_reconcile(model) %}
    {%- set dataset = dataset_of(model) -%}
    {%- set is_tested = is_tested_month(dataset) -%}

with

counted as (

    select
        file_month,
        count(*) as counted_rows

    from {{ model }}
    where {{ is_tested }}
    group by file_month

),

ledger as (

    select * from {{ ref('file_ledger') }}
    where dataset = '{{ dataset }}' and is_current and {{ is_tested }}

),

validation_errors as (

    select
        ledger.file_month,
        ledger.file_rows,
        ledger.landed_rows,
        ledger.table_rows,
        counted.counted_rows

    from ledger
    left join counted on ledger.file_month = counted.file_month
    where
        ledger.landed_rows != ledger.file_rows
        or ledger.table_rows != ledger.file_rows
        or coalesce(counted.counted_rows, 0) != ledger.file_rows
        or ledger.rows_added + ledger.rows_unchanged != ledger.table_rows

)

select * from validation_errors

{% endtest %}
