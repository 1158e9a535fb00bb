{# Amounts in dollars, worked out again for every row: `amounts` of the relation `of` at the rate of their currency and date. The date is `date`, an expression
   over `of`; with `dated_by` it is that relation's order_date, found by order_id. Returns the rows that say something else, missing and surplus ones included;
   columns that are `copied` from `of` must be the same too. Joined by keys alone: it costs what its rows cost. #}
{% test dollars_are_amount_times_rate(model, of, key, copied, amounts, date='amounts.order_date', date_column='order_date', dated_by=none) %}
{% set compared = copied + [date_column, 'fx_rate_date', 'fx_rate_usd'] -%}
with dated as (
    select
        amounts.{{ key }},
        {%- for column in copied + amounts %}
        amounts.{{ column }},
        {%- endfor %}
        {{ 'dates.order_date' if dated_by else date }} as {{ date_column }}
    from {{ of }} as amounts
    {%- if dated_by %}
    left join {{ dated_by }} as dates on amounts.order_id = dates.order_id
    {%- endif %}
),

expected as (
    select
        dated.*,
        rates.fx_rate_date,
        {{ fx_rate_usd('dated.currency', 'rates.fx_rate_usd') }} as fx_rate_usd
    from dated
    left join {{ ref('int_fx_rates_daily') }} as rates
        on dated.currency = rates.currency and dated.{{ date_column }} = rates.calendar_date
)

select
    expected.{{ key }} as expected_{{ key }},
    {%- for column in compared %}
    expected.{{ column }} as expected_{{ column }},
    {%- endfor %}
    {%- for amount in amounts %}
    {{ to_usd('expected.' ~ amount, 'expected.fx_rate_usd') }} as expected_{{ amount }}_usd,
    {%- endfor %}
    found.*
from expected
full outer join {{ model }} as found on expected.{{ key }} = found.{{ key }}
where
    expected.{{ key }} is null
    or found.{{ key }} is null
    {%- for column in compared %}
    or found.{{ column }} is distinct from expected.{{ column }}
    {%- endfor %}
    {%- for amount in amounts %}
    or found.{{ amount }}_usd is distinct from {{ to_usd('expected.' ~ amount, 'expected.fx_rate_usd') }}
    {%- endfor %}
{% endtest %}
