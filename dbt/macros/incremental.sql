{# The last step of an incremental model: rows that are new or differ in any contracted column from what is stored.

   State is the table itself, whoever wrote it last: a late rate, a corrected date, a row that left, or a run killed half-way shows as a
   difference and is merged at the next run. A full refresh takes every row. #}
{% macro select_changed(computed, key) -%}
select computed.*
from {{ computed }} as computed
    {%- if is_incremental() %}
left join {{ this }} as stored on computed.{{ key }} = stored.{{ key }}
where
    stored.{{ key }} is null
        {%- for column in model.columns if column != key %}
    or computed.{{ column }} is distinct from stored.{{ column }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}


{# For post_hook: removes the keys that the relation `live` no longer has. It looks at the whole table, so what a killed run left is
   removed by the next. A MERGE, because Delta takes no subquery in DELETE. #}
{% macro delete_dead_keys(key, live) -%}
    {%- if is_incremental() -%}
merge into {{ this }} as stored
using (
    select dead.{{ key }}
    from {{ this }} as dead
    left join {{ live }} as live on dead.{{ key }} = live.{{ key }}
    where live.{{ key }} is null
) as gone
on stored.{{ key }} = gone.{{ key }}
when matched then delete
    {%- endif -%}
{%- endmacro %}
