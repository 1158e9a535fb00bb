with open_orders as (
    select * from {{ ref('fct_payment_reconciliation') }}
    where not is_reconciled
),

orders as (
    select * from {{ ref('fct_orders') }}
),

-- The newest day in the data, not today's: the same tables always answer the same.
as_of as (
    select max(order_date) as as_of_date from orders
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
        open_orders.difference_usd,
        -- What somebody has to find, give back or argue about: `difference` says nothing of an order that was paid in full and then cancelled.
        case
            when open_orders.reconciliation_reason in ('order_missing', 'refund_missing')
                then abs(open_orders.paid_amount - open_orders.refunded_amount)
            when open_orders.reconciliation_reason = 'disputed' then open_orders.disputed_amount
            when open_orders.reconciliation_reason = 'refund_unexpected'
                then abs(open_orders.order_total - (open_orders.paid_amount - open_orders.refunded_amount))
            else abs(open_orders.difference)
        end as open_amount,
        orders.fx_rate_usd
    from open_orders
    cross join as_of
    left join orders on open_orders.order_id = orders.order_id
),

bucketed as (
    select
        order_id,
        as_of_date,
        open_since_date,
        days_open,
        order_status,
        reconciliation_status,
        reconciliation_reason,
        currency,
        difference,
        difference_usd,
        open_amount,
        {{ to_usd('open_amount', 'fx_rate_usd') }} as open_amount_usd,
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
