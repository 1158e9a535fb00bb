with versions as (
    select * from {{ ref('products_snapshot') }}
),

renamed as (
    select
        product_id,
        price_amount,
        price_currency,
        status,
        dbt_valid_from as valid_from,
        dbt_valid_to as valid_to,
        dbt_valid_to is null as is_current
    from versions
)

select * from renamed
