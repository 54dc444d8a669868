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
        {%- for amount in amounts() %}
        sum({{ amount }}) as {{ amount }},
        {%- endfor %}
        -- tips that were paid in cash are in no file
        {{ whole_sum('case when payment_type = 1 then trips end') }} as card_trips,
        sum(case when payment_type = 1 then fare_amount end) as card_fare_amount,
        sum(case when payment_type = 1 then tip_amount end) as card_tip_amount,
        {{ whole_sum('timed_trips') }} as timed_trips,
        sum(timed_miles) as timed_miles,
        sum(timed_minutes) as timed_minutes,
        {{ whole_sum('fee_trips') }} as fee_trips,
        {{ whole_sum('waited_trips') }} as waited_trips,
        sum(waiting_minutes) as waiting_minutes

    from hourly
    group by 1, 2, 3, 4

),

named as (

    select
        daily.*,
        zones.zone_name as pickup_zone_name,
        zones.borough as pickup_borough,
        {{ ratio('daily.card_tip_amount', 'daily.card_fare_amount') }} * 100 as card_tip_percent,
        {{ ratio('daily.total_amount', 'daily.trips') }} as total_per_trip,
        {{ ratio('daily.miles', 'daily.trips') }} as miles_per_trip,
        {{ ratio('daily.timed_miles', 'daily.timed_minutes') }} * 60 as miles_per_hour

    from daily
    left join zones on daily.pickup_location_id = zones.location_id

)

select {{ contract_order() }} from named
