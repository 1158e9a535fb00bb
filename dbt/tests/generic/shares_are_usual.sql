{# The shape of a table: `shares` are conditions with the greatest share of the rows that they may hold for. One query for all; returns a row for each share
   that is exceeded. Tables of fewer than `min_rows` rows are left alone: a share of ten rows says nothing. #}
{% test shares_are_usual(model, shares, min_rows=1000) %}
with counted as (
    select
        count(*) as row_count
        {%- for share in shares %},
        sum(case when {{ share.condition }} then 1 else 0 end) as matches_{{ loop.index }}
        {%- endfor %}
    from {{ model }}
)

{%- for share in shares %}
{{ 'union all' if not loop.first }}
select
    '{{ share.condition | replace("'", "") }}' as condition,
    matches_{{ loop.index }} as matching_rows,
    row_count
from counted
where row_count >= {{ min_rows }} and matches_{{ loop.index }} > {{ share.at_most }} * row_count
{%- endfor %}
{% endtest %}
