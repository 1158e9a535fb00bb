{{ config(severity='warn') }}
-- A category with a live parent has that parent in its path. Found here: a cycle, and a tree of more levels than int_category_paths joins.
select
    categories.category_id,
    categories.parent_category_id,
    paths.category_path
from {{ ref('int_category_paths') }} as paths
inner join {{ ref('stg_marketplace__categories') }} as categories on paths.category_id = categories.category_id
inner join {{ ref('stg_marketplace__categories') }} as parents on categories.parent_category_id = parents.category_id
where paths.category_path = categories.category_name
