with

hourly as (

    select * from {{ ref('hourly_zone_trips') }}

),

zones as (

    select * from {{ ref('taxi_zones') }}

),

daily as (

    select
        dataset,
        file_month,
        cast(pickup_hour as date) as pickup_date,
        pickup_location_id,
        {{ whole_sum('trips') }} as trips,
        {{ whole_sum('reversals') }} as reversals,
        {{ whole_sum('null_block_trips') }} as null_block_trips,
        {{ whole_sum('passengers') }} as passengers,
        sum(miles) as miles,
        sum(minutes) as minutes,
        sum(fare_amount) as fare_amount,
        sum(extra) as extra,
        sum(mta_tax) as mta_tax,
        sum(tip_amount) as tip_amount,
        sum(tolls_amount) as tolls_amount,
        sum(ehail_fee) as ehail_fee,
        sum(improvement_surcharge) as improvement_surcharge,
        sum(congestion_surcharge) as congestion_surcharge,
        sum(airport_fee) as airport_fee,
        sum(cbd_congestion_fee) as cbd_congestion_fee,
        sum(black_car_fund) as black_car_fund,
        sum(sales_tax) as sales_tax,
        sum(total_amount) as total_amount,
        sum(driver_pay) as driver_pay,
        -- tips that were paid in cash are in no file
        {{ whole_sum('case when payment_type = 1 then trips end') }} as card_trips,
        sum(case when payment_type = 1 then fare_amount end) as card_fare_amount,
        sum(case when payment_type = 1 then tip_amount end) as card_tip_amount,
        {{ whole_sum('timed_trips') }} as timed_trips,
        sum(timed_miles) as timed_miles,
        sum(timed_minutes) as timed_minutes

    from hourly
    group by 1, 2, 3, 4

),

named as (

    -- new columns are at the end: then the view is replaced in place
    select
        daily.dataset,
        daily.file_month,
        daily.pickup_date,
        daily.pickup_location_id,
        daily.trips,
        daily.reversals,
        daily.null_block_trips,
        daily.passengers,
        daily.miles,
        daily.minutes,
        daily.fare_amount,
        daily.extra,
        daily.mta_tax,
        daily.tip_amount,
        daily.tolls_amount,
        daily.ehail_fee,
        daily.improvement_surcharge,
        daily.congestion_surcharge,
        daily.airport_fee,
        daily.cbd_congestion_fee,
        daily.black_car_fund,
        daily.sales_tax,
        daily.total_amount,
        daily.driver_pay,
        daily.card_trips,
        daily.card_fare_amount,
        daily.card_tip_amount,
        zones.zone_name as pickup_zone_name,
        zones.borough as pickup_borough,
        {{ ratio('daily.card_tip_amount', 'daily.card_fare_amount') }} * 100 as card_tip_percent,
        {{ ratio('daily.total_amount', 'daily.trips') }} as total_per_trip,
        {{ ratio('daily.miles', 'daily.trips') }} as miles_per_trip,
        daily.timed_trips,
        daily.timed_miles,
        daily.timed_minutes,
        {{ ratio('daily.timed_miles', 'daily.timed_minutes') }} * 60 as miles_per_hour

    from daily
    left join zones on daily.pickup_location_id = zones.location_id

)

select * from named
