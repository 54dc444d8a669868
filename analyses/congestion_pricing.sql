-- What did the toll of 2025-01 change? It is charged in Manhattan below 60th Street.
select
    dataset, file_month, sum(trips) as trips, sum(cbd_congestion_fee) as fees,
    sum(miles) / nullif(sum(minutes), 0) * 60 as miles_an_hour
from {{ ref('hourly_zone_trips') }}
where file_month between date '2024-12-01' and date '2025-02-01'
group by dataset, file_month
order by dataset asc, file_month asc
