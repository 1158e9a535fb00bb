{{ config(tags=['light']) }}

with quoted as (
    select * from {{ ref('stg_ecb__fx_rates') }}
    where currency <> 'EUR'
),

dollar as (
    select * from quoted
    where currency = 'USD'
),

-- Rates are per euro, so a currency's dollar rate needs both of the same business day; the euro itself is 1.
business_days as (
    select
        quoted.currency,
        quoted.rate_date,
        cast(round(dollar.units_per_eur / quoted.units_per_eur, 9) as {{ dbt.type_numeric() }}) as fx_rate_usd
    from quoted
    inner join dollar on quoted.rate_date = dollar.rate_date
    union all
    select
        'EUR' as currency,
        rate_date,
        round(units_per_eur, 9) as fx_rate_usd
    from dollar
),

-- A rate holds until the currency's next one, and for at most 7 days.
with_length as (
    select
        *,
        coalesce(
            least(
                {{ days_between('rate_date', 'lead(rate_date) over (partition by currency order by rate_date)') }} - 1,
                7
            ),
            7
        ) as last_day
    from business_days
),

daily as (
    select
        currency,
        {{ add_days('rate_date', 'n') }} as calendar_date,
        rate_date as fx_rate_date,
        fx_rate_usd
    from with_length
    {{ cross_join_numbers('last_day') }}
)

select * from daily
