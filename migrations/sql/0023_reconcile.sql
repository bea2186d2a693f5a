-- What the CRM never told us is read from it: see docs/adr/0047. A message comes by webhook, by reconciliation or by
-- both, in any order and at the same time, and is one row of the inbox.

create table crm_cursor (
    tenant_id text primary key,
    begin_time timestamptz not null,
    whole_time timestamptz not null,
    read_time timestamptz not null,
    claim_no bigint not null default 0,
    ready_time timestamptz not null default porchlight_now()
);
comment on table crm_cursor is 'How far the conversations of a location were read. All but ready_time are times of the CRM''s.';
comment on column crm_cursor.begin_time is 'When we began; what was written before is not ours to answer.';
comment on column crm_cursor.whole_time is 'Everything that was written before it was read.';
comment on column crm_cursor.read_time is 'How far the pass over the conversations got that is under way; later than whole_time when it was cut.';
comment on column crm_cursor.ready_time is 'When the next round may begin; while one goes on, the end of its lease.';

-- gateway: claims the round of a location that is due; null when none is, or another replica has it.
create function claim_crm_cursor(p_tenant text, p_now timestamptz, p_lease interval) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare v crm_cursor;
begin
    insert into crm_cursor (tenant_id, begin_time, whole_time, read_time) values (p_tenant, p_now, p_now, p_now)
    on conflict do nothing;
    update crm_cursor set claim_no = claim_no + 1, ready_time = porchlight_now() + p_lease
     where tenant_id = p_tenant and ready_time <= porchlight_now() returning * into v;
    return case when found then to_jsonb(v) end;
end $$;

-- gateway: ends a round; false when its lease ran out and another round began. A time never goes back.
create function move_crm_cursor(p_tenant text, p_claim_no bigint, p_whole timestamptz, p_read timestamptz, p_wait interval)
returns boolean
language plpgsql security definer set search_path = porchlight as $$
begin
    update crm_cursor set whole_time = greatest(whole_time, p_whole), read_time = greatest(read_time, p_read),
           ready_time = porchlight_now() + p_wait
     where tenant_id = p_tenant and claim_no = p_claim_no;
    return found;
end $$;

create index erasure_contact_hash on erasure (tenant_id, contact_hash, erase_time);

create function same_words(a text, b text) returns boolean
language sql immutable set search_path = porchlight as $$
    select btrim(regexp_replace(a, '\s+', ' ', 'g')) = btrim(regexp_replace(b, '\s+', ' ', 'g'));
$$;

-- Whether an event was stored before, of a contact that is here or of one that was erased.
create function is_stored(p jsonb) returns boolean
language sql stable set search_path = porchlight as $$
    select exists (select from inbox i where i.tenant_id = p->>'tenant_id'
                      and i.source = p->>'source' and i.event_id = p->>'event_id')
        or exists (select from inbox i where i.tenant_id = p->>'tenant_id' and i.crm_message_id = p->>'crm_message_id')
        or exists (select from erased_event e where e.tenant_id = p->>'tenant_id'
                      and (e.source = p->>'source' and e.event_id = p->>'event_id' or e.crm_message_id = p->>'crm_message_id'));
$$;

-- The same message as it came the other way, where the webhook did not name it: its words, written when the CRM says or
-- up to two hours before a webhook without a time brought them. Call it with the contact locked.
create function twin_of(p jsonb) returns bigint
language sql stable set search_path = porchlight as $$
    select i.inbox_id from inbox i
     where i.tenant_id = p->>'tenant_id' and i.contact_id = p->>'contact_id'
       and i.kind in ('MESSAGE_IN', 'HUMAN_MESSAGE', 'MESSAGE_OUT') and (i.kind = 'MESSAGE_IN') = (p->>'kind' = 'MESSAGE_IN')
       and case when p->>'late' is null then i.source = 'ghl-reconcile' and i.crm_message_id is not null
                else i.source <> p->>'source' and i.crm_message_id is null end
       and case when p->>'late' is null then coalesce((p->>'write_time')::timestamptz, porchlight_now()) - i.write_time
                else i.write_time - (p->>'write_time')::timestamptz end between interval '-5 minutes' and interval '2 hours'
       and same_words(i.body, coalesce(p->>'text', ''))
     order by abs(extract(epoch from i.write_time - coalesce((p->>'write_time')::timestamptz, porchlight_now()))), i.inbox_id
     limit 1;
