{# Every rule (a SQL condition by its name) is true on every row; null is not true. One query for all rules of a model; a failing row names its rule. #}
{% test holds(model, rules) %}
select
    case
    {%- for name, condition in rules.items() %}
        when not coalesce({{ condition }}, false) then '{{ name }}'
    {%- endfor %}
    end as broken_rule,
    tested.*
from {{ model }} as tested
where
    {%- for condition in rules.values() %}
    {{ 'or ' if not loop.first }}not coalesce({{ condition }}, false)
    {%- endfor %}
{% endtest %}
