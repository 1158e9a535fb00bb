{{ config(tags=['light'], materialized='view') }}

with orders as (
    select * from {{ ref('stg_marketplace__orders') }}
),

orders_usd as (
    select * from {{ ref('int_orders_usd') }}
),

item_totals as (
    select
        order_id,
        count(*) as item_count,
        sum(total_price_usd) as items_usd,
        sum(case when is_fx_missing then 1 else 0 end) as items_without_rate,
        sum(case when total_price_usd is null then 1 else 0 end) as items_without_value,
        min(currency) as lowest_currency,
        max(currency) as highest_currency
    from {{ ref('int_order_items_usd') }}
    group by order_id
),

users as (
    select * from {{ ref('stg_marketplace__users') }}
),

countries as (
    select * from {{ ref('country_regions') }}
),

minor_units as (
    select * from {{ ref('minor_units') }}
),

enriched as (
    select
        orders.order_id,
        orders.order_number,
        orders.buyer_id,
        orders.status,
        -- No order can have been made after it was read, but for what two clocks differ by: on which day one was that says so, nobody knows.
        case
            when orders.order_date <= {{ add_days(utc_date('orders._airbyte_extracted_at'), '1') }} then orders.order_date
        end as order_date,
        orders.created_at as ordered_at,
        orders.shipping_country,
        orders.shipping_country is null as is_shipping_country_missing,
        -- Where it goes; unknown or no country: where the buyer lives.
        coalesce(shipping.region, home.region, 'Unknown') as region,
        orders.currency,
        coalesce(
            item_totals.lowest_currency <> orders.currency or item_totals.highest_currency <> orders.currency, false
        ) as is_multi_currency,
        orders.subtotal_amount,
        orders.shipping_amount,
        orders.tax_amount,
        orders.discount_amount,
        orders.total_amount,
        orders_usd.total_amount_usd,
        orders_usd.fx_rate_usd,
        coalesce(item_totals.item_count, 0) as item_count,
        -- Half a sum would look like a whole one: an order with an item that has no value, for want of a rate or of its price, has none until that lands.
        case
            when orders_usd.is_fx_missing or item_totals.items_without_value > 0 then null
            else coalesce(item_totals.items_usd, 0)
        end as gmv_usd,
        orders.status not in ('pending', 'cancelled') as is_gmv,
        orders.status = 'refunded' as is_refunded,
        orders_usd.is_fx_missing or coalesce(item_totals.items_without_rate, 0) > 0 as is_fx_missing,
        orders.total_amount is distinct from (
            orders.subtotal_amount
            + coalesce(orders.shipping_amount, 0)
            + coalesce(orders.tax_amount, 0)
            - coalesce(orders.discount_amount, 0)
        ) as is_total_mismatch,
        {{ order_amount_fault('orders', 'minor_units') }} as amount_fault,
        orders.confirmed_at,
        orders.shipped_at,
        orders.delivered_at
    from orders
    inner join orders_usd on orders.order_id = orders_usd.order_id
    left join item_totals on orders.order_id = item_totals.order_id
    left join users on orders.buyer_id = users.user_id
    left join countries as shipping on orders.shipping_country = shipping.country_code
    left join countries as home on users.country_code = home.country_code
    left join minor_units on orders.currency = minor_units.currency
)

select * from enriched
