{# For an incremental model: rows that are new or differ from what is stored, in any of the model's columns or in the `inputs` alone.

   State is the table itself, whoever wrote it last: a late rate, a corrected date, a row that left, or a run killed half-way shows as a
   difference and is merged at the next run. A full refresh takes every row.

   `inputs` are columns, named as the model's, of which the others are a function: before the amounts are converted, such a comparison costs a quarter. #}
{% macro select_changed(computed, key, inputs=none) -%}
select computed.*
from {{ computed }} as computed
    {%- if is_incremental() %}
left join {{ this }} as stored on computed.{{ key }} = stored.{{ key }}
where
    stored.{{ key }} is null
        {%- for column in inputs or model.columns if column != key %}
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
