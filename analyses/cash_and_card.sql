-- How do passengers pay, month by month? Without a name: not recorded, as for all trips of apps.
select
    fares.dataset, fares.file_month, codes.payment_type_name, fares.trips,
    fares.p50_fare, fares.p90_fare
from {{ ref('monthly_fares') }} as fares
left join {{ ref('payment_types') }} as codes on fares.payment_type = codes.payment_type
order by fares.dataset asc, fares.file_month asc, fares.trips desc
