-- How do passengers pay, month by month?
select fares.file_month, codes.payment_type_name, fares.trips, fares.p50_fare, fares.p90_fare
from {{ ref('monthly_fares') }} as fares
inner join {{ ref('payment_types') }} as codes on fares.payment_type = codes.payment_type
where fares.dataset = 'yellow'
order by fares.file_month asc, fares.trips desc
