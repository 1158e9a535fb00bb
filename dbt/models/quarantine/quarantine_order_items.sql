{{ config(alias='order_items') }}

with items as (
    select
        usd.*,
        staged.unit_price,
        staged.total_price,
        staged.quantity
    from {{ ref('int_order_items_usd') }} as usd
    inner join {{ ref('stg_marketplace__order_items') }} as staged on usd.order_item_id = staged.order_item_id
),

orders as (
    select * from {{ ref('stg_marketplace__orders') }}
),

minor_units as (
    select * from {{ ref('minor_units') }}
),

-- An item without its order has no date, so that its missing rate is no fault of its own.
checked as (
    select
        items.*,
        orders.order_id is null as is_orphan,
        {{ item_amount_fault('items', 'minor_units') }} as amount_fault
    from items
    left join orders on items.order_id = orders.order_id
    left join minor_units on items.currency = minor_units.currency
),

reasons as (
    select
        order_item_id,
        'orphan_order' as reason,
        concat('order ', {{ in_words('order_id') }}, ' has not landed') as detail
    from checked
    where is_orphan
    union all
    select
        order_item_id,
        'missing_fx_rate' as reason,
        concat({{ in_words('currency', 'unknown currency') }}, ' has no rate on ', coalesce(cast(order_date as string), 'an unknown date')) as detail
    from checked
    where is_fx_missing and not is_orphan
    union all
    select
        order_item_id,
        amount_fault as reason,
        concat(
            {{ in_words('cast(quantity as string)') }}, ' x ', {{ money_text('unit_price') }}, ' = ', {{ money_text('total_price') }},
            ' ', {{ in_words('currency', 'unknown currency') }}
        ) as detail
    from checked
    where amount_fault is not null
),

{{ quarantined('reasons', 'order_item_id', source('marketplace', 'order_items')) }}
