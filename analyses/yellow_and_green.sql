-- How did yellow, green and the apps do over the years? A year has trips of so many months here.
select
    dataset, extract(year from file_month) as year_number,
    count(*) as months, sum(all_rows - reversal_rows) as trips
from {{ ref('month_quality') }}
group by dataset, year_number
order by dataset, year_number
