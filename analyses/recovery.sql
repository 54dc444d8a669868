-- How far did each service come back? Trips a day, to the same month of 2019.
with
in_2019 as (
    select dataset, extract(month from file_month) as month_number, sum(trips) as trips
    from {{ ref('monthly_trips') }}
    where extract(year from file_month) = 2019
    group by dataset, month_number
)

select
    monthly.dataset, monthly.file_month,
    sum(monthly.trips) / max(monthly.days_in_month) as trips_a_day,
    sum(monthly.trips) * 100 / nullif(max(in_2019.trips), 0) as percent_of_2019
from {{ ref('monthly_trips') }} as monthly
left join in_2019
    on monthly.dataset = in_2019.dataset
    and extract(month from monthly.file_month) = in_2019.month_number
where monthly.file_month >= date '2020-01-01'
group by monthly.dataset, monthly.file_month
order by monthly.dataset asc, monthly.file_month asc
