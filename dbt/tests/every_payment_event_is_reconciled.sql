-- The orders' payment events are all there are, but for those whose order has not landed.
with reconciled as (
    select coalesce(sum(payment_events), 0) as payment_events from {{ ref('fct_payment_reconciliation') }}
),

waiting as (
    select count(*) as payment_events from {{ ref('quarantine_payments') }}
    where reason = 'orphan_order'
),

events as (
    select count(*) as payment_events from {{ ref('int_payments_deduplicated') }}
)

select
    events.payment_events,
    reconciled.payment_events as reconciled_events,
    waiting.payment_events as waiting_events
from events
cross join reconciled
cross join waiting
where events.payment_events <> reconciled.payment_events + waiting.payment_events
