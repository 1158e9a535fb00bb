{{ config(tags=['light'], materialized='view') }}

with payments as (
    select * from {{ ref('int_payments_deduplicated') }}
),

payments_usd as (
    select * from {{ ref('int_payments_usd') }}
),

orders_usd as (
    select * from {{ ref('int_orders_usd') }}
),

-- Money that was captured, whatever became of it later. A payment in another currency goes through its own dollars to the order's currency.
events as (
    select
        payments.order_id,
        payments.status,
        payments.status in ('completed', 'refunded', 'disputed') as is_captured,
        case
            when payments.currency = orders_usd.currency then payments.amount
            else cast(
                round({{ quotient('payments_usd.amount_usd', 'orders_usd.fx_rate_usd') }}, 2) as {{ dbt.type_numeric() }}
            )
        end as amount_in_order_currency,
        payments_usd.platform_fee_usd,
        payments_usd.seller_payout_usd
    from payments
    inner join payments_usd on payments.event_key = payments_usd.event_key
    inner join orders_usd on payments.order_id = orders_usd.order_id
),

totals as (
    select
        order_id,
        count(*) as payment_events,
        sum(case when is_captured then 1 else 0 end) as captured_events,
        sum(case when status in ('pending', 'processing') then 1 else 0 end) as open_events,
        sum(case when is_captured and amount_in_order_currency is null then 1 else 0 end) as unconverted_events,
        coalesce(sum(case when is_captured then amount_in_order_currency end), 0) as paid_amount,
        coalesce(sum(case when status = 'refunded' then amount_in_order_currency end), 0) as refunded_amount,
        sum(case when is_captured then platform_fee_usd end) as platform_fee_usd,
        sum(case when is_captured then seller_payout_usd end) as seller_payout_usd
    from events
    group by order_id
)

select * from totals
