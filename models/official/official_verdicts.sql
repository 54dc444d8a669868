{%- set next_month = dbt.dateadd('month', 1, 'merged.file_month') -%}
{%- set days = dbt.datediff('merged.file_month', next_month, 'day') -%}
with

merged as (

    select
        dataset,
        file_month,
        table_rows

    from {{ ref('file_ledger') }}
    where is_current

),

figures as (

    select
        *,
        row_number() over (
            partition by dataset, month
            order by case source when 'monthly report' then 1 else 2 end, vintage desc
        ) as recency,
        row_number() over (
            partition by dataset, month, source
            order by vintage desc
        ) as recency_of_source

    from {{ ref('official_trips') }}

),

causes as (

    select * from {{ ref('official_causes') }}

),

compared as (

    select
        merged.dataset,
        merged.file_month,
        merged.table_rows,
        figures.trips as official_trips,
        merged.table_rows - figures.trips as official_difference,
        {{ ratio('merged.table_rows - figures.trips', 'figures.trips') }} as official_share,
        {# the rounding of a figure of trips a day, and a thousandth -#}
        figures.trips * 0.001
        + case when figures.trips_per_day is null then 0 else {{ days }} end as tolerance,
        figures.source,
        figures.vintage,
        -- it counts each trip, so what it lacks is what the bases have to send again
        by_base.trips as trips_by_base,
        causes.verdict as known_verdict,
        causes.up_to_share,
        causes.cause as known_cause,
        causes.awaits_republication

    from merged
    left join figures
        on merged.dataset = figures.dataset
        and merged.file_month = figures.month
        and figures.recency = 1
    left join figures as by_base
        on merged.dataset = by_base.dataset
        and merged.file_month = by_base.month
        and by_base.source = 'base report'
        and by_base.recency_of_source = 1
    left join causes
        on merged.dataset = causes.dataset
        and merged.file_month >= causes.first_month
        and merged.file_month <= coalesce(causes.last_month, merged.file_month)

),

judged as (

    select
        *,
        case
            when official_trips is null then 'no figure'
            when known_verdict = 'not comparable' then known_verdict
            when abs(official_difference) <= tolerance then 'agrees'
            when official_difference < 0 then 'file lacks'
            else 'file has more'
        end as official_verdict

    from compared

),

explainable as (

    select
        *,
        coalesce(
            official_verdict = known_verdict
            and (up_to_share is null or abs(official_share) <= up_to_share),
            false
        ) as is_explained

    from judged

),

explained as (

    select
        dataset,
        file_month,
        table_rows,
        official_trips,
        official_difference,
        official_share,
        official_verdict,
        case when is_explained then known_cause end as cause,
        (is_explained and awaits_republication)
        or coalesce(abs(table_rows - trips_by_base) > trips_by_base * 0.001, false)
            as awaits_republication,
        source,
        vintage

    from explainable

)

select {{ contract_order() }} from explained
