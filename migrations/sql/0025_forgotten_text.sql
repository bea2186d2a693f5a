-- A text whose webhook was lost while its contact was erased since nothing had happened to it for years was taken for one
-- that somebody wanted erased, and stored nowhere. Nobody wanted that: it is the first thing that happened, and what was
-- erased of the contact is older than anything that is read from the CRM.

-- gateway: stores one event, as before: `late` is null for a webhook, and says of what was read from the CRM
-- whether it is too old for an answer. Messages lock their contact first, so that both ways wait for each other there.
create or replace function accept_event(p jsonb) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    v_twin bigint;
begin
    if p->>'contact_id' is null or p->>'kind' not in ('MESSAGE_IN', 'HUMAN_MESSAGE', 'MESSAGE_OUT') then
        return accept_inbound(p);
    end if;
    -- Before the contact: an erased one must not begin anew for what is known of it.
    if is_stored(p) then
        return jsonb_build_object('status', 'DUPLICATE');
    end if;
    if p->>'late' is not null and exists (
        select from erasure e where e.tenant_id = p->>'tenant_id' and e.contact_hash = p->>'contact_hash'
           and e.actor <> 'retention' and e.erase_time + interval '5 minutes' >= (p->>'write_time')::timestamptz) then
        -- Written before the contact was erased. What an erasure would have kept of it is kept.
        if p->>'keyword' = 'STOP' then
            insert into suppression (tenant_id, address_hash, opt_out_time)
            values (p->>'tenant_id', p->>'contact_hash', porchlight_now()) on conflict do nothing;
        end if;
        return jsonb_build_object('status', 'DUPLICATE');
    end if;
    loop
        insert into contact (tenant_id, contact_id, owner)
        values (p->>'tenant_id', p->>'contact_id', p->>'first_owner') on conflict do nothing;
        c := lock_contact(p->>'tenant_id', p->>'contact_id');
        exit when c.contact_id is not null;
    end loop;
    v_twin := case when p->>'late' is not null or p->>'crm_message_id' is null then twin_of(p) end;
    -- Two rows that were one message would be answered twice, so the row takes the other way's name: it is known by both.
    if v_twin is not null and p->>'late' is not null then
        update inbox set crm_message_id = p->>'crm_message_id' where inbox_id = v_twin;
    elsif v_twin is not null then
        update inbox set source = p->>'source', event_id = p->>'event_id' where inbox_id = v_twin;
    end if;
    if v_twin is not null then
        return jsonb_build_object('status', 'DUPLICATE');
    end if;
    if p->>'late' is null then
        return accept_inbound(p);
    end if;
    if p->>'kind' = 'HUMAN_MESSAGE' and exists (
        select from audit a where a.tenant_id = c.tenant_id and a.contact_id = c.contact_id and a.kind = 'OWNER_CHANGED'
           and a.detail->>'cause' = 'RETURN' and a.event_time >= (p->>'write_time')::timestamptz) then
        -- The person of the brokerage gave the contact back since.
        p := p || '{"kind": "MESSAGE_OUT"}';
    end if;
    return case when p->>'kind' = 'MESSAGE_IN' then accept_missed(c, p) else accept_inbound(p) end;
end $$;
