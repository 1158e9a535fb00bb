{# Slowly changing dimension: within a seller each period ends where the next begins (no overlap, no gap; only the last may stay closed), tiers alternate, and
   at most one period is open: the last. #}
{% test periods_follow_each_other(model) %}
with neighbours as (
    select
        *,
        lead(valid_from) over (partition by seller_id order by valid_from) as next_valid_from,
        lag(valid_from) over (partition by seller_id order by valid_from) as valid_from_before,
        lag(tier) over (partition by seller_id order by valid_from) as tier_before
    from {{ model }}
)

select * from neighbours
where
    valid_to <= valid_from
    or is_current <> (valid_to is null)
    or (next_valid_from is not null and valid_to is distinct from next_valid_from)
    or previous_tier is distinct from tier_before
    or (valid_from_before is not null and tier is not distinct from tier_before)
{% endtest %}
