-- A contact can be erased: every row goes. Who asked for no texts stays known by keyed hashes of contact id, phone
-- and e-mail, whose key only the gateway has, so that nobody writes to the person again.

create table suppression (
    tenant_id text not null,
    address_hash text not null,
    opt_out_time timestamptz not null,
    primary key (tenant_id, address_hash)
);
comment on table suppression is 'Opt-outs of contacts that were erased.';

create table erased_event (
    tenant_id text not null,
    source text not null,
    event_id text not null,
    crm_message_id text,
    erase_time timestamptz not null default porchlight_now(),
    primary key (tenant_id, source, event_id)
);
comment on table erased_event is 'The CRM''s ids of events and texts of erased contacts, so that none is taken for new when it comes again. Kept for 7 days.';
create index erased_event_message on erased_event (tenant_id, crm_message_id) where crm_message_id is not null;
create index erased_event_time on erased_event (erase_time);

create table erasure (
    erasure_id text primary key default 'x_' || replace(gen_random_uuid()::text, '-', ''),
    tenant_id text not null,
    contact_id text,
    contact_hash text not null,
    actor text not null,
    rows jsonb not null,
    opt_out_kept boolean not null,
    erase_time timestamptz not null default porchlight_now(),
    cache_time timestamptz
);
comment on table erasure is 'Receipts: that somebody was erased and what went. No word of the person''s.';
comment on column erasure.contact_id is 'Until the cache was emptied of the contact after every turn that was under way; then null.';
create index erasure_open on erasure (erase_time) where contact_id is not null;

alter table contact
    add column address_hashes text[] not null default '{}',
    add column screened boolean not null default false,
    add column opt_in_time timestamptz;
comment on column contact.address_hashes is 'Keyed hashes of contact id, phone and e-mail: what an opt-out survives under.';
comment on column contact.screened is 'Whether phone or e-mail were looked at, so that an opt-out of an erased contact would be known.';

-- Learns what a contact is reached by; who opted out under one of these before an erasure still is. Call it with the
-- contact locked.
create function know_addresses(c contact, p_hashes text[], p_screened boolean) returns contact
language plpgsql security definer set search_path = porchlight as $$
declare v_opt_out_time timestamptz;
begin
    if c.address_hashes @> p_hashes and c.screened >= p_screened then
        return c;
    end if;
    -- The person texted START since: that went for every address of theirs.
    delete from suppression where tenant_id = c.tenant_id and address_hash = any (p_hashes) and opt_out_time <= c.opt_in_time;
    select min(opt_out_time) into v_opt_out_time from suppression where tenant_id = c.tenant_id and address_hash = any (p_hashes);
    update contact set screened = screened or p_screened, version = version + (v_opt_out_time is not null)::int,
           address_hashes = array(select distinct unnest(address_hashes || p_hashes)),
           opt_out_time = coalesce(opt_out_time, v_opt_out_time)
     where tenant_id = c.tenant_id and contact_id = c.contact_id returning * into c;
    return c;
end $$;

-- delivery: says what a contact is reached by before the first reply to it goes out; returns why none may.
create function screen_contact(p_tenant text, p_contact text, p_hashes text[]) returns text
language plpgsql security definer set search_path = porchlight as $$
declare c contact := lock_contact(p_tenant, p_contact);
begin
    if c.contact_id is null then
        return 'CONTACT_ERASED';
    end if;
    return silence_of(know_addresses(c, p_hashes, true));
end $$;

-- gateway: deletes every row of a contact, and keeps of an opt-out, a wish to be left alone or do-not-disturb the
-- hashes alone. Safe to repeat. A turn, an offer or a delivery under way finds nothing to write to.
create function erase_contact(p_tenant text, p_contact text, p_contact_hash text, p_actor text) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact := lock_contact(p_tenant, p_contact);
    v_table text;
    v_count bigint;
    v_rows jsonb := '{}';
    v_erasure erasure;
