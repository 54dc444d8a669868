select * from {{ ref('int_trips_described') }}
where
    not is_reversal
    and not is_outside_file_month
    and not is_dropoff_before_pickup
    and not is_over_1000_miles
    and not {{ has_no_place() }}
