-- Modules 2 and 3: how many rows do the files of a year, or of some months, have?
select
    dataset, extract(year from file_month) as year_number, count(*) as months,
    min(file_month) as first_month, max(file_month) as last_month, sum(table_rows) as file_rows
from {{ ref('file_ledger') }}
where is_current
group by dataset, extract(year from file_month)
order by dataset, year_number