begin
    if wants_no_texts(c) or c.dnd then
        insert into suppression (tenant_id, address_hash, opt_out_time)
        select p_tenant, hash, coalesce(c.opt_out_time, c.pause_time, porchlight_now())
          from (select distinct unnest(c.address_hashes || p_contact_hash) as hash) h
        on conflict do nothing;
    end if;
    insert into erased_event (tenant_id, source, event_id, crm_message_id)
    select tenant_id, source, event_id, crm_message_id from inbox where tenant_id = p_tenant and contact_id = p_contact
    union all
    select tenant_id, 'outbox', outbox_id::text, crm_message_id from outbox
     where tenant_id = p_tenant and contact_id = p_contact and crm_message_id is not null
    on conflict do nothing;
    delete from erased_event where erase_time < porchlight_now() - interval '7 days';
    foreach v_table in array array['fact', 'turn', 'outbox', 'inbox', 'handoff_event', 'handoff', 'audit', 'contact'] loop
        execute format('delete from %I where tenant_id = $1 and contact_id = $2', v_table) using p_tenant, p_contact;
        get diagnostics v_count = row_count;
        v_rows := v_rows || jsonb_build_object(v_table, v_count);
    end loop;
    insert into erasure (tenant_id, contact_id, contact_hash, actor, rows, opt_out_kept)
    values (p_tenant, p_contact, p_contact_hash, p_actor, v_rows, exists (
        select from suppression where tenant_id = p_tenant and address_hash = p_contact_hash))
    returning * into v_erasure;
    return to_jsonb(v_erasure);
end $$;

-- gateway: contacts whose answers are to be taken out of the cache once more. Every turn that was under way when its
-- contact was erased has ended by now (25 s, services/gateway/dispatch.py), and stores nothing any more.
create function open_erasures(p_limit int) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(e) from erasure e
     where contact_id is not null and erase_time <= porchlight_now() - interval '30 seconds' order by erase_time limit p_limit;
$$;

create function close_erasure(p_erasure_id text) returns void
language sql security definer set search_path = porchlight as $$
    update erasure set contact_id = null, cache_time = porchlight_now() where erasure_id = p_erasure_id;
$$;

-- gateway: stores one event, as before; and knows who opted out before they were erased.
create or replace function accept_inbound(p jsonb) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    v_now timestamptz := porchlight_now();
    v_inbox inbox;
    c contact;
    v_kind text := p->>'kind';
    v_keyword text := p->>'keyword';
    v_outcome text := 'RECORDED';
    v_cause text;
    v_first timestamptz;
