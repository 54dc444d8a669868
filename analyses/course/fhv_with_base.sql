-- Module 4, question 6: how many rows of fhv have a dispatching base?
select
    extract(year from file_month) as year_number, count(*) as all_rows,
    count(dispatching_base_num) as rows_with_base
from {{ ref('fhv_tripdata') }}
group by extract(year from file_month)
order by year_number
