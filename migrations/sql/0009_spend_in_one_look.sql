-- A call that ended while another one asked for money was counted neither as held nor as spent.

-- cache: puts the cost of p.row aside, unless that with all else would go over p.tenant_limit or p.total_limit.
-- Returns the budget that is used up, empty when it was put aside, and what was spent today. Safe to repeat.
create or replace function reserve_spend(p jsonb) returns jsonb
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
    v_day date := (porchlight_now() at time zone 'UTC')::date;
begin
    -- In a statement of its own: the sums below must see every hold that was made before.
    perform pg_advisory_xact_lock(hashtext('porchlight.spend'), 0);
    perform record_completion(h.body) from spend_hold h where h.expire_time <= porchlight_now();
    -- In one statement, which sees one moment: between two, a call could end that is then neither held nor spent.
    select (select coalesce(max(cost_microusd), 0) from spend where tenant_id = '' and day = v_day),
           (select coalesce(max(cost_microusd), 0) from spend where tenant_id = v_tenant and day = v_day),
           (select coalesce(sum(amount_microusd), 0) from spend_hold),
           (select coalesce(sum(amount_microusd), 0) from spend_hold where tenant_id = v_tenant)
      into v_total, v_mine, v_total_held, v_mine_held;
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
