-- Where do most trips begin? 264 and 265 are the unknown zone, and what is outside the city.
select dataset, pickup_zone_name, pickup_borough, sum(trips) as trips
from {{ ref('daily_zone_trips') }}
where pickup_location_id not in (264, 265)
group by dataset, pickup_location_id, pickup_zone_name, pickup_borough
order by dataset asc, trips desc
