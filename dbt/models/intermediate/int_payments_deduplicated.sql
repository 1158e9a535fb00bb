{{ config(
    tags=['heavy'],
    materialized='incremental',
    unique_key='event_key',
    on_schema_change='fail',
    post_hook="{{ delete_dead_keys('event_key', ref('stg_marketplace__payments')) }}"
) }}

-- Deleted rows too: that a row went away is a change of its event.
with raw_rows as (
    select
        {{ payment_event_key() }} as event_key,
        case when {{ is_live() }} then 1 else 0 end as live_rows,
        _airbyte_extracted_at
    from {{ source('marketplace', 'payments') }}
),

payments as (
    select
        *,
        coalesce(event_timestamp, created_at) as seen_at
    from {{ ref('stg_marketplace__payments') }}
),

events as (
    select
        event_key,
        sum(live_rows) as live_rows,
        max(_airbyte_extracted_at) as _raw_extracted_at
    from raw_rows
    group by event_key
),

-- Only events that a new, changed or deleted row touches, or that a row has left, are worked out again.
reopened as (
    select
        events.event_key,
        events._raw_extracted_at
    from events
    {% if is_incremental() %}
    left join {{ this }} as stored on events.event_key = stored.event_key
    where
        stored.event_key is null
        or stored._raw_extracted_at <> events._raw_extracted_at
        or stored.duplicate_count + 1 <> events.live_rows
    {% endif %}
),

-- The first row names the event, whatever is replayed later; the last row says how it stands. The id makes the order total.
deduplicated as (
    select
        payments.event_key,
        first_value(payments.payment_id) over event as payment_id,
        payments.event_id,
        payments.order_id,
        payments.payment_provider,
        payments.status,
        payments.amount,
        payments.currency,
        payments.platform_fee,
        payments.seller_payout,
        first_value(payments.created_at) over event as created_at,
        payments.processed_at,
        count(*) over event - 1 as duplicate_count,
        first_value(payments.seen_at) over event as first_seen_at,
        payments.seen_at as last_seen_at,
        reopened._raw_extracted_at
    from payments
    inner join reopened on payments.event_key = reopened.event_key
    qualify payments.payment_id = last_value(payments.payment_id) over event
    window event as (
        partition by payments.event_key
        order by payments.seen_at nulls first, payments.created_at nulls first, payments.payment_id
        rows between unbounded preceding and unbounded following
    )
)

select * from deduplicated
