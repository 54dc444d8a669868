-- Between which zones do rides take longest? At least a hundred trips in the month.
select file_month, pickup_location_id, dropoff_location_id, trips, median_minutes, median_mph
from {{ ref('zone_pairs') }}
where trips >= 100 and dataset = 'yellow'
order by median_minutes desc
limit 20
