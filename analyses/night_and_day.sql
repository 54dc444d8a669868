-- How do night and day differ? Night is from 20:00 to 6:00.
select
    dataset, file_month, hour_of_day not between 6 and 19 as is_night, sum(trips) as trips,
    sum(total_amount) / nullif(sum(trips), 0) as dollars_a_trip,
    sum(miles) / nullif(sum(trips), 0) as miles_a_trip,
    sum(timed_miles) / nullif(sum(timed_minutes), 0) * 60 as miles_an_hour
from {{ ref('monthly_trips') }}
where hour_of_day is not null
group by dataset, file_month, is_night
order by dataset asc, file_month asc, is_night asc