begin
    -- What was stored of a contact that was erased since comes again like this too.
    if exists (select from erased_event e where e.tenant_id = p->>'tenant_id'
                  and (e.source = p->>'source' and e.event_id = p->>'event_id' or e.crm_message_id = p->>'crm_message_id')) then
        return jsonb_build_object('status', 'DUPLICATE');
    end if;
    insert into inbox (tenant_id, contact_id, source, event_id, crm_message_id, kind, channel, body, write_time, outcome)
    values (p->>'tenant_id', p->>'contact_id', p->>'source', p->>'event_id', p->>'crm_message_id', v_kind,
            p->>'channel', coalesce(p->>'text', ''), coalesce((p->>'write_time')::timestamptz, v_now), 'RECORDED')
    on conflict do nothing returning * into v_inbox;
    if v_inbox.inbox_id is null then
        return jsonb_build_object('status', 'DUPLICATE');
    end if;
    if v_inbox.contact_id is null then
        return jsonb_build_object('status', 'ACCEPTED', 'message_id', v_inbox.message_id, 'outcome', v_outcome);
    end if;

    loop
        insert into contact (tenant_id, contact_id, owner)
        values (v_inbox.tenant_id, v_inbox.contact_id, p->>'first_owner') on conflict do nothing;
        c := lock_contact(v_inbox.tenant_id, v_inbox.contact_id);
        -- Erased between the two statements: the event came after that, and begins a new contact.
        exit when c.contact_id is not null;
    end loop;
    c := know_addresses(c, array_remove(array(select jsonb_array_elements_text(p->'address_hashes')) || (p->>'contact_hash'), null),
                        coalesce(jsonb_array_length(p->'address_hashes') > 0, false));
    update contact
       set profile = profile || coalesce(p->'profile', '{}'), dnd = coalesce((p->>'dnd')::boolean, dnd),
           version = version + (coalesce((p->>'dnd')::boolean, dnd) <> dnd)::int,
           conversation_id = coalesce(p->>'conversation_id', conversation_id),
           channel = case when v_kind = 'MESSAGE_IN' then coalesce(p->>'channel', channel) else channel end
     where tenant_id = c.tenant_id and contact_id = c.contact_id returning * into c;

    -- Our own text can come back in a user's name, even before its delivery is marked.
    if v_kind = 'HUMAN_MESSAGE' and exists (
        select from outbox o where o.tenant_id = c.tenant_id and o.contact_id = c.contact_id
           and (o.crm_message_id = p->>'crm_message_id'
                or (o.body = p->>'text' and (o.state = 'CLAIMED' or (o.state = 'PENDING' and o.needs_read_back))))) then
        v_kind := 'MESSAGE_OUT';
        update inbox set kind = v_kind where inbox_id = v_inbox.inbox_id;
    end if;

    if v_kind = 'MESSAGE_IN' and v_keyword = 'STOP' then
        perform suppress_outbox(c.tenant_id, c.contact_id, 'OPTED_OUT');
        perform settle_waiting(c.tenant_id, c.contact_id, 'SUPPRESSED', 'OPTED_OUT');
        if c.opt_out_time is null then
            update contact set opt_out_time = v_now, version = version + 1, score_due = true
             where tenant_id = c.tenant_id and contact_id = c.contact_id;
            perform put_outbox(c, 'OPT_OUT_CONFIRMATION', p->>'keyword_reply');
        end if;
        v_outcome := 'SUPPRESSED'; v_cause := 'OPT_OUT';
    elsif v_kind = 'MESSAGE_IN' and v_keyword = 'START' and wants_no_texts(c) then
        -- The person takes back what the person asked for; a pause of the brokerage's stays.
        delete from suppression where tenant_id = c.tenant_id and address_hash = any (c.address_hashes);
        update contact set opt_out_time = null, opt_in_time = v_now, version = version + 1, score_due = true,
               pause_time = case when pause_cause = 'ASKED_TO_STOP' then null else pause_time end,
               pause_cause = nullif(pause_cause, 'ASKED_TO_STOP')
         where tenant_id = c.tenant_id and contact_id = c.contact_id;
        perform put_outbox(c, 'OPT_IN_CONFIRMATION', p->>'keyword_reply');
        v_outcome := 'REPLIED'; v_cause := 'OPT_IN';
    elsif v_kind = 'MESSAGE_IN' and v_keyword = 'HELP' then
        perform put_outbox(c, 'HELP', p->>'keyword_reply');
        v_outcome := 'REPLIED'; v_cause := 'HELP';
    elsif v_kind = 'MESSAGE_IN' and silence_of(c) is not null then
        v_outcome := 'SUPPRESSED'; v_cause := silence_of(c);
    elsif v_kind = 'MESSAGE_IN' and c.owner = 'human' then
        v_outcome := 'ESCALATED_HUMAN';
    elsif v_kind = 'MESSAGE_IN' then
        v_outcome := 'WAITING';
    elsif v_kind = 'HUMAN_MESSAGE' then
        perform take_over(c.tenant_id, c.contact_id, 'CRM_USER');
    elsif v_kind = 'CONTACT_DELETE' then
        -- Whatever of the contact is still on its way here must begin no talk with somebody who is gone.
        insert into suppression (tenant_id, address_hash, opt_out_time) values (c.tenant_id, p->>'contact_hash', v_now)
        on conflict do nothing;
        perform erase_contact(c.tenant_id, c.contact_id, p->>'contact_hash', 'crm');
        return jsonb_build_object('status', 'ACCEPTED', 'message_id', v_inbox.message_id, 'outcome', v_outcome);
    end if;
    if v_kind in ('DND', 'CONTACT_UPSERT') and c.dnd then
        perform suppress_outbox(c.tenant_id, c.contact_id, 'DO_NOT_DISTURB');
        perform settle_waiting(c.tenant_id, c.contact_id, 'SUPPRESSED', 'DO_NOT_DISTURB');
    end if;

    update inbox set outcome = v_outcome, cause = v_cause where inbox_id = v_inbox.inbox_id;
    if v_outcome = 'WAITING' and c.pending_handoff_id is null and (c.lease_expire_time is null or c.lease_expire_time < v_now) then
        -- Each text of a burst restarts the wait, up to the longest wait since the first.
        select min(receive_time) into v_first from inbox
         where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'WAITING';
        perform wake_lane(c.tenant_id, c.contact_id,
            least(v_now + (p->>'debounce_seconds')::double precision * interval '1 second',
                  v_first + (p->>'debounce_longest_seconds')::double precision * interval '1 second'));
    end if;
    return jsonb_build_object('status', 'ACCEPTED', 'message_id', v_inbox.message_id, 'outcome', v_outcome);
