-- Each live raw row is in its mart or waits in quarantine, and whatever has no dollar value or does not add up is there too.
-- Of tier rows that begin together the last one counts; unless it is empty, a period of its seller holds at its beginning.
with tier_rows as (
    select * from {{ source('marketplace', 'seller_tier_history') }}
    where {{ is_live() }}
    qualify
        effective_from is null
        or row_number() over (
            partition by user_id, effective_from order by created_at desc nulls last, id desc
        ) = 1
),

landed as (
    select
        'order' as kind,
        orders.id,
        fct.order_id is not null as is_in_marts,
        coalesce(fct.total_amount_usd is null or fct.order_date is null, true)
        or orders.total_amount is distinct from (
            orders.subtotal_amount
            + coalesce(orders.shipping_amount, 0)
            + coalesce(orders.tax_amount, 0)
            - coalesce(orders.discount_amount, 0)
        ) as is_bad,
        orders.id in (select order_id from {{ ref('quarantine_orders') }}) as is_in_quarantine
    from {{ source('marketplace', 'orders') }} as orders
    left join {{ ref('fct_orders') }} as fct on orders.id = fct.order_id
    where {{ is_live() }}
    union all
    select
        'order item' as kind,
        items.id,
        fct.order_item_id is not null as is_in_marts,
        coalesce(usd.total_price_usd is null, true) as is_bad,
        items.id in (select order_item_id from {{ ref('quarantine_order_items') }}) as is_in_quarantine
    from {{ source('marketplace', 'order_items') }} as items
    left join {{ ref('fct_order_items') }} as fct on items.id = fct.order_item_id
    left join {{ ref('int_order_items_usd') }} as usd on items.id = usd.order_item_id
    where {{ is_live() }}
    union all
    select
        'payment event' as kind,
        events.payment_id as id,
        fct.has_payment is true as is_in_marts,
        coalesce(usd.amount_usd is null or not fct.has_order, true) as is_bad,
        events.payment_id in (select payment_id from {{ ref('quarantine_payments') }}) as is_in_quarantine
    from {{ ref('int_payments_deduplicated') }} as events
    left join {{ ref('int_payments_usd') }} as usd on events.event_key = usd.event_key
    left join {{ ref('fct_payment_reconciliation') }} as fct on events.order_id = fct.order_id
    union all
    select
        'tier row' as kind,
        cast(tier_rows.id as string) as id,
        coalesce(periods.seller_id is not null or tier_rows.effective_to <= tier_rows.effective_from, false) as is_in_marts,
        tier_rows.effective_from is null as is_bad,
        tier_rows.id in (select tier_row_id from {{ ref('quarantine_seller_tier_history') }}) as is_in_quarantine
    from tier_rows
    left join {{ ref('int_seller_tier_scd2') }} as periods
        on
            tier_rows.user_id = periods.seller_id
            and tier_rows.effective_from >= periods.valid_from
            and (periods.valid_to is null or tier_rows.effective_from < periods.valid_to)
)

select * from landed
where (not is_in_marts or is_bad) and not is_in_quarantine
