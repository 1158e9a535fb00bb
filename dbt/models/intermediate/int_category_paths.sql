{{ config(tags=['light']) }}

{# Joined level by level: BigQuery takes `with recursive` at the top of a statement only, and dbt wraps the query of a contracted model. #}
{% set levels = 10 %}

with categories as (
    select * from {{ ref('stg_marketplace__categories') }}
),

-- A category with those above it, its parent first. One whose parent is gone is a root.
ancestry as (
    select
        level_0.category_id,
        level_0.category_name,
        {%- for level in range(1, levels) %}
        level_{{ level }}.category_name as name_{{ level }},
        case when level_{{ level }}.category_id is null then '' else concat(level_{{ level }}.category_name, ' > ') end as step_{{ level }},
        {%- endfor %}
        level_{{ levels }}.category_id is null as is_rooted
    from categories as level_0
    {% for level in range(1, levels + 1) %}
    left join categories as level_{{ level }} on level_{{ level - 1 }}.parent_category_id = level_{{ level }}.category_id
    {% endfor %}
),

-- One that hangs on no root, as in a cycle, or on one with too many levels between is a path of its own.
paths as (
    select
        category_id,
        category_name,
        case
            when not is_rooted then category_name
            else
                concat(
                    {%- for level in range(levels - 1, 0, -1) %}
                    step_{{ level }},
                    {%- endfor %}
                    category_name
                )
        end as category_path,
        case
            when not is_rooted then category_name
            else
                coalesce(
                    {%- for level in range(levels - 1, 0, -1) %}
                    name_{{ level }},
                    {%- endfor %}
                    category_name
                )
        end as root_category
    from ancestry
)

select * from paths
