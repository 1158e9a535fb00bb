with orders as (
    select
        buyer_id,
        gmv_usd,
        {{ month_start('order_date') }} as order_month
    from {{ ref('fct_orders') }}
    where is_gmv and order_date is not null
),

-- A customer belongs to the month of the first order that counts.
first_orders as (
    select
        buyer_id,
        min(order_month) as cohort_month
    from orders
    group by buyer_id
),

cohorts as (
    select
        cohort_month,
        count(*) as cohort_customers
    from first_orders
    group by cohort_month
),

last_month as (
    select max(order_month) as order_month from orders
),

-- Each cohort has a row for each month since, up to the last month with an order: a month in which nobody came back is a zero, not a gap.
calendar as (
    select
        cohorts.cohort_month,
        cohorts.cohort_customers,
        n as months_since_first_order
    from cohorts
    cross join last_month
    {{ cross_join_numbers(months_between('cohorts.cohort_month', 'last_month.order_month')) }}
),

activity as (
    select
        first_orders.cohort_month,
        {{ months_between('first_orders.cohort_month', 'orders.order_month') }} as months_since_first_order,
        count(distinct orders.buyer_id) as customers,
        count(*) as orders,
        sum(orders.gmv_usd) as gmv_usd
    from orders
    inner join first_orders on orders.buyer_id = first_orders.buyer_id
    group by cohort_month, months_since_first_order
),

retained as (
    select
        calendar.cohort_month,
        calendar.months_since_first_order,
        coalesce(activity.customers, 0) as customers,
        coalesce(activity.orders, 0) as orders,
        coalesce(activity.gmv_usd, 0) as gmv_usd,
        calendar.cohort_customers,
        cast(
            round({{ quotient('coalesce(activity.customers, 0)', 'calendar.cohort_customers') }}, 4)
            as {{ dbt.type_numeric() }}
        ) as retention_rate
    from calendar
    left join activity
        on
            calendar.cohort_month = activity.cohort_month
            and calendar.months_since_first_order = activity.months_since_first_order
)

select * from retained
