-- Where do passengers tip most? Of trips by card, and all trips of apps: cash tips are in no file.
select
    hourly.dataset, zones.zone_name,
    sum(hourly.tip_amount) / nullif(sum(hourly.fare_amount), 0) * 100 as tip_percent
from {{ ref('hourly_zone_trips') }} as hourly
inner join {{ ref('taxi_zones') }} as zones on hourly.pickup_location_id = zones.location_id
where hourly.payment_type = 1 or hourly.dataset = 'fhvhv'
group by hourly.dataset, zones.location_id, zones.zone_name
having sum(hourly.trips) >= 1000
order by hourly.dataset asc, tip_percent desc
