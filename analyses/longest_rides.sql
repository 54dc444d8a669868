-- Between which zones do rides take longest? At least a hundred trips in the month.
select
    dataset, file_month, pickup_location_id, dropoff_location_id, trips,
    median_minutes, median_mph
from {{ ref('zone_pairs') }}
where trips >= 100 and pickup_location_id < 264 and dropoff_location_id < 264
order by dataset asc, median_minutes desc
