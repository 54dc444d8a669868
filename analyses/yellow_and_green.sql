-- How did yellow and green do over the years?
select
    extract(year from file_month) as year_number,
    sum(case when dataset = 'yellow' then all_rows - reversal_rows end) as yellow_trips,
    sum(case when dataset = 'green' then all_rows - reversal_rows end) as green_trips
from {{ ref('month_quality') }}
group by year_number
order by year_number
