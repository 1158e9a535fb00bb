{{ config(alias='payments') }}

with payments as (
    select * from {{ ref('int_payments_usd') }}
),

orders as (
    select * from {{ ref('stg_marketplace__orders') }}
),

reasons as (
    select
        payments.payment_id,
        'orphan_order' as reason,
        concat('order ', payments.order_id, ' has not landed') as detail
    from payments
    left join orders on payments.order_id = orders.order_id
    where orders.order_id is null
    union all
    select
        payment_id,
        'missing_fx_rate' as reason,
        concat(currency, ' has no rate on ', coalesce(cast(payment_date as string), 'an unknown date')) as detail
    from payments
    where is_fx_missing
),

{{ quarantined('reasons', 'payment_id', source('marketplace', 'payments')) }}
