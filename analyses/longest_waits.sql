-- Where do people wait longest for a car of an app? From request to pickup, at least 100 trips.
select
    hourly.file_month, hourly.company, zones.zone_name, zones.borough,
    sum(hourly.waited_trips) as trips,
    sum(hourly.waiting_minutes) / sum(hourly.waited_trips) as minutes_waited
from {{ ref('hourly_zone_trips') }} as hourly
inner join {{ ref('taxi_zones') }} as zones on hourly.pickup_location_id = zones.location_id
where hourly.pickup_location_id < 264
group by hourly.file_month, hourly.company, zones.location_id, zones.zone_name, zones.borough
having sum(hourly.waited_trips) >= 100
order by hourly.file_month asc, minutes_waited desc
