{{
    config(
        incremental_strategy='replace_file_month',
        indexes=[{'columns': ['unique_row_id'], 'unique': true}],
    )
}}

with

trips as (

    select * from {{ ref('stg_tlc__green_trips') }}
    where {{ is_landed_version(versions_to_merge('green')) }}

),

{{ with_ordinals('trips', 'green') }},

identified as (

    select
        {{ row_id('trips.row_key', 'coalesce(ordinals.ordinal, 1)') }} as unique_row_id,
        trips.file_month,
        trips.file_row,
        trips.vendor_id,
        trips.pickup_datetime,
        trips.dropoff_datetime,
        trips.passenger_count,
        trips.trip_distance,
        trips.rate_code_id,
        trips.store_and_fwd_flag,
        trips.pickup_location_id,
        trips.dropoff_location_id,
        trips.payment_type,
        trips.fare_amount,
        trips.extra,
        trips.mta_tax,
        trips.tip_amount,
        trips.tolls_amount,
        trips.improvement_surcharge,
        trips.total_amount,
        trips.congestion_surcharge,
        trips.cbd_congestion_fee,
        trips.request_source,
        trips.ehail_fee,
        trips.trip_type

    from trips
    left join ordinals
        on trips.file_month = ordinals.file_month
        and trips.file_row = ordinals.file_row

)

select * from identified
