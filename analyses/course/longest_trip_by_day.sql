-- Module 1, question 4: on which day of a month does its longest trip begin?
with longest as (
    select
        dataset, file_month, pickup_datetime, trip_distance,
        row_number() over (partition by dataset, file_month order by trip_distance desc) as place
    from {{ ref('trips') }}
    where trip_distance is not null
)

select dataset, file_month, cast(pickup_datetime as date) as pickup_date, trip_distance
from longest
where place = 1
order by dataset, file_month
