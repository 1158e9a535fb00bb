{{ config(tags=['light']) }}

with recursive categories as (
    select * from {{ ref('stg_marketplace__categories') }}
),

-- From the roots down, to any depth. A category whose parent is gone is a root; a cycle hangs on no root, so it is never entered.
tree as (
    select
        categories.category_id,
        categories.category_name as category_path,
        categories.category_name as root_category
    from categories
    left join categories as parents on categories.parent_category_id = parents.category_id
    where parents.category_id is null
    union all
    select
        categories.category_id,
        concat(tree.category_path, ' > ', categories.category_name) as category_path,
        tree.root_category
    from categories
    inner join tree on categories.parent_category_id = tree.category_id
),

paths as (
    select
        categories.category_id,
        categories.category_name,
        coalesce(tree.category_path, categories.category_name) as category_path,
        coalesce(tree.root_category, categories.category_name) as root_category
    from categories
    left join tree on categories.category_id = tree.category_id
)

select * from paths
