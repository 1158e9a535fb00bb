{% snapshot products_snapshot %}
{{ config(
    schema='staging',
    unique_key='product_id',
    strategy='check',
    check_cols=['price_amount', 'price_currency', 'status'],
    updated_at='_airbyte_extracted_at',
    hard_deletes='invalidate'
) }}
select
    product_id,
    price_amount,
    price_currency,
    status,
    _airbyte_extracted_at
from {{ ref('stg_marketplace__products') }}
{% endsnapshot %}
