-- How fast are trips that begin in Manhattan, by hour of the day and year? Of plausible rides.
select
    dataset, extract(year from file_month) as year_number, hour_of_day,
    sum(timed_trips) as trips,
    sum(timed_miles) / nullif(sum(timed_minutes), 0) * 60 as miles_an_hour
from {{ ref('monthly_trips') }}
where pickup_borough = 'Manhattan' and timed_trips > 0
group by dataset, year_number, hour_of_day
order by dataset asc, year_number asc, hour_of_day asc
