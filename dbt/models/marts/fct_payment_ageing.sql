with open_orders as (
    select * from {{ ref('fct_payment_reconciliation') }}
    where not is_reconciled
),

-- The newest day in the data, not today's: the same tables always answer the same.
as_of as (
    select max(order_date) as as_of_date from {{ ref('fct_orders') }}
),

aged as (
    select
        open_orders.order_id,
        as_of.as_of_date,
        open_orders.open_since_date,
        {{ days_since('open_orders.open_since_date', 'as_of.as_of_date') }} as days_open,
        open_orders.order_status,
        open_orders.reconciliation_status,
        open_orders.reconciliation_reason,
        open_orders.currency,
        open_orders.difference,
        open_orders.difference_usd
    from open_orders
    cross join as_of
),

bucketed as (
    select
        *,
        case
            when days_open <= 7 then '0-7 days'
            when days_open <= 30 then '8-30 days'
            when days_open <= 90 then '31-90 days'
            when days_open > 90 then 'over 90 days'
            else 'unknown'
        end as ageing_bucket
    from aged
)

select * from bucketed
