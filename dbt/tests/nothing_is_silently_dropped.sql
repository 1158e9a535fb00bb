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

-- The period that holds when a row begins is the last of its seller that had begun by then. To compare each row with each period would take hours where a
-- seller has many.
begun as (
    select
        is_period,
        id,
        seller_id,
        effective_from,
        effective_to,
        max(case when is_period then effective_from end) over (partition by seller_id order by effective_from) as period_from
    from (
        select
            false as is_period,
            id,
            user_id as seller_id,
            effective_from,
            effective_to
        from tier_rows
        union all
        select
            true as is_period,
            null as id,
            seller_id,
            valid_from as effective_from,
            valid_to as effective_to
        from {{ ref('int_seller_tier_scd2') }}
    ) as both_kinds
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
        cast(begun.id as string) as id,
        coalesce(
            begun.effective_from < periods.valid_to
            or (periods.seller_id is not null and periods.valid_to is null)
            or begun.effective_to <= begun.effective_from,
            false
        ) as is_in_marts,
        begun.effective_from is null as is_bad,
        begun.id in (select tier_row_id from {{ ref('quarantine_seller_tier_history') }}) as is_in_quarantine
    from begun
    left join {{ ref('int_seller_tier_scd2') }} as periods
        on begun.seller_id = periods.seller_id and begun.period_from = periods.valid_from
    where not begun.is_period
)

select * from landed
where (not is_in_marts or is_bad) and not is_in_quarantine