$$;

-- Why no bot may answer a message that was read from the CRM: it is too old, or what the person wrote after it is
-- answered or being answered, and the older words would pass for the newer ones. Call it with the contact locked.
create function missed_cause(c contact, p jsonb) returns text
language sql stable set search_path = porchlight as $$
    select case when (p->>'late')::boolean then 'LATE'
                when exists (select from inbox n where n.tenant_id = c.tenant_id and n.contact_id = c.contact_id
                                and n.kind = 'MESSAGE_IN' and n.write_time > (p->>'write_time')::timestamptz
                                and (n.outcome <> 'WAITING' or c.lease_expire_time > porchlight_now())) then 'OVERTAKEN' end;
$$;

-- Stores what the person wrote as any webhook would, and leaves to people what no bot may answer. A STOP is heard
-- however old it is; START and HELP are only words then.
create function accept_missed(c contact, p jsonb) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    v_cause text := missed_cause(c, p);
    v_result jsonb;
begin
    if v_cause = 'LATE' and p->>'keyword' = 'STOP' then
        -- Known before the message is stored, so that no confirmation goes out.
        update contact set opt_out_time = porchlight_now(), version = version + 1, score_due = true
         where tenant_id = c.tenant_id and contact_id = c.contact_id and opt_out_time is null;
    elsif v_cause is not null and p->>'keyword' <> 'STOP' then
        p := p - 'keyword';
    end if;
    v_result := accept_inbound(p);
    if v_cause is null or coalesce(v_result->>'outcome', '') not in ('WAITING', 'ESCALATED_HUMAN') then
        return v_result;
    end if;
    update inbox set outcome = 'ESCALATED_HUMAN', cause = v_cause where message_id = v_result->>'message_id';
    -- Where a person has the contact, they see it there.
    if v_result->>'outcome' = 'WAITING' and not exists (select from inbox i where i.tenant_id = c.tenant_id and i.contact_id = c.contact_id
                      and i.cause in ('LATE', 'OVERTAKEN') and i.message_id <> v_result->>'message_id'
                      and i.receive_time > porchlight_now() - interval '1 day') then
        perform put_effect(c, 'TASK', jsonb_build_object('title', 'A text of this person was not answered',
            'text', 'A text of ' || to_char((p->>'write_time')::timestamptz at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
                || ' UTC was known to the bots too late for an answer. Please look at the conversation.',
            'due_hours', 4));
    end if;
    return v_result || jsonb_build_object('outcome', 'ESCALATED_HUMAN');
end $$;

-- As before; but what no bot may answer stays with people when they give the contact back.
create or replace function give_to_bot(c contact, p_bot text) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    update handoff set state = 'COMPLETED', end_time = porchlight_now()
     where tenant_id = c.tenant_id and contact_id = c.contact_id and kind = 'ESCALATION' and state = 'ACCEPTED';
    perform change_owner(c.tenant_id, c.contact_id, p_bot, null, 'RETURN');
    update inbox set outcome = 'WAITING', cause = null, attempts = 0
     where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'ESCALATED_HUMAN'
       and coalesce(cause, '') not in ('LATE', 'OVERTAKEN')
       and inbox_id > coalesce((select max(inbox_id) from inbox where tenant_id = c.tenant_id and contact_id = c.contact_id
                                   and kind = 'HUMAN_MESSAGE'), 0);
    perform wake_lane(c.tenant_id, c.contact_id, porchlight_now());
end $$;

-- gateway: stores one event, however it came: `late` is null for a webhook, and says of what was read from the CRM
-- whether it is too old for an answer. Messages lock their contact first, so that both ways wait for each other there.
create function accept_event(p jsonb) returns jsonb
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
           and e.erase_time + interval '5 minutes' >= (p->>'write_time')::timestamptz) then
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

revoke execute on function claim_crm_cursor(text, timestamptz, interval),
    move_crm_cursor(text, bigint, timestamptz, timestamptz, interval), same_words(text, text), is_stored(jsonb), twin_of(jsonb),
    missed_cause(contact, jsonb), accept_missed(contact, jsonb), accept_event(jsonb) from public;
grant execute on function claim_crm_cursor(text, timestamptz, interval),
    move_crm_cursor(text, bigint, timestamptz, timestamptz, interval), accept_event(jsonb) to porchlight_gateway;
