select * from {{ ref('int_trips_described') }}
