{{
    config(
        incremental_strategy='replace_file_month',
        indexes=[{'columns': ['unique_row_id'], 'unique': true}],
        partition_by={'field': 'file_month', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['pickup_datetime', 'pickup_location_id'],
    )
}}

with

trips as (

    select *
    from {{ ref('stg_tlc__yellow_trips') }}
    where {{ is_landed_version(versions_to_merge('yellow')) }}

),

identified as (

    select
        -- of the first row of each key; the merge numbers the rows that share one
        {{ row_id('row_key', '1') }} as unique_row_id,
        file_month,
        file_row,
        vendor_id,
        pickup_datetime,
        dropoff_datetime,
        passenger_count,
        trip_distance,
        rate_code_id,
        store_and_fwd_flag,
        pickup_location_id,
        dropoff_location_id,
        payment_type,
        fare_amount,
        extra,
        mta_tax,
        tip_amount,
        tolls_amount,
        improvement_surcharge,
        total_amount,
        congestion_surcharge,
        airport_fee,
        cbd_congestion_fee,
        request_source

    from trips

)

select * from identified
