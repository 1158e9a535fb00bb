{# Deduplication neither loses nor counts twice: worked out from raw again, by other means than the model. Returns the events whose number of live rows, or
   anything that the first or the last row says, is not what raw says; missing and surplus events included. #}
{% test every_payment_is_counted_once(model) %}
{% set of_the_first = {'payment_id': 'id', 'created_at': 'created_at', 'first_seen_at': 'seen_at'} -%}
{% set of_the_last = {
    'last_seen_at': 'seen_at', 'event_id': 'event_id', 'order_id': 'order_id', 'payment_provider': 'payment_provider', 'status': 'status', 'amount': 'amount',
    'currency': 'currency', 'platform_fee': 'platform_fee', 'seller_payout': 'seller_payout', 'processed_at': 'processed_at',
} -%}
{% set compared = ['duplicate_count'] + of_the_first | list + of_the_last | list -%}
with live_rows as (
    select
        id,
        {{ payment_event_key() }} as event_key,
        nullif({{ trimmed('event_id') }}, '') as event_id,
        order_id,
        payment_provider,
        status,
        amount,
        upper({{ trimmed('currency') }}) as currency,
        platform_fee,
        seller_payout,
        created_at,
        processed_at,
        coalesce(event_timestamp, created_at) as seen_at
    from {{ source('marketplace', 'payments') }}
    where {{ is_live() }}
),

numbered as (
    select
        *,
        row_number() over (
            partition by event_key order by seen_at nulls first, created_at nulls first, id
        ) as from_first,
        count(*) over (partition by event_key) as row_count
    from live_rows
),

expected as (
    select
        event_key,
        {%- for column, value in of_the_first.items() %}
        max(case when from_first = 1 then {{ value }} end) as {{ column }},
        {%- endfor %}
        {%- for column, value in of_the_last.items() %}
        max(case when from_first = row_count then {{ value }} end) as {{ column }},
        {%- endfor %}
        count(*) - 1 as duplicate_count
    from numbered
    group by event_key
)

select
    expected.event_key as expected_event_key,
    found.event_key as found_event_key,
    {%- for column in compared %}
    expected.{{ column }} as expected_{{ column }},
    found.{{ column }} as found_{{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from expected
full outer join {{ model }} as found on expected.event_key = found.event_key
where
    expected.event_key is null
    or found.event_key is null
    {%- for column in compared %}
    or expected.{{ column }} is distinct from found.{{ column }}
    {%- endfor %}
{% endtest %}
