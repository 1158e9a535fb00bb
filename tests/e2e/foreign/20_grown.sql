-- What the young marketplace of foreign/ became: a few orders in three currencies since 2022, one without a payment, one without an item.
insert into users (id, email, username, user_type, country_code, seller_tier, created_at, updated_at, is_active) values
('00000000-0000-4000-8000-000000000003', 'cy@example.org', 'cy', 'both', 'DE', 'silver', '2022-02-01 08:00+00', '2022-02-01 08:00+00', null);
insert into products (id, seller_id, category_id, title, price_amount, price_currency, status, tags, attributes, created_at) values
('10000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', 1, 'Lamp', 40.00, 'GBP', 'active', '{light,"a \"quoted\" tag"}', '{"colour": "red"}', '2022-01-04 08:00+00'),
('10000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000003', null, 'Chair', 10.50, 'EUR', null, null, null, null);
insert into orders (id, order_number, buyer_id, status, subtotal_amount, shipping_amount, tax_amount, discount_amount, total_amount, currency, shipping_country, created_at, confirmed_at) values
-- A Saturday: the rate is Friday's.
('20000000-0000-4000-8000-000000000001', 'ORD-20220108-00001', '00000000-0000-4000-8000-000000000001', 'delivered', 80.00, 5.00, null, null, 85.00, 'GBP', 'GB', '2022-01-08 10:00+00', '2022-01-08 10:05'),
('20000000-0000-4000-8000-000000000002', 'ORD-20220301-00001', '00000000-0000-4000-8000-000000000003', 'pending', 10.50, null, null, null, 10.50, 'EUR', null, '2022-03-01 23:59:59.999999+00', null),
('20000000-0000-4000-8000-000000000003', 'ORD-20230301-00001', '00000000-0000-4000-8000-000000000001', 'cancelled', 0.00, 0.00, 0.00, 0.00, 0.00, 'USD', 'US', '2023-03-01 00:00+00', null);
insert into order_items (id, order_id, product_id, seller_id, quantity, unit_price, total_price, currency, created_at) values
('30000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', 2, 40.00, 80.00, 'GBP', '2022-01-08 10:00+00'),
('30000000-0000-4000-8000-000000000002', '20000000-0000-4000-8000-000000000002', '10000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000003', 1, 10.50, 10.50, 'EUR', null);
insert into payments (id, order_id, payment_provider, amount, currency, platform_fee, seller_payout, status, created_at, event_id, event_timestamp) values
('40000000-0000-4000-8000-000000000001', '20000000-0000-4000-8000-000000000001', 'stripe', 85.00, 'GBP', 8.50, 76.50, 'completed', '2022-01-08 10:01+00', null, null);
