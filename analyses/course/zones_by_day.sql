-- Module 1, question 5: in which pickup zones was more than 13,000 dollars paid on a day?
select
    dataset, cast(pickup_datetime as date) as pickup_date, pickup_zone_name,
    sum(total_amount) as total_amount
from {{ ref('trips') }}
group by dataset, cast(pickup_datetime as date), pickup_zone_name
having sum(total_amount) > 13000
order by dataset asc, pickup_date asc, total_amount desc
