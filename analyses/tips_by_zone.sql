-- Where do passengers tip most? Of trips by card: tips in cash are in no file.
select zones.zone_name, sum(hourly.tip_amount) / sum(hourly.fare_amount) * 100 as tip_percent
from {{ ref('hourly_zone_trips') }} as hourly
inner join {{ ref('taxi_zones') }} as zones on hourly.pickup_location_id = zones.location_id
where hourly.dataset = 'yellow' and hourly.payment_type = 1
group by zones.location_id, zones.zone_name
having sum(hourly.trips) >= 1000
order by tip_percent desc
