-- A full refresh would drop it, with every view on it.
{{ config(materialized='incremental', full_refresh=false, post_hook='{{ record_marts() }}') }}
{%- set months = months_without_marts() -%}
{%- set days = dbt.datediff('versions.file_month', 'versions.month_end', 'day') -%}
{%- set flags = {
    'reversal': 'is_reversal',
    'outside_month': 'is_outside_file_month',
    'null_block': 'is_in_null_block',
    'dropoff_before_pickup': 'is_dropoff_before_pickup',
    'over_1000_miles': 'is_over_1000_miles',
    'unknown_zone': 'is_unknown_zone',
    'out_of_range': 'is_out_of_range',
} %}
with

trips as (

    {{ measured_trips(months) }}

),

counted as (

    select
        dataset,
        file_month,
        {%- for name, flag in flags.items() %}
        sum(case when {{ flag }} then 1 else 0 end) as {{ name }}_rows,
        {%- endfor %}
        count(*) as all_rows

    from trips
    group by dataset, file_month

),

marts as (

    {% for mart in [
        'hourly_zone_trips', 'zone_pairs', 'monthly_fares', 'monthly_trips', 'dropoff_hours',
    ] -%}
    select
        dataset,
        file_month,
        merged_at

    from {{ ref(mart) }}
    where {{ is_month_of(months, datasets()) }}
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

),

finished_marts as (

    select
        dataset,
        file_month,
        min(merged_at) as merged_at

    from marts
    group by dataset, file_month

),

-- Hours and zones in one scan, which is most of what they cost.
hours_and_zones as (

    select
        dataset,
        file_month,
        pickup_hour,
        pickup_location_id

    from {{ ref('hourly_zone_trips') }}
    where {{ is_month_of(months, datasets()) }}
    group by grouping sets (
        (dataset, file_month, pickup_hour),
        (dataset, file_month, pickup_location_id)
    )

),

month_hours as (

    select
        dataset,
        file_month,
        pickup_location_id,
        case
            when
                pickup_hour >= cast(file_month as {{ type_datetime() }})
                and pickup_hour < {{ dbt.dateadd('month', 1, 'file_month') }}
                and not {{ is_skipped_hour('pickup_hour') }}
                then pickup_hour
        end as month_hour

    from hours_and_zones

),

pickups as (

    select
        dataset,
        file_month,
        count(pickup_location_id) as pickup_zones,
        count(month_hour) as hours_with_trips,
        count(distinct cast(month_hour as date)) as days_with_trips

    from month_hours
    group by dataset, file_month

),

numbered_versions as (

    select
        *,
        row_number() over (partition by dataset, file_month order by merged_at) as number

    from {{ ref('file_ledger') }}
    where {{ is_month_of(months, datasets()) }}

),

versions as (

    select
        dataset,
        file_month,
        max(merged_at) as merged_at,
        count(*) as versions_seen,
        {{ whole_sum('case when number > 1 then rows_added else 0 end') }} as rows_added_since,
        {{ whole_sum('case when number > 1 then rows_removed else 0 end') }} as rows_removed_since,
        {{ dbt.dateadd('month', 1, 'file_month') }} as month_end,
        min(last_modified) as published_at

    from numbered_versions
    group by dataset, file_month

),

verdicts as (

    select * from {{ ref('official_verdicts') }}
    where {{ is_month_of(months, datasets()) }}

),

versioned as (

    select
        counted.dataset,
        counted.file_month,
        counted.all_rows,
        {%- for name in flags %}
        counted.{{ name }}_rows,
        {{ ratio('counted.' ~ name ~ '_rows', 'counted.all_rows') }} as {{ name }}_share,
        {%- endfor %}
        pickups.pickup_zones,
        versions.versions_seen,
        versions.rows_added_since,
        versions.rows_removed_since,
        {{ dbt.datediff('versions.month_end', 'versions.published_at', 'day') }}
            as days_until_published,
        least(finished_marts.merged_at, versions.merged_at) as merged_at,
        {{ marts_version() }} as marts_version,
        verdicts.official_trips,
        verdicts.official_difference,
        verdicts.official_share,
        verdicts.official_verdict,
        -- the clock skips an hour in March
        24 * {{ days }} - case when extract(month from counted.file_month) = 3 then 1 else 0 end
        - pickups.hours_with_trips as hours_without_trips,
        {{ days }} - pickups.days_with_trips as days_without_trips,
        quiet_months.reason as quiet_reason

    from counted
    inner join finished_marts
        on counted.dataset = finished_marts.dataset
        and counted.file_month = finished_marts.file_month
    inner join pickups
        on counted.dataset = pickups.dataset
        and counted.file_month = pickups.file_month
    inner join versions
        on counted.dataset = versions.dataset
        and counted.file_month = versions.file_month
    left join {{ ref('quiet_months') }} as quiet_months
        on counted.file_month = quiet_months.file_month
    left join verdicts
        on counted.dataset = verdicts.dataset
        and counted.file_month = verdicts.file_month

)

select {{ contract_order() }} from versioned
{{ kept_rows(months) }}
