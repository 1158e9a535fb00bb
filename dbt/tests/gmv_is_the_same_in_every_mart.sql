-- Orders, days, sellers and cohorts are cut differently from the same money. Only orders without a date are on no day and in no cohort.
with totals as (
    select
        coalesce(sum(gmv_usd), 0) as of_orders,
        coalesce(sum(case when order_date is not null then gmv_usd end), 0) as of_dated_orders
    from {{ ref('fct_orders') }}
    where is_gmv
),

days as (
    select coalesce(sum(gmv_usd), 0) as of_days from {{ ref('fct_daily_sales') }}
),

sellers as (
    select coalesce(sum(gmv_usd), 0) as of_sellers from {{ ref('fct_seller_performance') }}
),

cohorts as (
    select coalesce(sum(gmv_usd), 0) as of_cohorts from {{ ref('fct_customer_cohorts') }}
)

select *
from totals
cross join days
cross join sellers
cross join cohorts
where
    of_sellers <> of_orders
    or of_days <> of_dated_orders
    or of_cohorts <> of_dated_orders
