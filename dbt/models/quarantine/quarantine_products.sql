{{ config(alias='products') }}

with products as (
    select * from {{ ref('stg_marketplace__products') }}
),

reasons as (
    select
        products.product_id,
        'orphan_seller' as reason,
        concat('seller ', {{ in_words('products.seller_id') }}, ' has not landed') as detail
    from products
    left join {{ ref('stg_marketplace__users') }} as users on products.seller_id = users.user_id
    where users.user_id is null
    union all
    select
        products.product_id,
        'orphan_category' as reason,
        concat('category ', cast(products.category_id as string), ' has not landed') as detail
    from products
    left join {{ ref('stg_marketplace__categories') }} as categories on products.category_id = categories.category_id
    where products.category_id is not null and categories.category_id is null
    union all
    select
        product_id,
        'future_updated_at' as reason,
        concat('updated_at is on ', cast({{ utc_date('source_updated_at') }} as string)) as detail
    from products
    where is_updated_at_in_future
    union all
    select
        product_id,
        'negative_amount' as reason,
        concat({{ money_text('price_amount') }}, ' ', {{ in_words('price_currency', 'unknown currency') }}) as detail
    from products
    where price_amount < 0
),

{{ quarantined('reasons', 'product_id', source('marketplace', 'products')) }}
