-- Where do most taxi trips begin?
select zones.zone_name, zones.borough, sum(hourly.trips) as trips
from {{ ref('hourly_zone_trips') }} as hourly
inner join {{ ref('taxi_zones') }} as zones on hourly.pickup_location_id = zones.location_id
where hourly.dataset = 'yellow'
group by zones.location_id, zones.zone_name, zones.borough
order by trips desc
limit 20
