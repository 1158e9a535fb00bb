with orders as (
    select
        buyer_id,
        gmv_usd,
        {{ month_start('order_date') }} as order_month
    from {{ ref('fct_orders') }}
    where is_gmv and order_date is not null
),

-- A customer belongs to the month of the first order that counts.
cohorts as (
    select
        buyer_id,
        min(order_month) as cohort_month
    from orders
    group by buyer_id
),

sizes as (
    select
        cohort_month,
        count(*) as cohort_customers
    from cohorts
    group by cohort_month
),

monthly as (
    select
        cohorts.cohort_month,
        {{ months_between('cohorts.cohort_month', 'orders.order_month') }} as months_since_first_order,
        count(distinct orders.buyer_id) as customers,
        count(*) as orders,
        coalesce(sum(orders.gmv_usd), 0) as gmv_usd
    from orders
    inner join cohorts on orders.buyer_id = cohorts.buyer_id
    group by cohort_month, months_since_first_order
),

retained as (
    select
        monthly.*,
        sizes.cohort_customers,
        cast(round(monthly.customers / sizes.cohort_customers, 4) as {{ dbt.type_numeric() }}) as retention_rate
    from monthly
    inner join sizes on monthly.cohort_month = sizes.cohort_month
)

select * from retained
