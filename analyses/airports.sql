-- How many taxi trips begin at the airports each month, and what does one bring in?
select
    dataset, file_month, revenue_zone, total_monthly_trips,
    revenue_monthly_total_amount / nullif(total_monthly_trips, 0) as dollars_a_trip
from {{ ref('monthly_zone_revenue') }}
where pickup_location_id in (1, 132, 138)
order by dataset asc, file_month asc, revenue_zone asc
