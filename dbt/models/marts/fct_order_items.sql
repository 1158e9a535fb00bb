{{ config(
    materialized='incremental',
    unique_key='order_item_id',
    on_schema_change='fail',
    cluster_by=['order_date'],
    post_hook="{{ delete_dead_keys('order_item_id', '(select items.order_item_id from ' ~ ref('stg_marketplace__order_items')
        ~ ' as items inner join ' ~ ref('fct_orders') ~ ' as orders on items.order_id = orders.order_id)') }}"
) }}

with items as (
    select * from {{ ref('stg_marketplace__order_items') }}
),

items_usd as (
    select * from {{ ref('int_order_items_usd') }}
),

orders as (
    select * from {{ ref('fct_orders') }}
),

products as (
    select * from {{ ref('dim_products') }}
),

-- An open period ends at the end of time: a join on plain comparisons stays a hash join.
tiers as (
    select
        seller_id,
        tier,
        valid_from,
        coalesce(valid_to, {{ end_of_time() }}) as ends_at
    from {{ ref('int_seller_tier_scd2') }}
),

minor_units as (
    select * from {{ ref('minor_units') }}
),

-- Items whose order has not landed wait in quarantine.order_items.
described as (
    select
        items.order_item_id,
        items.order_id,
        items.product_id,
        items.seller_id,
        orders.order_date,
        orders.region,
        coalesce(products.category_id, -1) as category_id,
        coalesce(products.category_name, 'Uncategorized') as category_name,
        -- What the seller was when the order was made, whatever the seller is today.
        tiers.tier as seller_tier_at_order,
        tiers.valid_from as seller_tier_since,
        items.quantity,
        -- As long as the order has no value, none of its items counts: sums over items and over orders agree.
        case when orders.gmv_usd is not null then items_usd.total_price_usd end as gmv_usd,
        orders.is_gmv,
        orders.is_refunded,
        {{ item_amount_fault('items', 'minor_units') }} as amount_fault
    from items
    inner join orders on items.order_id = orders.order_id
    inner join items_usd on items.order_item_id = items_usd.order_item_id
    left join products on items.product_id = products.product_id
    left join tiers
        on
            items.seller_id = tiers.seller_id
            and orders.ordered_at >= tiers.valid_from
            and orders.ordered_at < tiers.ends_at
    left join minor_units on items.currency = minor_units.currency
)

{{ select_changed('described', 'order_item_id') }}
