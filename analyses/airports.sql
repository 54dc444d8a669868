-- How many trips begin at the airports each month, and what does one bring in?
select
    file_month, revenue_zone, total_monthly_trips,
    revenue_monthly_total_amount / nullif(total_monthly_trips, 0) as dollars_a_trip
from {{ ref('monthly_zone_revenue') }}
where pickup_location_id in (1, 132, 138) and dataset = 'yellow'
order by file_month asc, revenue_zone asc
