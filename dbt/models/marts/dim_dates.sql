with bounds as (
    select
        min(order_date) as first_date,
        max(order_date) as last_date
    from {{ ref('fct_orders') }}
),

rate_dates as (
    select distinct rate_date from {{ ref('stg_ecb__fx_rates') }}
),

calendar as (
    select {{ add_days('bounds.first_date', 'n') }} as date_day
    from bounds
    {{ cross_join_numbers(days_between('bounds.first_date', 'bounds.last_date')) }}
),

described as (
    select
        calendar.date_day,
        {{ month_start('calendar.date_day') }} as month_start,
        extract(year from calendar.date_day) as calendar_year,
        rate_dates.rate_date is not null as is_ecb_business_day
    from calendar
    left join rate_dates on calendar.date_day = rate_dates.rate_date
)

select * from described
