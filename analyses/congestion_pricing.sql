-- What did the toll of 2025-01-05 change? By days from the 5th on; compare with a year before.
{%- set days = dbt.datediff('file_month', dbt.dateadd('month', 1, 'file_month'), 'day') ~ ' - 4' %}
select
    dataset, file_month, sum(trips) / ({{ days }}) as trips_a_day,
    sum(cbd_congestion_fee) / ({{ days }}) as fees_a_day,
    sum(fee_trips) * 100 / nullif(sum(trips), 0) as percent_that_paid,
    sum(timed_miles) / nullif(sum(timed_minutes), 0) * 60 as miles_an_hour
from {{ ref('hourly_zone_trips') }} where extract(day from pickup_hour) >= 5
group by dataset, file_month
order by dataset asc, file_month asc
