{{ config(schema='ops') }}

{% set keys = {
    'orders': 'order_id',
    'order_items': 'order_item_id',
    'payments': 'payment_id',
    'products': 'product_id',
    'reviews': 'review_id',
    'seller_tier_history': 'tier_row_id',
} %}

with quarantined as (
    {%- for entity, key in keys.items() %}
    select
        '{{ entity }}' as entity,
        cast({{ key }} as string) as entity_key,
        reason,
        first_seen_at
    from {{ ref('quarantine_' ~ entity) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select * from quarantined
