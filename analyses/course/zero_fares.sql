-- Module 3, question 4: how many records have a fare of 0?
select
    dataset, file_month, count(*) as trips,
    sum(case when fare_amount = 0 then 1 else 0 end) as zero_fares
from {{ ref('trips') }}
group by dataset, file_month
order by dataset, file_month
