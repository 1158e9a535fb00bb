{{ config(alias='reviews') }}

with reviews as (
    select * from {{ ref('stg_marketplace__reviews') }}
),

reasons as (
    select
        reviews.review_id,
        'orphan_product' as reason,
        concat('product ', {{ in_words('reviews.product_id') }}, ' has not landed') as detail
    from reviews
    left join {{ ref('stg_marketplace__products') }} as products on reviews.product_id = products.product_id
    where products.product_id is null
    union all
    select
        review_id,
        'rating_out_of_range' as reason,
        concat('rating ', cast(rating as string)) as detail
    from reviews
    where rating not between 1 and 5
),

{{ quarantined('reasons', 'review_id', source('marketplace', 'reviews')) }}
