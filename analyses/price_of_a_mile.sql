-- What does a mile cost, by service? With tolls, taxes and tips, and the fare alone.
select
    dataset, file_month, company,
    sum(total_amount) / nullif(sum(miles), 0) as dollars_a_mile,
    sum(fare_amount) / nullif(sum(miles), 0) as fare_a_mile,
    sum(driver_pay) * 100 / nullif(sum(fare_amount), 0) as driver_percent_of_fare
from {{ ref('monthly_trips') }}
where dataset != 'fhv'
group by dataset, file_month, company
order by dataset asc, file_month asc, company asc
