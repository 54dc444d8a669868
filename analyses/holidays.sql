-- How many trips begin on a holiday, and on the month's other weekdays, which have no name?
select
    months.dataset, months.file_month, dates.holiday_name,
    coalesce(sum(daily.trips), 0) / count(distinct dates.date_day) as trips_a_day
from {{ ref('month_quality') }} as months
inner join {{ ref('dates') }} as dates on months.file_month = dates.month_start
left join {{ ref('daily_zone_trips') }} as daily
    on months.dataset = daily.dataset and dates.date_day = daily.pickup_date
    and dates.month_start = daily.file_month
where not dates.is_weekend
group by months.dataset, months.file_month, dates.holiday_name
order by months.dataset asc, months.file_month asc, dates.holiday_name asc
