-- From which borough do trips begin, and how does that shift? Of trips with a known borough.
select
    dataset, file_month, pickup_borough, sum(trips) as trips,
    sum(trips) * 100
    / nullif(sum(sum(trips)) over (partition by dataset, file_month), 0) as share_percent
from {{ ref('monthly_trips') }}
where pickup_borough not in ('Unknown', 'N/A')
group by dataset, file_month, pickup_borough
order by dataset asc, file_month asc, trips desc
