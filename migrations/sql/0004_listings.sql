-- Homes for sale, by CRM location and source. Loaded by the owner, read by the bots.

create table listing_source (
    tenant_id text not null,
    source text not null,
    as_of date not null,
    sample boolean not null,
    load_time timestamptz not null default porchlight_now(),
    primary key (tenant_id, source)
);
comment on table listing_source is 'Where listings of a CRM location come from.';
comment on column listing_source.as_of is 'The day the source speaks of; every answer says it.';
comment on column listing_source.sample is 'True: no homes for sale but sample data, which every text that shows one says.';

create table listing (
    tenant_id text not null,
    source text not null,
    listing_id text not null,
    zip text not null check (zip ~ '^[0-9]{5}$'),
    neighborhood text not null default '',
    price_usd_cents bigint not null check (price_usd_cents > 0),
    bedrooms int not null check (bedrooms between 0 and 100),
    list_date date not null,
    bathrooms numeric(5, 2),
    area_sqft int,
    lot_sqft int,
    floors numeric(4, 1),
    basement_sqft int,
    year_built int,
    year_renovated int,
    waterfront boolean,
    "view" int check ("view" between 0 and 4),
    condition int check (condition between 1 and 5),
    home_type text check (home_type in ('house', 'condo', 'townhouse')),
    -- An id names one home to the person, whatever the source.
    primary key (tenant_id, listing_id),
    foreign key (tenant_id, source) references listing_source (tenant_id, source)
);
comment on table listing is 'A home as its record says; null is what the record does not say.';
create index listing_zip on listing (tenant_id, zip, price_usd_cents);
create index listing_price on listing (tenant_id, price_usd_cents);

create function listing_json(p listing, p_as_of date, p_sample boolean) returns jsonb
language sql immutable as $$
    select (to_jsonb(p) - 'tenant_id') || jsonb_build_object('as_of', p_as_of, 'sample', p_sample);
$$;

-- bot: the first `p_limit` listings that keep every hard wish (null: no such wish), and how many keep them.
create function search_listings(p_tenant_id text, p jsonb, p_order text, p_limit int) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    with fitting as (
        select l as home, s.as_of, s.sample
          from listing l join listing_source s using (tenant_id, source)
         where l.tenant_id = p_tenant_id
           and (p->>'price_max_usd_cents' is null or l.price_usd_cents <= (p->>'price_max_usd_cents')::bigint)
           and (p->>'bedrooms_min' is null or l.bedrooms >= (p->>'bedrooms_min')::int)
           and (p->>'home_type' is null or l.home_type = p->>'home_type')
           and (p->>'zips' is null or l.zip in (select jsonb_array_elements_text(p->'zips')))
    ), firsts as (
        select *, row_number() over (
            order by case p_order when 'cheapest' then (home).price_usd_cents
                                  when 'most_bedrooms' then -(home).bedrooms else 0 end,
                     (home).list_date desc, (home).listing_id collate "C") as place
          from fitting order by place limit least(greatest(p_limit, 0), 500)
    )
    select jsonb_build_object(
        'listings', coalesce((select jsonb_agg(listing_json(home, as_of, sample) order by place) from firsts), '[]'),
        'total_count', (select count(*) from fitting));
$$;

-- bot: listings by id, in the order of the ids; those that are gone are left out.
create function get_listings(p_tenant_id text, p_listing_ids text[]) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select listing_json(l, s.as_of, s.sample)
      from unnest(p_listing_ids) with ordinality as asked (listing_id, place)
      join listing l on l.tenant_id = p_tenant_id and l.listing_id = asked.listing_id
      join listing_source s using (tenant_id, source)
     order by asked.place;
$$;

-- owner: begins a source anew: its listings go, and what it is is kept.
create function begin_listings(p_tenant_id text, p_source text, p_as_of date, p_sample boolean) returns void
language sql volatile security definer set search_path = porchlight as $$
    delete from listing where tenant_id = p_tenant_id and source = p_source;
    insert into listing_source (tenant_id, source, as_of, sample) values (p_tenant_id, p_source, p_as_of, p_sample)
    on conflict (tenant_id, source) do update
       set as_of = excluded.as_of, sample = excluded.sample, load_time = porchlight_now();
$$;

-- owner: adds listings. Returns the ids that another source of the location has already; those are not added.
create function add_listings(p_tenant_id text, p_source text, p_rows jsonb) returns setof text
language sql volatile security definer set search_path = porchlight as $$
    with given as (
        select * from jsonb_populate_recordset(null::listing, p_rows)
    ), added as (
        insert into listing
        select p_tenant_id, p_source, listing_id, zip, coalesce(neighborhood, ''), price_usd_cents, bedrooms, list_date,
               bathrooms, area_sqft, lot_sqft, floors, basement_sqft, year_built, year_renovated, waterfront, "view",
               condition, home_type
          from given
        on conflict (tenant_id, listing_id) do nothing
        returning listing_id
    )
    select listing_id from given except select listing_id from added;
$$;

revoke execute on function listing_json(listing, date, boolean), search_listings(text, jsonb, text, int),
    get_listings(text, text[]), begin_listings(text, text, date, boolean), add_listings(text, text, jsonb) from public;
grant execute on function search_listings(text, jsonb, text, int), get_listings(text, text[]) to porchlight_bot;
