-- At which hours of the day are there most trips, and what does one bring in?
select
    dataset, extract(hour from pickup_hour) as hour_of_day, sum(trips) as trips,
    sum(total_amount) / nullif(sum(trips), 0) as dollars_a_trip
from {{ ref('hourly_zone_trips') }}
where pickup_hour is not null
group by dataset, hour_of_day
order by dataset, hour_of_day
