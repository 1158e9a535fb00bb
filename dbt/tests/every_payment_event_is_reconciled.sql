-- The payment events of the reconciliation are all there are, also those whose order has not landed.
with reconciled as (
    select coalesce(sum(payment_events), 0) as payment_events from {{ ref('fct_payment_reconciliation') }}
),

events as (
    select count(*) as payment_events from {{ ref('int_payments_deduplicated') }}
)

select
    events.payment_events,
    reconciled.payment_events as reconciled_events
from events
cross join reconciled
where events.payment_events <> reconciled.payment_events
