{%- set weekdays = [
    'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'
] -%}
{%- set holidays = {
    "New Year's Day": 'month_of_year = 1 and day_of_month = 1',
    'Martin Luther King Jr. Day': 'month_of_year = 1 and day_of_week = 1 and day_of_month between 15 and 21',
    "Presidents' Day": 'month_of_year = 2 and day_of_week = 1 and day_of_month between 15 and 21',
    'Memorial Day': 'month_of_year = 5 and day_of_week = 1 and day_of_month >= 25',
    'Juneteenth': 'month_of_year = 6 and day_of_month = 19 and year_number >= 2021',
    'Independence Day': 'month_of_year = 7 and day_of_month = 4',
    'Labor Day': 'month_of_year = 9 and day_of_week = 1 and day_of_month <= 7',
    'Columbus Day': 'month_of_year = 10 and day_of_week = 1 and day_of_month between 8 and 14',
    'Veterans Day': 'month_of_year = 11 and day_of_month = 11',
    'Thanksgiving': 'month_of_year = 11 and day_of_week = 4 and day_of_month between 22 and 28',
    'Christmas Day': 'month_of_year = 12 and day_of_month = 25',
} -%}
with

days as (

    {{ dbt.date_spine('day', "date '2009-01-01'", "date '2041-01-01'") }}

),

plain as (

    select cast(date_day as date) as date_day from days

),

numbered as (

    select
        date_day,
        cast(extract(year from date_day) as {{ dbt.type_int() }}) as year_number,
        cast(extract(quarter from date_day) as {{ dbt.type_int() }}) as quarter_of_year,
        cast(extract(month from date_day) as {{ dbt.type_int() }}) as month_of_year,
        cast(extract(day from date_day) as {{ dbt.type_int() }}) as day_of_month,
        -- 2001-01-01 was a Monday
        mod({{ dbt.datediff("date '2001-01-01'", 'date_day', 'day') }}, 7) + 1 as day_of_week

    from plain

),

described as (

    select
        *,
        case day_of_week
            {%- for name in weekdays %}
            when {{ loop.index }} then '{{ name }}'
            {%- endfor %}
        end as day_name,
        day_of_week >= 6 as is_weekend,
        cast({{ dbt.dateadd('day', '1 - day_of_week', 'date_day') }} as date) as week_start,
        cast({{ dbt.dateadd('day', '1 - day_of_month', 'date_day') }} as date) as month_start,
        case
            {%- for name, rule in holidays.items() %}
            when {{ rule }} then '{{ dbt.escape_single_quotes(name) }}'
            {%- endfor %}
        end as holiday_name,
        day_of_week = 7
        and month_of_year = 3
        and day_of_month between 8 and 14 as is_clock_set_forward,
        day_of_week = 7
        and month_of_year = 11
        and day_of_month <= 7 as is_clock_set_back

    from numbered

),

named as (

    select
        *,
        holiday_name is not null as is_holiday

    from described

)

select * from named
