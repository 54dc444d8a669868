-- Module 1, question 3: how many trips of a month are up to 1, 3, 7, 10 and over 10 miles long?
-- The course's month has the trips that begin and end in it.
select
    dataset, file_month,
    sum(case when trip_distance <= 1 then 1 else 0 end) as up_to_1_mile,
    sum(case when trip_distance > 1 and trip_distance <= 3 then 1 else 0 end) as up_to_3_miles,
    sum(case when trip_distance > 3 and trip_distance <= 7 then 1 else 0 end) as up_to_7_miles,
    sum(case when trip_distance > 7 and trip_distance <= 10 then 1 else 0 end) as up_to_10_miles,
    sum(case when trip_distance > 10 then 1 else 0 end) as over_10_miles
from {{ ref('trips') }}
where not is_outside_file_month and dropoff_datetime < {{ dbt.dateadd('month', 1, 'file_month') }}
group by dataset, file_month
order by dataset, file_month
