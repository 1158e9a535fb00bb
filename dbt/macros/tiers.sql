{# Tiers in their order, 1 the lowest; null for a tier that is not known. #}
{% macro tier_rank(tier) -%}
    case {{ tier }} when 'bronze' then 1 when 'silver' then 2 when 'gold' then 3 when 'platinum' then 4 end
{%- endmacro %}
