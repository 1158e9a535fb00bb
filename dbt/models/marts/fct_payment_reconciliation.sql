{{ config(
    materialized='incremental',
    unique_key='order_id',
    on_schema_change='fail',
    cluster_by=['order_date'],
    post_hook="{{ delete_dead_keys('order_id', '(select order_id from ' ~ ref('fct_orders') ~ ' union distinct select order_id from '
        ~ ref('int_payments_deduplicated') ~ ')') }}"
) }}

with orders as (
    select * from {{ ref('fct_orders') }}
),

payments as (
    select * from {{ ref('int_order_payments') }}
),

-- Both ways: orders that nobody paid for, and money for an order that has not landed. Money without a rate is unknown, not nothing.
joined as (
    select
        coalesce(orders.order_id, payments.order_id) as order_id,
        orders.order_date,
        orders.status as order_status,
        coalesce(orders.currency, payments.currency) as currency,
        orders.fx_rate_usd,
        orders.total_amount as order_total,
        orders.order_id is not null as has_order,
        coalesce(orders.order_date, payments.first_payment_date) as open_since_date,
        coalesce(payments.payment_events, 0) as payment_events,
        coalesce(payments.captured_events, 0) as captured_events,
        coalesce(payments.open_events, 0) as open_events,
        coalesce(payments.faulty_captures, 0) as faulty_captures,
        coalesce(payments.foreign_currency_events > 0, false) as is_multi_currency,
        coalesce(payments.payout_mismatch_events > 0, false) as has_payout_mismatch,
        coalesce(payments.faulty_events > 0, false) as has_amount_fault,
        case when payments.unconverted_events > 0 then null else coalesce(payments.paid_amount, 0) end as paid_amount,
        case when payments.unconverted_events > 0 then null else coalesce(payments.refunded_amount, 0) end
            as refunded_amount,
        case when payments.unconverted_events > 0 then null else coalesce(payments.disputed_amount, 0) end
            as disputed_amount,
        coalesce(payments.rounding_amount, 0) as rounding_amount,
        coalesce(payments.fee_events > 0, false) as has_fee,
        coalesce(payments.payout_events > 0, false) as has_payout,
        payments.platform_fee_usd,
        payments.seller_payout_usd
    from orders
    full outer join payments on orders.order_id = payments.order_id
),

-- What is missing of what is owed, of all that was paid and of what was not paid back.
compared as (
    select
        *,
        {{ beyond_rounding('(order_total - paid_amount)') }} as difference,
        {{ beyond_rounding('(order_total - (paid_amount - refunded_amount))') }} as difference_kept
    from joined
),

classified as (
    select
        *,
        {{ reconciliation_status() }} as reconciliation_status,
        {{ reconciliation_reason() }} as reconciliation_reason
    from compared
),

reconciled as (
    select
        order_id,
        order_date,
        order_status,
        currency,
        has_order,
        payment_events > 0 as has_payment,
        captured_events > 0 as has_capture,
        coalesce(refunded_amount > 0, false) as has_refund,
        coalesce(disputed_amount > 0, false) as has_dispute,
        has_fee,
        has_payout,
        payment_events,
        order_total,
        paid_amount,
        refunded_amount,
        disputed_amount,
        difference,
        {{ to_usd('difference', 'fx_rate_usd') }} as difference_usd,
        platform_fee_usd,
        seller_payout_usd,
        reconciliation_status,
        reconciliation_reason,
        reconciliation_reason
        in ('paid_in_full', 'refunded_in_full', 'excess_refunded', 'cancelled_unpaid', 'nothing_owed') as is_reconciled,
        open_since_date,
        is_multi_currency,
        has_payout_mismatch,
        has_amount_fault
    from classified
)

{{ select_changed('reconciled', 'order_id') }}
