{{ config(
    tags=['heavy'],
    materialized='incremental',
    unique_key='order_item_id',
    on_schema_change='fail',
    post_hook="{{ delete_dead_keys('order_item_id', ref('stg_marketplace__order_items')) }}"
) }}

with items as (
    select * from {{ ref('stg_marketplace__order_items') }}
),

orders as (
    select
        order_id,
        order_date
    from {{ ref('stg_marketplace__orders') }}
),

rates as (
    select * from {{ ref('int_fx_rates_daily') }}
),

-- An item is worth what it was worth on its order's date, in its own currency.
rated as (
    select
        items.*,
        items._airbyte_extracted_at as _raw_extracted_at,
        orders.order_date,
        rates.fx_rate_date,
        {{ fx_rate_usd('items.currency', 'rates.fx_rate_usd') }} as fx_rate_usd
    from items
    left join orders on items.order_id = orders.order_id
    left join rates on items.currency = rates.currency and orders.order_date = rates.calendar_date
),

-- The row as it landed, its order's date and the rate: nothing else makes an amount in dollars.
changed as (
    {{ select_changed('rated', 'order_item_id', ['_raw_extracted_at', 'order_date', 'fx_rate_date', 'fx_rate_usd']) | indent(4) }}
),

converted as (
    select
        order_item_id,
        order_id,
        currency,
        order_date,
        fx_rate_date,
        fx_rate_usd,
        {{ to_usd('unit_price', 'fx_rate_usd') }} as unit_price_usd,
        {{ to_usd('total_price', 'fx_rate_usd') }} as total_price_usd,
        fx_rate_usd is null as is_fx_missing,
        _raw_extracted_at
    from changed
)

select * from converted
