{# Tier periods against the history that they are made of, by other means than the model: each row of the history that counts is in the last period of its
   seller that had begun by then, has that period's tier, the first one its reason, and the last one its end. Returns the periods of which that is not true,
   and rows that are in none. No row is compared with each period of its seller, which would take hours where there are many. #}
{% test periods_follow_from_the_history(model) %}
with history as (
    select
        seller_id,
        tier,
        change_reason,
        effective_from,
        effective_to
    from {{ ref('stg_marketplace__seller_tier_history') }}
    where effective_from is not null
    qualify row_number() over (
        partition by seller_id, effective_from order by created_at desc nulls last, tier_row_id desc
    ) = 1
),

bounded as (
    select
        *,
        coalesce(lead(effective_from) over (partition by seller_id order by effective_from), effective_to) as ends_at
    from history
),

held as (
    select
        bounded.*,
        max(periods.valid_from) over (partition by bounded.seller_id order by bounded.effective_from) as valid_from
    from bounded
    left join {{ model }} as periods
        on bounded.seller_id = periods.seller_id and bounded.effective_from = periods.valid_from
    where bounded.ends_at is null or bounded.ends_at > bounded.effective_from
),

expected as (
    select
        seller_id,
        valid_from,
        min(tier) as lowest_tier,
        max(tier) as highest_tier,
        count(tier) as tiers,
        count(*) as history_rows,
        max(case when effective_from = valid_from then change_reason end) as change_reason,
        case when count(ends_at) = count(*) then max(ends_at) end as valid_to
    from held
    group by seller_id, valid_from
)

select
    expected.seller_id as expected_seller_id,
    expected.valid_from as expected_valid_from,
    expected.valid_to as expected_valid_to,
    expected.lowest_tier,
    expected.highest_tier,
    expected.change_reason as expected_change_reason,
    found.*
from expected
full outer join {{ model }} as found on expected.seller_id = found.seller_id and expected.valid_from = found.valid_from
where
    expected.seller_id is null
    or found.seller_id is null
    or expected.lowest_tier is distinct from found.tier
    or expected.highest_tier is distinct from found.tier
    or expected.tiers not in (0, expected.history_rows)
    or expected.change_reason is distinct from found.change_reason
    or expected.valid_to is distinct from found.valid_to
{% endtest %}
