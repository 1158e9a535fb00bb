{{ config(alias='payments') }}

-- The row that says how an event stands is the one with the fault, whichever row gave the event its name.
with last_rows as (
    select
        event_key,
        payment_id as last_row_id
    from {{ ref('stg_marketplace__payments') }}
    qualify row_number() over (
        partition by event_key
        order by coalesce(event_timestamp, created_at) desc nulls last, created_at desc nulls last, payment_id desc
    ) = 1
),

payments as (
    select
        usd.*,
        last_rows.last_row_id,
        events.amount,
        orders.order_id is null as is_orphan,
        {{ payment_amount_fault('events', 'minor_units') }} as amount_fault
    from {{ ref('int_payments_usd') }} as usd
    inner join {{ ref('int_payments_deduplicated') }} as events on usd.event_key = events.event_key
    inner join last_rows on usd.event_key = last_rows.event_key
    left join {{ ref('stg_marketplace__orders') }} as orders on usd.order_id = orders.order_id
    left join {{ ref('minor_units') }} as minor_units on events.currency = minor_units.currency
),

reasons as (
    select
        payment_id,
        last_row_id,
        'orphan_order' as reason,
        concat('order ', {{ in_words('order_id') }}, ' has not landed') as detail
    from payments
    where is_orphan
    union all
    select
        payment_id,
        last_row_id,
        'missing_fx_rate' as reason,
        concat({{ in_words('currency', 'unknown currency') }}, ' has no rate on ', coalesce(cast(payment_date as string), 'an unknown date')) as detail
    from payments
    where is_fx_missing
    union all
    select
        payment_id,
        last_row_id,
        amount_fault as reason,
        concat({{ money_text('amount') }}, ' ', {{ in_words('currency', 'unknown currency') }}) as detail
    from payments
    where amount_fault is not null
),

{{ quarantined('reasons', 'payment_id', source('marketplace', 'payments'), row_id='last_row_id') }}
