-- When do trips begin and end at the airports? 1 is Newark, 132 JFK, 138 LaGuardia.
select
    dataset, file_month, location_id, hour_of_day,
    sum(case when is_pickup then trips else 0 end) as trips_from,
    sum(case when is_pickup then 0 else trips end) as trips_to
from (
    select
        dataset, file_month, pickup_location_id as location_id, true as is_pickup,
        cast(extract(hour from pickup_hour) as {{ dbt.type_int() }}) as hour_of_day, trips
    from {{ ref('hourly_zone_trips') }}
    union all
    select dataset, file_month, dropoff_location_id, false as is_pickup, hour_of_day, trips
    from {{ ref('dropoff_hours') }}
) as ends
where location_id in (1, 132, 138)
group by dataset, file_month, location_id, hour_of_day
order by dataset asc, file_month asc, location_id asc, hour_of_day asc
