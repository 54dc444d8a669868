{%- set datasets = datasets_of_kind('app') -%}
-- dbt has to find the tables while it parses: each dataset of kind app stands here.
-- depends_on: {{ ref('fhv_tripdata') }}, {{ ref('fhvhv_tripdata') }}
with

trips as (

    {{ union_datasets(datasets) }}

),

described as (

    select
        -- ids
        trips.dataset,
        trips.unique_row_id,
        trips.file_month,
        trips.file_row,

        -- who, when, where
        coalesce(hvfhs_licenses.company, bases.company) as company,
        trips.hvfhs_license_num,
        trips.dispatching_base_num,
        bases.base_name as dispatching_base_name,
        trips.originating_base_num,
        trips.affiliated_base_num,
        trips.request_datetime,
        trips.on_scene_datetime,
        trips.pickup_datetime,
        trips.dropoff_datetime,
        {{ minutes_between('trips.request_datetime', 'trips.pickup_datetime') }} as waiting_minutes,
        {{ minutes_between('trips.pickup_datetime', 'trips.dropoff_datetime') }} as trip_minutes,
        trips.pickup_location_id,
        pickup_zones.zone_name as pickup_zone_name,
        pickup_zones.borough as pickup_borough,
        trips.dropoff_location_id,
        dropoff_zones.zone_name as dropoff_zone_name,
        dropoff_zones.borough as dropoff_borough,

        -- what the company reports
        trips.trip_miles,
        trips.trip_time,
        trips.shared_request_flag,
        trips.shared_match_flag,
        trips.access_a_ride_flag,
        trips.wav_request_flag,
        trips.wav_match_flag,
        trips.sr_flag,

        -- amounts
        trips.base_passenger_fare,
        trips.tolls,
        trips.bcf,
        trips.sales_tax,
        trips.congestion_surcharge,
        trips.airport_fee,
        trips.cbd_congestion_fee,
        trips.tips,
        trips.driver_pay,

        -- flags: each is true or false, and none takes a row away
        {{ is_outside_file_month('trips') }} as is_outside_file_month,
        coalesce(trips.pickup_datetime < trips.request_datetime, false) as is_pickup_before_request,
        coalesce(trips.dropoff_datetime < trips.pickup_datetime, false) as is_dropoff_before_pickup,
        coalesce(trips.base_passenger_fare < 0, false)
        or coalesce(trips.driver_pay < 0, false) as is_negative_amount,
        {{ is_unknown_zone('trips.pickup_location_id', 'trips.dropoff_location_id') }}
            as is_unknown_zone,
        -- the first row of a key has the id of ordinal 1
        case trips.dataset
            {%- for dataset in datasets %}
            when '{{ dataset }}'
                then trips.unique_row_id != {{ row_id(row_key(dataset, 'trips'), '1') }}
            {%- endfor %}
        end as is_repeat,
        coalesce(pickup_zones.is_in_cbd, false)
        or coalesce(dropoff_zones.is_in_cbd, false) as is_to_or_from_cbd,

        -- the newest column is the last: Postgres replaces a view only if its others stay in place
        bases.base_type as dispatching_base_type

    from trips
    -- The codes are unique, of seeds by an index, and tested: no join adds a row or takes one away.
    left join {{ ref('hvfhs_licenses') }} as hvfhs_licenses
        on trips.hvfhs_license_num = hvfhs_licenses.hvfhs_license_num
    left join {{ ref('licensed_bases') }} as bases
        on trips.dispatching_base_num = bases.base_num
    left join {{ ref('taxi_zones') }} as pickup_zones
        on trips.pickup_location_id = pickup_zones.location_id
    left join {{ ref('taxi_zones') }} as dropoff_zones
        on trips.dropoff_location_id = dropoff_zones.location_id

)

select * from described
