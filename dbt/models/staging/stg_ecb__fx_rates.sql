with source as (
    select * from {{ source('ecb', 'ecb_fx_rates') }}
),

renamed as (
    select
        rate_date,
        upper({{ trimmed('currency') }}) as currency,
        units_per_eur,
        _airbyte_extracted_at
    from source
)

select * from renamed
