-- Why are there trips in 2008 and 2098? The years in which the trips of a file say that they began.
select
    dataset, file_month, extract(year from pickup_datetime) as pickup_year, count(*) as trips
from {{ ref('trips') }}
where is_outside_file_month
group by dataset, file_month, extract(year from pickup_datetime)
order by dataset, file_month, pickup_year
