{{ config(
    tags=['heavy'],
    materialized='incremental',
    unique_key='event_key',
    on_schema_change='fail',
    post_hook="{{ delete_dead_keys('event_key', ref('int_payments_deduplicated')) }}"
) }}

with payments as (
    select
        *,
        {{ utc_date('created_at') }} as payment_date
    from {{ ref('int_payments_deduplicated') }}
),

rates as (
    select * from {{ ref('int_fx_rates_daily') }}
),

rated as (
    select
        payments.*,
        rates.fx_rate_date,
        {{ fx_rate_usd('payments.currency', 'rates.fx_rate_usd') }} as fx_rate_usd
    from payments
    left join rates on payments.currency = rates.currency and payments.payment_date = rates.calendar_date
),

converted as (
    select
        event_key,
        payment_id,
        order_id,
        currency,
        payment_date,
        fx_rate_date,
        fx_rate_usd,
        {{ to_usd('amount', 'fx_rate_usd') }} as amount_usd,
        {{ to_usd('platform_fee', 'fx_rate_usd') }} as platform_fee_usd,
        {{ to_usd('seller_payout', 'fx_rate_usd') }} as seller_payout_usd,
        fx_rate_usd is null as is_fx_missing,
        _raw_extracted_at
    from rated
)

{{ select_changed('converted', 'event_key') }}
