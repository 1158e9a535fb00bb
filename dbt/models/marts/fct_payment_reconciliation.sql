{{ config(
    materialized='incremental',
    unique_key='order_id',
    on_schema_change='fail',
    cluster_by=['order_date'],
    post_hook="{{ delete_dead_keys('order_id', ref('fct_orders')) }}"
) }}

with orders as (
    select * from {{ ref('fct_orders') }}
),

payments as (
    select * from {{ ref('int_order_payments') }}
),

compared as (
    select
        orders.order_id,
        orders.order_date,
        orders.status as order_status,
        orders.currency,
        orders.fx_rate_usd,
        orders.total_amount as order_total,
        coalesce(payments.payment_events, 0) as payment_events,
        coalesce(payments.captured_events, 0) as captured_events,
        coalesce(payments.open_events, 0) as open_events,
        -- Money without a rate is unknown, not nothing.
        case when payments.unconverted_events > 0 then null else coalesce(payments.paid_amount, 0) end as paid_amount,
        case when payments.unconverted_events > 0 then null else coalesce(payments.refunded_amount, 0) end
            as refunded_amount,
        payments.platform_fee_usd,
        payments.seller_payout_usd
    from orders
    left join payments on orders.order_id = payments.order_id
),

reconciled as (
    select
        order_id,
        order_date,
        order_status,
        currency,
        order_total,
        paid_amount,
        refunded_amount,
        order_total - paid_amount as difference,
        {{ to_usd('(order_total - paid_amount)', 'fx_rate_usd') }} as difference_usd,
        case
            when payment_events = 0 then 'no_payment'
            when captured_events = 0 and open_events > 0 then 'pending'
            when captured_events = 0 then 'failed'
            when paid_amount is null then 'unconverted'
            when paid_amount > 0 and refunded_amount = paid_amount then 'refunded'
            when paid_amount = order_total then 'matched'
            when paid_amount < order_total then 'underpaid'
            else 'overpaid'
        end as reconciliation_status,
        payment_events > 0 as has_payment,
        payment_events,
        platform_fee_usd,
        seller_payout_usd
    from compared
)

{{ select_changed('reconciled', 'order_id') }}
