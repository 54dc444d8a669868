with

hourly as (

    select * from {{ ref('hourly_zone_trips') }}
    where dataset in ('{{ datasets_of_kind('taxi') | join("', '") }}')

),

zones as (

    select * from {{ ref('taxi_zones') }}

),

monthly as (

    select
        dataset,
        file_month,
        pickup_location_id,
        sum(fare_amount) as revenue_monthly_fare,
        sum(extra) as revenue_monthly_extra,
        sum(mta_tax) as revenue_monthly_mta_tax,
        sum(tip_amount) as revenue_monthly_tip_amount,
        sum(tolls_amount) as revenue_monthly_tolls_amount,
        sum(ehail_fee) as revenue_monthly_ehail_fee,
        sum(improvement_surcharge) as revenue_monthly_improvement_surcharge,
        sum(congestion_surcharge) as revenue_monthly_congestion_surcharge,
        sum(total_amount) as revenue_monthly_total_amount,
        {{ whole_sum('trips') }} as total_monthly_trips,
        {{ ratio('sum(passengers)', 'sum(trips)') }} as avg_monthly_passenger_count,
        {{ ratio('sum(miles)', 'sum(trips)') }} as avg_monthly_trip_distance

    from hourly
    group by 1, 2, 3

),

named as (

    select
        monthly.*,
        coalesce(zones.zone_name, 'Unknown Zone') as revenue_zone,
        coalesce(zones.zone_name, 'Unknown Zone') as pickup_zone,
        monthly.file_month as revenue_month,
        initcap(monthly.dataset) as service_type

    from monthly
    left join zones on monthly.pickup_location_id = zones.location_id

)

select {{ contract_order() }} from named
