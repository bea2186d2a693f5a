-- Money for Claude: what each tenant spent in a day, and what calls under way may spend yet. Whole micro-dollars.

create table spend (
    tenant_id text not null,
    day date not null,
    cost_microusd bigint not null check (cost_microusd >= 0),
    primary key (tenant_id, day)
);
comment on table spend is 'Sums over completion, by UTC day of its end; kept in the same transaction.';
comment on column spend.tenant_id is 'Empty for all tenants together.';

create table spend_hold (
    call_id text primary key,
    tenant_id text not null,
    amount_microusd bigint not null check (amount_microusd >= 0),
    body jsonb not null,
    expire_time timestamptz not null
);
comment on table spend_hold is 'A call under way: the most it can cost counts as spent until it is recorded.';
comment on column spend_hold.body is 'The row of completion, should nobody ever say what became of the call.';

insert into spend (tenant_id, day, cost_microusd)
select coalesce(tenant_id, ''), (end_time at time zone 'UTC')::date, sum(cost_microusd)::bigint
  from completion group by grouping sets ((tenant_id, (end_time at time zone 'UTC')::date), ((end_time at time zone 'UTC')::date));

-- cache: one call to Claude. The same call_id again changes nothing, except that it takes the place of a lost call.
create or replace function record_completion(p jsonb) returns void
language plpgsql volatile security definer set search_path = porchlight as $$
declare
    v_old completion;
    v_end timestamptz;
    v_cost bigint := (p->>'cost_microusd')::bigint;
begin
    delete from spend_hold where call_id = p->>'call_id';
    select * into v_old from completion where call_id = p->>'call_id' for update;
    if found then
        if v_old.outcome <> 'LOST' then
            return;
        end if;
        delete from completion where call_id = p->>'call_id';
        v_cost := v_cost - v_old.cost_microusd;
    end if;
    insert into completion (call_id, tenant_id, request_id, prompt_version, model, key_id, attempt, outcome, stop_reason,
        input_tokens, output_tokens, cache_write_tokens, cache_read_tokens, cost_microusd, cost_estimated,
        price_version, latency_ms, end_time)
    values (p->>'call_id', p->>'tenant_id', p->>'request_id', p->>'prompt_version', p->>'model', p->>'key_id',
        (p->>'attempt')::int, p->>'outcome', p->>'stop_reason',
        (p->>'input_tokens')::bigint, (p->>'output_tokens')::bigint,
        (p->>'cache_write_tokens')::bigint, (p->>'cache_read_tokens')::bigint,
        (p->>'cost_microusd')::bigint, (p->>'cost_estimated')::boolean,
        p->>'price_version', (p->>'latency_ms')::bigint, coalesce(v_old.end_time, porchlight_now()))
    on conflict (call_id) do nothing returning end_time into v_end;
    if not found then
        return;
    end if;
    -- The row of all tenants first, always: whoever has it may wait for a tenant's row, and nobody waits in a circle.
    insert into spend as s (tenant_id, day, cost_microusd) values ('', (v_end at time zone 'UTC')::date, greatest(v_cost, 0))
    on conflict (tenant_id, day) do update set cost_microusd = s.cost_microusd + v_cost;
    insert into spend as s (tenant_id, day, cost_microusd)
    values (p->>'tenant_id', (v_end at time zone 'UTC')::date, greatest(v_cost, 0))
    on conflict (tenant_id, day) do update set cost_microusd = s.cost_microusd + v_cost;
end $$;

-- cache: puts the cost of p.row aside, unless that with all else would go over p.tenant_limit or p.total_limit.
-- Returns the budget that is used up, empty when it was put aside, and what was spent today. Safe to repeat.
create function reserve_spend(p jsonb) returns jsonb
language plpgsql volatile security definer set search_path = porchlight as $$
declare
    v_row jsonb := p->'row';
    v_amount bigint := (v_row->>'cost_microusd')::bigint;
    v_tenant text := v_row->>'tenant_id';
    v_total bigint;
    v_mine bigint;
    v_total_held bigint;
    v_mine_held bigint;
    v_budget text := '';
begin
    -- In a statement of its own: the sums below must see every hold that was made before.
    perform pg_advisory_xact_lock(hashtext('porchlight.spend'), 0);
    perform record_completion(h.body) from spend_hold h where h.expire_time <= porchlight_now();
    select coalesce(max(cost_microusd) filter (where tenant_id = ''), 0),
           coalesce(max(cost_microusd) filter (where tenant_id = v_tenant), 0)
      into v_total, v_mine
      from spend where day = (porchlight_now() at time zone 'UTC')::date and tenant_id in ('', v_tenant);
    select coalesce(sum(amount_microusd), 0), coalesce(sum(amount_microusd) filter (where tenant_id = v_tenant), 0)
      into v_total_held, v_mine_held from spend_hold;
    if not exists (select from spend_hold where call_id = v_row->>'call_id')
       and not exists (select from completion where call_id = v_row->>'call_id') then
        if v_mine + v_mine_held + v_amount > (p->>'tenant_limit')::bigint then
            v_budget := 'tenant_daily_microusd';
        elsif v_total + v_total_held + v_amount > (p->>'total_limit')::bigint then
            v_budget := 'daily_microusd';
        else
            insert into spend_hold (call_id, tenant_id, amount_microusd, body, expire_time)
            values (v_row->>'call_id', v_tenant, v_amount, v_row, porchlight_now() + interval '1 minute');
        end if;
    end if;
    return jsonb_build_object('budget', v_budget, 'total_spent_microusd', v_total, 'tenant_spent_microusd', v_mine);
end $$;

-- cache: what all processes together spent since midnight UTC.
create or replace function spent_today_microusd() returns bigint
language sql volatile security definer set search_path = porchlight as $$
    select coalesce(max(cost_microusd), 0) from spend
     where tenant_id = '' and day = (porchlight_now() at time zone 'UTC')::date;
$$;

revoke execute on function reserve_spend(jsonb) from public;
grant execute on function reserve_spend(jsonb) to porchlight_cache;
