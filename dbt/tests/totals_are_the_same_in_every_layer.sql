-- Money is neither made nor lost on the way: each total is summed on both sides of a step. Fees and payouts of an order count when all of them have a value.
with captured as (
    select
        events.*,
        usd.platform_fee_usd,
        usd.seller_payout_usd,
        sum(case when events.platform_fee is not null and usd.platform_fee_usd is null then 1 else 0 end) over of_order as fees_without_value,
        sum(case when events.seller_payout is not null and usd.seller_payout_usd is null then 1 else 0 end) over of_order as payouts_without_value
    from {{ ref('int_payments_deduplicated') }} as events
    inner join {{ ref('int_payments_usd') }} as usd on events.event_key = usd.event_key
    where events.status in ('completed', 'refunded', 'disputed')
    window of_order as (partition by events.order_id)
),

single_currency as (
    select order_id from {{ ref('fct_payment_reconciliation') }}
    where not is_multi_currency and paid_amount is not null
),

totals as (
    select
        'raw orders -> fct_orders, total_amount' as step,
        (
            select coalesce(sum(total_amount), 0) from {{ source('marketplace', 'orders') }}
            where {{ is_live() }}
        ) as total_before,
        (select coalesce(sum(total_amount), 0) from {{ ref('fct_orders') }}) as total_after
    union all
    select
        'int_orders_usd -> fct_orders, total_amount_usd' as step,
        (select coalesce(sum(total_amount_usd), 0) from {{ ref('int_orders_usd') }}) as total_before,
        (select coalesce(sum(total_amount_usd), 0) from {{ ref('fct_orders') }}) as total_after
    union all
    select
        'int_order_items_usd -> fct_orders, gmv_usd' as step,
        (
            select coalesce(sum(items.total_price_usd), 0)
            from {{ ref('int_order_items_usd') }} as items
            inner join {{ ref('fct_orders') }} as orders on items.order_id = orders.order_id
            where orders.gmv_usd is not null
        ) as total_before,
        (select coalesce(sum(gmv_usd), 0) from {{ ref('fct_orders') }}) as total_after
    union all
    select
        'fct_orders -> fct_order_items, gmv_usd' as step,
        (select coalesce(sum(gmv_usd), 0) from {{ ref('fct_orders') }}) as total_before,
        (select coalesce(sum(gmv_usd), 0) from {{ ref('fct_order_items') }}) as total_after
    union all
    select
        'int_payments_deduplicated -> fct_payment_reconciliation, paid_amount' as step,
        (
            select coalesce(sum(captured.amount), 0)
            from captured
            inner join single_currency on captured.order_id = single_currency.order_id
        ) as total_before,
        (
            select coalesce(sum(paid_amount), 0) from {{ ref('fct_payment_reconciliation') }}
            where not is_multi_currency
        ) as total_after
    union all
    select
        'int_payments_usd -> fct_payment_reconciliation, platform_fee_usd' as step,
        (
            select coalesce(sum(platform_fee_usd), 0) from captured
            where fees_without_value = 0
        ) as total_before,
        (select coalesce(sum(platform_fee_usd), 0) from {{ ref('fct_payment_reconciliation') }}) as total_after
    union all
    select
        'int_payments_usd -> fct_payment_reconciliation, seller_payout_usd' as step,
        (
            select coalesce(sum(seller_payout_usd), 0) from captured
            where payouts_without_value = 0
        ) as total_before,
        (select coalesce(sum(seller_payout_usd), 0) from {{ ref('fct_payment_reconciliation') }}) as total_after
)

select * from totals
where total_before <> total_after
