{{ config(
    materialized='incremental',
    unique_key='order_id',
    on_schema_change='fail',
    cluster_by=['order_date'],
    post_hook="{{ delete_dead_keys('order_id', ref('stg_marketplace__orders')) }}"
) }}

with orders as (
    select * from {{ ref('int_orders_enriched') }}
)

{{ select_changed('orders', 'order_id') }}
