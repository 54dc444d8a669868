-- Module 1, question 6: to which zone did the trip go that had the largest tip of its pickup zone?
with tips as (
    select
        dataset, file_month, pickup_zone_name, dropoff_zone_name, tip_amount,
        row_number() over (
            partition by dataset, file_month, pickup_zone_name order by tip_amount desc
        ) as place
    from {{ ref('trips') }}
    where tip_amount is not null
)

select dataset, file_month, pickup_zone_name, dropoff_zone_name, tip_amount
from tips
where place = 1
order by dataset, file_month, pickup_zone_name
