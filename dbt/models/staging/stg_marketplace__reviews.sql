with source as (
    select * from {{ source('marketplace', 'reviews') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as review_id,
        product_id,
        order_item_id,
        reviewer_id,

        -- attributes
        title,
        body,
        status,
        is_verified_purchase,

        -- numerics
        rating,
        helpful_votes,

        -- times
        moderated_at,
        created_at,
        updated_at,
        _airbyte_extracted_at
    from source
)

select * from renamed
