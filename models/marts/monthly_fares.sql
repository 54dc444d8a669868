-- A full refresh would drop it, with every view on it.
{{ config(materialized='incremental', full_refresh=false) }}
{%- set months = months_without_marts() -%}
{#- Warehouses sort NaN differently: it is neither a fare nor a tip. -#}
{%- set measures = {
    'fare': 'case when not is_reversal and abs(fare_amount) < 1e9 then fare_amount end',
    'tip_percent': 'case'
        ~ ' when is_tip_recorded and fare_amount > 0 and fare_amount < 1e9 and abs(tip_amount) < 1e9'
        ~ ' then floor(tip_amount / fare_amount * 1000 + 0.5) / 10 end',
    'minutes': 'minutes',
    'miles': 'miles',
} -%}
{%- set grouping_sets =
    '(dataset, file_month, payment_type, '
    ~ measures | join('), (dataset, file_month, payment_type, ') ~ ')' -%}
{%- set shares = {'p50': 0.5, 'p90': 0.9, 'p95': 0.95, 'p97': 0.97} %}
with

trips as (

    {{ measured_trips(months) }}

),

measured as (

    select
        dataset,
        file_month,
        payment_type,
        {%- for measure, expression in measures.items() %}
        {{ expression }} as {{ measure }},
        {%- endfor %}
        is_reversal

    from trips

),

-- How often each value of a measure occurs: there are few of them, so that no month has to be
-- sorted. One scan counts those of all measures.
occurrences as (

    select
        dataset,
        file_month,
        payment_type,
        case
            {%- for measure in measures %}
            when grouping({{ measure }}) = 0 then '{{ measure }}'
            {%- endfor %}
        end as measure,
        coalesce({{ measures | join(', ') }}) as measured_value,
        sum(case when is_reversal then 0 else 1 end) as trips,
        sum(case when is_reversal then 1 else 0 end) as reversals

    from measured
    group by grouping sets ({{ grouping_sets }})

),

ranked as (

    select
        *,
        sum(case when measured_value is not null then trips end) over (
            partition by dataset, file_month, payment_type, measure
            order by measured_value
        ) as trips_so_far,
        sum(case when measured_value is not null then trips end) over (
            partition by dataset, file_month, payment_type, measure
        ) as all_trips,
        -- of all payments: values that are the same count together
        sum(case when measured_value is not null then trips end) over (
            partition by dataset, file_month, measure
            order by measured_value
        ) as month_trips_so_far,
        sum(case when measured_value is not null then trips end) over (
            partition by dataset, file_month, measure
        ) as all_month_trips

    from occurrences

),

fares as (

    select
        dataset,
        file_month,
        payment_type,
        {%- for measure in measures %}
        {%- for name, share in shares.items() %}
        min(
            case
                when measure = '{{ measure }}' and trips_so_far >= {{ share }} * all_trips
                    then measured_value
            end
        ) as {{ name }}_{{ measure }},
        {%- endfor %}
        {%- endfor %}
        {{ whole_sum("case when measure = 'fare' then trips end") }} as trips,
        {{ whole_sum("case when measure = 'fare' then reversals end") }} as reversals

    from ranked
    group by dataset, file_month, payment_type

),

months as (

    select
        {%- for measure in measures %}
        {%- for name in ['p50', 'p90'] %}
        min(
            case
                when
                    measure = '{{ measure }}'
                    and month_trips_so_far >= {{ shares[name] }} * all_month_trips
                    then measured_value
            end
        ) as month_{{ name }}_{{ measure }},
        {%- endfor %}
        {%- endfor %}
        dataset,
        file_month

    from ranked
    group by dataset, file_month

),

fares_of_months as (

    select
        {%- for measure in measures %}
        {%- for name in ['p50', 'p90'] %}
        months.month_{{ name }}_{{ measure }},
        {%- endfor %}
        {%- endfor %}
        fares.*

    from fares
    inner join months
        on fares.dataset = months.dataset
        and fares.file_month = months.file_month

),

{{ merged_rows('fares_of_months', months) }}
