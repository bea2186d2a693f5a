-- Closed sales of homes, from public records: no people, no street addresses, the same for every tenant.

create table sale_source (
    source text primary key check (length(source) between 1 and 64),
    title text not null check (length(title) between 1 and 120),
    sample boolean not null,
    valuation_date date not null,
    revision text not null,
    sales_count int not null check (sales_count > 0),
    load_time timestamptz not null default porchlight_now()
);
comment on table sale_source is 'A set of sales that speaks of one date.';
comment on column sale_source.sample is 'To show things with: never said to a person of a real location.';
comment on column sale_source.valuation_date is 'The day after its last sale; every estimate from it is as of this day.';
comment on column sale_source.revision is 'Digest of its sales: the same as long as they are.';

create table sale (
    source text not null references sale_source (source) deferrable initially deferred,
    sale_id text not null check (length(sale_id) between 1 and 64),
    home_id text not null,
    sale_date date not null,
    price_usd bigint not null check (price_usd > 0),
    latitude double precision not null check (latitude between -90 and 90),
    longitude double precision not null check (longitude between -180 and 180),
    zip_code text not null default '',
    area_sqft double precision not null check (area_sqft > 0),
    features jsonb not null default '{}',
    primary key (source, sale_id)
);
comment on column sale.home_id is 'The same for every sale of the same home.';
comment on column sale.features is 'What else is known of the home: name in kit/homes.py to number.';

-- owner: what is in the temporary table loaded_sale becomes part of a source. The same sale again replaces
-- what was known of it; loading the same file again changes nothing.
create function store_sales(p_source text, p_title text, p_sample boolean) returns sale_source
language plpgsql volatile set search_path = porchlight, pg_temp as $$
declare v_source sale_source;
begin
    insert into sale (source, sale_id, home_id, sale_date, price_usd, latitude, longitude, zip_code, area_sqft, features)
    select p_source, sale_id, home_id, sale_date, price_usd, latitude, longitude, zip_code, area_sqft, features
      from pg_temp.loaded_sale
    on conflict (source, sale_id) do update
       set (home_id, sale_date, price_usd, latitude, longitude, zip_code, area_sqft, features)
         = (excluded.home_id, excluded.sale_date, excluded.price_usd, excluded.latitude, excluded.longitude,
            excluded.zip_code, excluded.area_sqft, excluded.features)
     where sale is distinct from excluded;
    insert into sale_source (source, title, sample, valuation_date, revision, sales_count)
    select p_source, p_title, p_sample, max(sale_date) + 1, md5(string_agg(md5(sale::text), '' order by sale_id)), count(*)
      from sale where source = p_source
    on conflict (source) do update
       set (title, sample, valuation_date, revision, sales_count, load_time)
         = (excluded.title, excluded.sample, excluded.valuation_date, excluded.revision, excluded.sales_count, excluded.load_time)
    returning * into v_source;
    return v_source;
end $$;

-- bots: every source, the one loaded last first.
create function read_sale_sources()
returns table (source text, title text, sample boolean, valuation_date date, revision text, sales_count int)
language sql stable security definer set search_path = porchlight as $$
    select source, title, sample, valuation_date, revision, sales_count from sale_source order by load_time desc, source;
$$;

-- bots: a page of a source's sales in the order of their ids, after one of them ('' for the first page).
create function read_sales(p_source text, p_after text, p_most int)
returns table (sale_id text, home_id text, sale_date date, price_usd bigint, latitude double precision,
    longitude double precision, zip_code text, area_sqft double precision, features jsonb)
language sql stable security definer set search_path = porchlight as $$
    select sale_id, home_id, sale_date, price_usd, latitude, longitude, zip_code, area_sqft, features
      from sale where source = p_source and sale_id > p_after order by sale_id limit least(p_most, 10000);
$$;

revoke execute on function store_sales(text, text, boolean), read_sale_sources(), read_sales(text, text, int) from public;
grant execute on function read_sale_sources(), read_sales(text, text, int) to porchlight_bot;
