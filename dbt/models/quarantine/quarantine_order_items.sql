{{ config(alias='order_items') }}

with items as (
    select * from {{ ref('int_order_items_usd') }}
),

orders as (
    select * from {{ ref('stg_marketplace__orders') }}
),

reasons as (
    select
        items.order_item_id,
        case when orders.order_id is null then 'orphan_order' else 'missing_fx_rate' end as reason,
        case
            when orders.order_id is null then concat('order ', items.order_id, ' has not landed')
            else concat(
                items.currency, ' has no rate on ', coalesce(cast(items.order_date as string), 'an unknown date')
            )
        end as detail
    from items
    left join orders on items.order_id = orders.order_id
    where orders.order_id is null or items.is_fx_missing
),

{{ quarantined('reasons', 'order_item_id', source('marketplace', 'order_items')) }}
