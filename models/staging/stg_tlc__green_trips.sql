with

source as (

    select * from {{ source('tlc_raw', 'green_tripdata') }}

),

renamed as (

    select
        -- where the row stands
        _file_month as file_month,
        _file_row as file_row,
        _dlt_load_id as load_id,

        -- ids
        vendor_id,
        rate_code_id,
        pickup_location_id,
        dropoff_location_id,

        -- codes
        cast(store_and_fwd_flag as {{ dbt.type_string() }}) as store_and_fwd_flag,
        payment_type,
        trip_type,
        cast(request_source as {{ dbt.type_string() }}) as request_source,

        -- numerics
        passenger_count,
        trip_distance,
        fare_amount,
        extra,
        mta_tax,
        tip_amount,
        tolls_amount,
        ehail_fee,
        improvement_surcharge,
        total_amount,
        congestion_surcharge,
        cbd_congestion_fee,

        -- timestamps
        {{ wall_clock('pickup_datetime') }} as pickup_datetime,
        {{ wall_clock('dropoff_datetime') }} as dropoff_datetime

    from source

)

select
    *,
    {{ row_key('green') }} as row_key

from renamed
