with source as (
    select * from {{ source('marketplace', 'order_items') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as order_item_id,
        order_id,
        product_id,
        seller_id,

        -- attributes
        product_title,
        product_snapshot,

        -- numerics
        quantity,
        unit_price,
        total_price,
        upper({{ trimmed('currency') }}) as currency,

        -- times
        created_at,
        _airbyte_extracted_at
    from source
)

select * from renamed
