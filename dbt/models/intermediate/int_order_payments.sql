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

minor_units as (
    select * from {{ ref('minor_units') }}
),

-- Amounts are compared in the order's currency; in the payments' own while the order has not landed.
events as (
    select
        payments.*,
        payments.status in ('completed', 'refunded', 'disputed') as is_captured,
        case
            when orders_usd.order_id is not null then orders_usd.currency
            else min(payments.currency) over (partition by payments.order_id)
        end as order_currency,
        orders_usd.fx_rate_usd as order_fx_rate_usd,
        payments_usd.fx_rate_usd,
        payments_usd.payment_date,
        minor_units.minor_units,
        payments_usd.platform_fee_usd,
        payments_usd.seller_payout_usd,
        {{ payment_amount_fault('payments', 'minor_units') }} as amount_fault
    from payments
    inner join payments_usd on payments.event_key = payments_usd.event_key
    left join orders_usd on payments.order_id = orders_usd.order_id
    left join minor_units on payments.currency = minor_units.currency
),

-- A payment in another currency goes through dollars, at the rates of its date and of the order's. The seller gets what the platform does not keep, and
-- nothing once refunded.
converted as (
    select
        *,
        case
            when currency = order_currency then amount
            else {{ in_currency('amount', 'fx_rate_usd', 'order_fx_rate_usd') }}
        end as order_amount,
        -- What a payment in another currency cannot say: half of the smallest unit of that, in the order's, and what order_amount was rounded by.
        case
            when currency <> order_currency
                then
                    {{ quotient(quotient('fx_rate_usd', 'order_fx_rate_usd'), 'case when minor_units = 0 then 2 else 200 end') }}
                    + cast('0.005' as {{ dbt.type_numeric() }})
        end as rounding_amount,
        case status
            when 'completed' then seller_payout is distinct from amount - coalesce(platform_fee, 0)
            when 'refunded' then coalesce(seller_payout, 0) <> 0
            else false
        end as is_payout_mismatch
    from events
),

totals as (
    select
        order_id,
        min(order_currency) as currency,
        min(payment_date) as first_payment_date,
        count(*) as payment_events,
        sum(case when is_captured then 1 else 0 end) as captured_events,
        sum(case when status in ('pending', 'processing') then 1 else 0 end) as open_events,
        sum(case when is_captured and order_amount is null then 1 else 0 end) as unconverted_events,
        sum(case when currency <> order_currency then 1 else 0 end) as foreign_currency_events,
        sum(case when is_payout_mismatch then 1 else 0 end) as payout_mismatch_events,
        sum(case when amount_fault is not null then 1 else 0 end) as faulty_events,
        sum(case when amount_fault is not null and is_captured then 1 else 0 end) as faulty_captures,
        coalesce(sum(case when is_captured then order_amount end), 0) as paid_amount,
        coalesce(sum(case when status = 'refunded' then order_amount end), 0) as refunded_amount,
        coalesce(sum(case when status = 'disputed' then order_amount end), 0) as disputed_amount,
        coalesce(sum(case when is_captured then rounding_amount end), 0) as rounding_amount,
        sum(case when is_captured and platform_fee is not null then 1 else 0 end) as fee_events,
        sum(case when is_captured and seller_payout is not null then 1 else 0 end) as payout_events,
        -- As with paid_amount: a part of a sum would look like the whole one.
        case
            when sum(case when is_captured and platform_fee is not null and platform_fee_usd is null then 1 else 0 end) = 0
                then sum(case when is_captured then platform_fee_usd end)
        end as platform_fee_usd,
        case
            when sum(case when is_captured and seller_payout is not null and seller_payout_usd is null then 1 else 0 end) = 0
                then sum(case when is_captured then seller_payout_usd end)
        end as seller_payout_usd
    from converted
    group by order_id
)

select * from totals
