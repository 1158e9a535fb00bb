-- A marketplace of its first day: two people, one category, nothing sold yet. Loaded after source/schema.sql.
insert into users (id, email, username, user_type, country_code, seller_tier, created_at, updated_at, is_active) values
('00000000-0000-4000-8000-000000000001', 'ana@example.org', 'ana', 'buyer', null, null, '2022-01-03 08:00+00', null, true),
('00000000-0000-4000-8000-000000000002', 'bo@example.org', 'bo', 'seller', 'GB', null, '2022-01-02 08:00+00', null, true);
insert into categories (name, slug, level, is_active) values ('Home', 'home', 0, true);
