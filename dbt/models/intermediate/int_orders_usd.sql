{{ config(
    tags=['heavy'],
    materialized='incremental',
    unique_key='order_id',
    on_schema_change='fail',
    post_hook="{{ delete_dead_keys('order_id', ref('stg_marketplace__orders')) }}"
) }}

with orders as (
    select * from {{ ref('stg_marketplace__orders') }}
),

rates as (
    select * from {{ ref('int_fx_rates_daily') }}
),

rated as (
    select
        orders.*,
        orders._airbyte_extracted_at as _raw_extracted_at,
        rates.fx_rate_date,
        {{ fx_rate_usd('orders.currency', 'rates.fx_rate_usd') }} as fx_rate_usd
    from orders
    left join rates on orders.currency = rates.currency and orders.order_date = rates.calendar_date
),

-- The row as it landed and its rate: nothing else makes an amount in dollars.
changed as (
    {{ select_changed('rated', 'order_id', ['_raw_extracted_at', 'fx_rate_date', 'fx_rate_usd']) | indent(4) }}
),

converted as (
    select
        order_id,
        currency,
        order_date,
        fx_rate_date,
        fx_rate_usd,
        {{ to_usd('subtotal_amount', 'fx_rate_usd') }} as subtotal_amount_usd,
        {{ to_usd('shipping_amount', 'fx_rate_usd') }} as shipping_amount_usd,
        {{ to_usd('tax_amount', 'fx_rate_usd') }} as tax_amount_usd,
        {{ to_usd('discount_amount', 'fx_rate_usd') }} as discount_amount_usd,
        {{ to_usd('total_amount', 'fx_rate_usd') }} as total_amount_usd,
        fx_rate_usd is null as is_fx_missing,
        _raw_extracted_at
    from changed
)

select * from converted
