-- dbt has to find the tables while it parses: each dataset of kind taxi stands here.
-- depends_on: {{ ref('green_tripdata') }}, {{ ref('yellow_tripdata') }}
with

trips as (

    {{ union_datasets(datasets_of_kind('taxi')) }}

),

described as (

    select
        -- ids
        trips.dataset,
        trips.unique_row_id,
        trips.file_month,
        trips.file_row,

        -- who, when, where
        trips.vendor_id,
        vendors.vendor_name,
        trips.pickup_datetime,
        trips.dropoff_datetime,
        {{ minutes_between('trips.pickup_datetime', 'trips.dropoff_datetime') }} as trip_minutes,
        {{ zone_of('pickup') }} as pickup_location_id,
        pickup_zones.zone_name as pickup_zone_name,
        pickup_zones.borough as pickup_borough,
        {{ zone_of('dropoff') }} as dropoff_location_id,
        dropoff_zones.zone_name as dropoff_zone_name,
        dropoff_zones.borough as dropoff_borough,

        -- what the meter and the driver recorded
        trips.passenger_count,
        trips.trip_distance,
        trips.rate_code_id,
        rate_codes.rate_code_name,
        trips.store_and_fwd_flag,
        trips.payment_type,
        payment_types.payment_type_name,
        trips.trip_type,
        trip_types.trip_type_name,
        trips.request_source,

        -- amounts
        trips.fare_amount,
        trips.extra,
        trips.mta_tax,
        trips.tip_amount,
        trips.tolls_amount,
        trips.ehail_fee,
        trips.improvement_surcharge,
        trips.total_amount,
        trips.congestion_surcharge,
        trips.airport_fee,
        trips.cbd_congestion_fee,

        -- flags: each is true or false, and none takes a row away
        {{ is_outside_file_month('trips') }} as is_outside_file_month,
        coalesce(trips.fare_amount < 0, false)
        or coalesce(trips.total_amount < 0, false) as is_reversal,
        trips.passenger_count is null
        and trips.rate_code_id is null
        and trips.store_and_fwd_flag is null as is_in_null_block,
        coalesce(trips.dropoff_datetime < trips.pickup_datetime, false) as is_dropoff_before_pickup,
        -- `not <=`, since NaN is above 1000 on Postgres and below it on BigQuery
        coalesce(not trips.trip_distance <= 1000, false) as is_over_1000_miles,
        {{ is_unknown_zone(zone_of('pickup'), zone_of('dropoff')) }} as is_unknown_zone,

        -- of the first two years, which have coordinates and no zones; new columns are at the end
        trips.pickup_longitude,
        trips.pickup_latitude,
        trips.dropoff_longitude,
        trips.dropoff_latitude,
        trips.pickup_location_id is null
        and coalesce(trips.pickup_longitude = 0 and trips.pickup_latitude = 0, true)
        or trips.dropoff_location_id is null
        and coalesce(trips.dropoff_longitude = 0 and trips.dropoff_latitude = 0, true)
            as is_without_position,
        trips.pickup_location_id is null and {{ zone_of('pickup') }} is not null
        or trips.dropoff_location_id is null and {{ zone_of('dropoff') }} is not null
            as is_zone_by_coordinates,
        coalesce(pickup_zones.is_in_cbd, false)
        or coalesce(dropoff_zones.is_in_cbd, false) as is_to_or_from_cbd

    from trips
    -- The seeds' codes are unique, by an index and by a test: no join adds a row or takes one away.
    left join {{ ref('vendors') }} as vendors
        on trips.vendor_id = vendors.vendor_id
    left join {{ ref('taxi_zones') }} as pickup_zones
        on {{ zone_of('pickup') }} = pickup_zones.location_id
    left join {{ ref('taxi_zones') }} as dropoff_zones
        on {{ zone_of('dropoff') }} = dropoff_zones.location_id
    left join {{ ref('rate_codes') }} as rate_codes
        on trips.rate_code_id = rate_codes.rate_code_id
    left join {{ ref('payment_types') }} as payment_types
        on trips.payment_type = payment_types.payment_type
    left join {{ ref('trip_types') }} as trip_types
        on trips.trip_type = trip_types.trip_type

)

select * from described
