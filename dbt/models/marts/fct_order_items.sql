{{ config(materialized='view') }}

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
        items.quantity,
        -- As long as the order has no value, none of its items counts: sums over items and over orders agree.
        case when orders.gmv_usd is not null then items_usd.total_price_usd end as gmv_usd,
        orders.is_gmv,
        orders.is_refunded
    from items
    inner join orders on items.order_id = orders.order_id
    inner join items_usd on items.order_item_id = items_usd.order_item_id
    left join products on items.product_id = products.product_id
)

select * from described