end $$;

-- delivery: as before, and says of whom phone and e-mail were never looked at.
create or replace function claim_outbox(p_limit int, p_lease interval) returns setof jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    v_now timestamptz := porchlight_now();
    v_id bigint;
    o outbox;
    c contact;
    v_cause text;
begin
    for v_id in
        select x.outbox_id from outbox x
         where x.state in ('PENDING', 'CLAIMED') and x.next_attempt_time <= v_now
           and not exists (select from outbox e where e.tenant_id = x.tenant_id and e.contact_id = x.contact_id
                              and e.outbox_id < x.outbox_id and e.state in ('PENDING', 'CLAIMED')
                              and (is_effect(x.kind) or not is_effect(e.kind)))
         order by x.next_attempt_time limit p_limit
    loop
        -- Contact first, then its rows: the order every function keeps.
        select k.* into c from contact k join outbox x using (tenant_id, contact_id)
         where x.outbox_id = v_id for update of k skip locked;
        continue when not found;
        select * into o from outbox where outbox_id = v_id for update;
        continue when o.state not in ('PENDING', 'CLAIMED') or o.next_attempt_time > v_now;
        v_cause := case
            when o.kind <> 'REPLY' then null
            when silence_of(c) is not null then silence_of(c)
            when c.owner = 'human' then 'HUMAN_TAKEOVER'
            when c.epoch <> o.epoch then 'STALE_EPOCH' end;
        -- A claim whose lease ran out may have reached the CRM: it is looked up before anything else is decided.
        o.needs_read_back := o.needs_read_back or o.state = 'CLAIMED';
        if v_cause is not null and not o.needs_read_back then
            update outbox set state = 'SUPPRESSED', cause = v_cause where outbox_id = v_id;
            perform wake_blocked_lane(c);
            -- The contact's next text may go now.
            perform pg_notify('porchlight_outbox', '');
            continue;
        end if;
        update outbox set state = 'CLAIMED', attempts = attempts + 1, claim_token = gen_random_uuid(),
               needs_read_back = o.needs_read_back, first_attempt_time = coalesce(first_attempt_time, v_now),
               next_attempt_time = v_now + p_lease
         where outbox_id = v_id returning * into o;
        return next jsonb_build_object('outbox_id', o.outbox_id, 'tenant_id', o.tenant_id, 'contact_id', o.contact_id,
            'conversation_id', c.conversation_id, 'kind', o.kind, 'channel', o.channel, 'text', o.body,
            'attempts', o.attempts, 'claim_token', o.claim_token, 'needs_read_back', o.needs_read_back,
            'first_attempt_time', o.first_attempt_time, 'create_time', o.create_time, 'claim_time', v_now, 'reference', o.reference, 'suppress_cause', v_cause,
            'unscreened', o.kind = 'REPLY' and not c.screened and exists (select from suppression s where s.tenant_id = c.tenant_id),
            'known_crm_message_ids', (select coalesce(jsonb_agg(s.crm_message_id), '[]') from outbox s
                where s.tenant_id = o.tenant_id and s.contact_id = o.contact_id and s.crm_message_id is not null));
    end loop;
end $$;

revoke execute on function know_addresses(contact, text[], boolean), screen_contact(text, text, text[]),
    erase_contact(text, text, text, text), open_erasures(int), close_erasure(text) from public;
grant execute on function screen_contact(text, text, text[]), erase_contact(text, text, text, text), open_erasures(int),
    close_erasure(text) to porchlight_gateway;
