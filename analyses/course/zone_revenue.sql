-- Module 4, questions 4 and 5: revenue and trips of each zone and month; sum them for a year.
select
    service_type, revenue_month, pickup_zone,
    sum(revenue_monthly_total_amount) as total_amount, sum(total_monthly_trips) as trips
from {{ ref('monthly_zone_revenue') }}
group by service_type, revenue_month, pickup_zone
order by service_type asc, revenue_month asc, total_amount desc
