-- How many trips of a month name no base, or one that isn't in the list?
select
    trips.dataset, trips.file_month, count(*) as all_trips,
    sum(case when trips.dispatching_base_num is null then 1 else 0 end) as trips_without_base,
    sum(case when bases.base_num is null then 1 else 0 end)
    - sum(case when trips.dispatching_base_num is null then 1 else 0 end) as trips_of_unknown_bases
from {{ ref('app_trips') }} as trips
left join {{ ref('licensed_bases') }} as bases on trips.dispatching_base_num = bases.base_num
group by trips.dataset, trips.file_month
order by trips.dataset, trips.file_month
