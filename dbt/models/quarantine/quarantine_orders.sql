{{ config(alias='orders') }}

with orders as (
    select * from {{ ref('int_orders_enriched') }}
),

orders_usd as (
    select * from {{ ref('int_orders_usd') }}
),

reasons as (
    select
        order_id,
        'missing_fx_rate' as reason,
        concat({{ in_words('currency', 'unknown currency') }}, ' has no rate on ', coalesce(cast(order_date as string), 'an unknown date')) as detail
    from orders_usd
    where is_fx_missing
    union all
    select
        order_id,
        'total_mismatch' as reason,
        concat(
            'total ', {{ money_text('total_amount') }},
            ' is not subtotal ', {{ money_text('subtotal_amount') }},
            ' + shipping ', {{ money_text('coalesce(shipping_amount, 0)') }},
            ' + tax ', {{ money_text('coalesce(tax_amount, 0)') }},
            ' - discount ', {{ money_text('coalesce(discount_amount, 0)') }}
        ) as detail
    from orders
    where is_total_mismatch
    union all
    select
        order_id,
        amount_fault as reason,
        concat('total ', {{ money_text('total_amount') }}, ' ', {{ in_words('currency', 'unknown currency') }}) as detail
    from orders
    where amount_fault is not null
    union all
    select
        order_id,
        case when ordered_at is null then 'missing_order_date' else 'future_order_date' end as reason,
        concat(
            'created_at is ', coalesce(concat(cast({{ utc_date('ordered_at') }} as string), ', after it was read'), 'null'),
            ': the order is on no day and in no month'
        ) as detail
    from orders
    where order_date is null
),

{{ quarantined('reasons', 'order_id', source('marketplace', 'orders')) }}
