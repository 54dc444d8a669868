-- Module 6, question 3: how many trips began on a day?
select dataset, cast(pickup_datetime as date) as pickup_date, count(*) as trips
from {{ ref('trips') }}
where not is_outside_file_month
group by dataset, cast(pickup_datetime as date)
order by dataset, pickup_date
