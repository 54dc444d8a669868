-- A row here is a file month that tlc_marts.trips doesn't show as it stands in the trips table:
-- rows are missing or doubled (a join on a seed whose codes aren't unique, a dataset left out), or
-- a flag is NULL, so that `where not is_reversal` would drop trips unseen. Looks at the months in
-- hand, in one scan; that the ledger's count is the table's is what rows_reconcile tests.
-- The flags are looked at by `dbt test`: they take longer than all else that a build tests, and no
-- month changes what their SQL makes of a NULL. Without them Postgres leaves out the joins, which
-- can't change the number of rows.

{%- set datasets = datasets_of_kind('taxi') %}
{%- set flags_of_a_trip = [] if flags.WHICH == 'build' else [
    'is_outside_file_month',
    'is_reversal',
    'is_in_null_block',
    'is_dropoff_before_pickup',
    'is_over_1000_miles',
    'is_unknown_zone',
    'is_without_position',
    'is_zone_by_coordinates',
    'is_to_or_from_cbd',
] %}

-- depends_on: {{ ref('file_ledger') }}, {{ ref('trips') }}
with

ledger as (

    {% for dataset in datasets -%}
    select
        dataset,
        file_month,
        table_rows

    from {{ ref('file_ledger') }}
    where dataset = '{{ dataset }}' and is_current and {{ is_tested_month(dataset) }}
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

),

counted as (

    {% for dataset in datasets -%}
    select
        dataset,
        file_month,
        count(*) as mart_rows,
        {% if flags_of_a_trip -%}
        sum(case when {{ flags_of_a_trip | join(' is null or ') }} is null then 1 else 0 end)
        {%- else -%}
        0
        {%- endif %} as rows_without_a_flag

    from {{ ref('trips') }}
    where dataset = '{{ dataset }}' and {{ is_tested_month(dataset) }}
    group by dataset, file_month
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

),

validation_errors as (

    select
        ledger.dataset,
        ledger.file_month,
        ledger.table_rows,
        counted.mart_rows,
        counted.rows_without_a_flag

    from ledger
    left join counted
        on ledger.dataset = counted.dataset
        and ledger.file_month = counted.file_month
    where
        coalesce(counted.mart_rows, 0) != ledger.table_rows
        or counted.rows_without_a_flag > 0

)

select * from validation_errors
