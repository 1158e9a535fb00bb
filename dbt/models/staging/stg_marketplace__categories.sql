with source as (
    select * from {{ source('marketplace', 'categories') }}
    where {{ is_live() }}
),

renamed as (
    select
        -- ids
        id as category_id,
        parent_id as parent_category_id,

        -- attributes
        name as category_name,
        slug,
        level as category_level,
        is_active,

        -- times
        created_at,
        _airbyte_extracted_at
    from source
)

select * from renamed
