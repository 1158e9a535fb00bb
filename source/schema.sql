-- The marketplace's database as it is: the pipeline may rely on this and on nothing more.

create table users (
    id uuid primary key,
    email varchar(255) not null unique,
    username varchar(100) not null,
    user_type varchar(20) not null check (user_type in ('buyer', 'seller', 'both')),
    first_name varchar(100),
    last_name varchar(100),
    country_code char(2),
    seller_tier varchar(20) check (seller_tier in ('bronze', 'silver', 'gold', 'platinum')),
    seller_rating decimal(3, 2),
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz,
    is_active boolean
);

create table categories (
    id serial primary key,
    name varchar(100) not null,
    slug varchar(100) not null unique,
    parent_id int references categories (id),
    level int not null,
    is_active boolean,
    created_at timestamptz
);

create table products (
    id uuid primary key,
    seller_id uuid not null references users (id),
    category_id int references categories (id),
    title varchar(500) not null,
    description text,
    price_amount decimal(12, 2) not null,
    price_currency char(3) not null,
    quantity_available int,
    status varchar(20) check (status in ('draft', 'active', 'paused', 'sold_out', 'deleted')),
    tags text [],
    attributes jsonb,
    created_at timestamptz,
    updated_at timestamptz,
    published_at timestamptz
);

create table orders (
    id uuid primary key,
    order_number varchar(20) not null unique,
    buyer_id uuid not null references users (id),
    status varchar(30) not null check (
        status in ('pending', 'confirmed', 'processing', 'shipped', 'delivered', 'cancelled', 'refunded')
    ),
    subtotal_amount decimal(12, 2) not null,
    shipping_amount decimal(12, 2),
    tax_amount decimal(12, 2),
    discount_amount decimal(12, 2),
    total_amount decimal(12, 2) not null,
    currency char(3) not null,
    shipping_country char(2),
    shipping_city varchar(100),
    shipping_postal_code varchar(20),
    created_at timestamptz,
    updated_at timestamptz,
    -- The only one without a time zone.
    confirmed_at timestamp,
    shipped_at timestamptz,
    delivered_at timestamptz
);

create table order_items (
    id uuid primary key,
    order_id uuid not null references orders (id),
    product_id uuid not null references products (id),
    seller_id uuid not null references users (id),
    quantity int not null,
    unit_price decimal(12, 2) not null,
    total_price decimal(12, 2) not null,
    currency char(3) not null,
    product_title varchar(500),
    product_snapshot jsonb,
    created_at timestamptz
);

create table payments (
    id uuid primary key,
    order_id uuid not null references orders (id),
    payment_provider varchar(50) not null,
    payment_provider_id varchar(100),
    amount decimal(12, 2) not null,
    currency char(3) not null,
    platform_fee decimal(12, 2),
    seller_payout decimal(12, 2),
    status varchar(30) not null check (
        status in ('pending', 'processing', 'completed', 'failed', 'refunded', 'disputed')
    ),
    created_at timestamptz,
    processed_at timestamptz,
    event_id varchar(100),
    event_timestamp timestamptz
);

create table reviews (
    id uuid primary key,
    product_id uuid not null references products (id),
    order_item_id uuid references order_items (id),
    reviewer_id uuid not null references users (id),
    rating int not null check (rating between 1 and 5),
    title varchar(200),
    body text,
    is_verified_purchase boolean,
    helpful_votes int,
    status varchar(20) check (status in ('pending', 'approved', 'rejected', 'flagged')),
    moderated_at timestamptz,
    created_at timestamptz,
    updated_at timestamptz
);

create table seller_tier_history (
    id serial primary key,
    user_id uuid not null references users (id),
    tier varchar(20) not null,
    effective_from timestamptz not null,
    effective_to timestamptz,
    is_current boolean,
    change_reason varchar(100),
    created_at timestamptz
);

create table event_log (
    id bigserial primary key,
    event_type varchar(50) not null,
    entity_type varchar(50) not null,
    entity_id uuid not null,
    event_data jsonb not null,
    event_timestamp timestamptz not null,
    received_at timestamptz,
    processed boolean
);
