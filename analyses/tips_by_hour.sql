-- When do passengers tip most, and how do they pay? Tips in cash are in no file.
select
    monthly.dataset, codes.payment_type_name, monthly.hour_of_day,
    sum(monthly.trips) as trips,
    sum(monthly.tip_amount) * 100 / nullif(sum(monthly.fare_amount), 0) as tip_percent
from {{ ref('monthly_trips') }} as monthly
left join {{ ref('payment_types') }} as codes on monthly.payment_type = codes.payment_type
where monthly.dataset != 'fhv'
group by monthly.dataset, codes.payment_type_name, monthly.hour_of_day
order by monthly.dataset asc, codes.payment_type_name asc, monthly.hour_of_day asc
