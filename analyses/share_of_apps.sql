-- How did the apps take over? Trips a day by month, and their share in all trips of the month.
select
    dataset, file_month, company,
    sum(trips) / max(days_in_month) as trips_a_day,
    sum(trips) * 100 / nullif(sum(sum(trips)) over (partition by file_month), 0) as share_percent
from {{ ref('monthly_trips') }}
group by dataset, file_month, company
order by file_month asc, dataset asc, trips_a_day desc
