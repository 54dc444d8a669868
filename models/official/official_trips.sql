{#- How many licences have the trips of a dataset, where a report has it in parts: without all of
    them there is no figure. -#}
{%- set parts = {('monthly report', 'fhv'): 3, ('base report', 'fhvhv'): 2} -%}
with

figures as (

    select
        *,
        -- of two versions with the same newest month, the one that came last
        dense_rank() over (
            partition by source, vintage, dataset, month
            order by landed_at desc nulls last, sha256 desc
        ) as recency

    from {{ ref('official_figures') }}

),

summed as (

    select
        dataset,
        month,
        vintage,
        cast(sum(trips_per_day) as {{ dbt.type_bigint() }}) as trips_per_day,
        {{ whole_sum('trips') }} as trips,
        source

    from figures
    where recency = 1
    group by dataset, month, vintage, source
    having
        count(*) = case
            {%- for (source, dataset), licences in parts.items() %}
            when source = '{{ source }}' and dataset = '{{ dataset }}' then {{ licences }}
            {%- endfor %}
            else 1
        end

)

select {{ contract_order() }} from summed
