-- How many trips begin on holidays, and on other weekdays of their months?
with daily as (
    select cast(pickup_hour as date) as pickup_date, sum(trips) as trips
    from {{ ref('hourly_zone_trips') }} where dataset = 'yellow' group by pickup_date
)
select dates.month_start, dates.holiday_name, avg(daily.trips) as trips_a_day
from daily inner join {{ ref('dates') }} as dates on daily.pickup_date = dates.date_day
where not dates.is_weekend
group by dates.month_start, dates.holiday_name
