{#- The trips of a mart are the ledger's rows, in each month that this build changes. The last mart of
    a month is built when all have them; on BigQuery the answer is that of before (ask_once). `rows_sql` says
    how many rows of the file a row of the mart counts. -#}
{% test marts_reconcile(model, rows_sql='trips + reversals', is_last=false) %}
    {%- set months = months_of_marts(has_marts=flags.WHICH != 'build' or is_last and target.type != 'bigquery') %}
with

counted as (

    select
        dataset,
        file_month,
        sum({{ rows_sql }}) as counted_rows

    from {{ model }}
    where {{ is_month_of(months, datasets()) }}
    group by 1, 2

),

ledger as (

    select * from {{ ref('file_ledger') }}
    where is_current and ({{ is_month_of(months, datasets()) }})

),

validation_errors as (

    select
        ledger.dataset,
        ledger.file_month,
        ledger.table_rows,
        counted.counted_rows

    from ledger
    left join counted
        on ledger.dataset = counted.dataset
        and ledger.file_month = counted.file_month
    where coalesce(counted.counted_rows, 0) != ledger.table_rows

)

select * from validation_errors

{% endtest %}
