with products as (
    select * from {{ ref('stg_marketplace__products') }}
),

categories as (
    select * from {{ ref('int_category_paths') }}
),

described as (
    select
        products.product_id,
        products.seller_id,
        products.title,
        coalesce(categories.category_id, -1) as category_id,
        coalesce(categories.category_name, 'Uncategorized') as category_name,
        coalesce(categories.category_path, 'Uncategorized') as category_path,
        coalesce(categories.root_category, 'Uncategorized') as root_category,
        products.status,
        products.price_amount,
        products.price_currency,
        products.quantity_available,
        products.created_at,
        products.updated_at,
        products.is_updated_at_in_future,
        products.published_at
    from products
    left join categories on products.category_id = categories.category_id
)

select * from described
