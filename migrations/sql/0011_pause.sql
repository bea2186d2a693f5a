-- A contact that no bot may write to for now, and scores that the lead bot writes back to the CRM.
-- A pause is the brokerage's, by an operator, or what a person asked for in words of their own ("leave me alone"):
-- those may be misread, so people of the brokerage are told, and may lift it; an opt-out only the person can.

alter table contact
    add column pause_time timestamptz,
    add column pause_cause text check (pause_cause in ('OPERATOR', 'ASKED_TO_STOP')),
    add column score_due boolean not null default false,
    add check ((pause_time is null) = (pause_cause is null));
comment on column contact.pause_time is 'Since when no bot may write to the contact; null when they may.';
comment on column contact.score_due is 'Whether something is known that the score in the CRM does not count yet.';
create index contact_score_due on contact (tenant_id, contact_id) where score_due;

-- Why no bot may write to the contact; null when one may.
create function silence_of(c contact) returns text
language sql immutable set search_path = porchlight as $$
    select case when c.opt_out_time is not null then 'OPTED_OUT'
                when c.dnd then 'DO_NOT_DISTURB'
                when c.pause_time is not null then 'PAUSED' end;
$$;

-- Whether the person asked for no texts, with the keyword or in other words.
create function wants_no_texts(c contact) returns boolean
language sql immutable set search_path = porchlight as $$
    select c.opt_out_time is not null or coalesce(c.pause_cause = 'ASKED_TO_STOP', false);
$$;

-- Silences the bots for a contact; call it with the contact locked. What the person asked for outweighs an operator's.
create function put_pause(c contact, p_cause text, p_actor text) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    if c.pause_cause is not distinct from p_cause or c.pause_cause = 'ASKED_TO_STOP' then
        return;
    end if;
    update contact set pause_time = porchlight_now(), pause_cause = p_cause, version = version + 1, score_due = true
     where tenant_id = c.tenant_id and contact_id = c.contact_id;
    perform note(c, 'PAUSED', jsonb_build_object('cause', p_cause, 'actor', p_actor));
    perform suppress_outbox(c.tenant_id, c.contact_id, 'PAUSED');
    perform settle_waiting(c.tenant_id, c.contact_id, 'SUPPRESSED', 'PAUSED');
    if p_cause = 'ASKED_TO_STOP' then
        perform put_effect(c, 'TASK', jsonb_build_object('title', 'Seems to want no more texts',
            'text', 'The person asked in their own words to be left alone, so the automated assistant is silent from now on. '
                || 'Please read the conversation. If that was a misunderstanding, resume the contact; '
                || 'otherwise set do-not-disturb. The person can text START.',
            'due_hours', 24));
    end if;
end $$;

-- gateway: an operator silences the bots for a contact. False when there is no such contact.
create function pause_contact(p_tenant text, p_contact text, p_actor text) returns boolean
language plpgsql security definer set search_path = porchlight as $$
declare c contact := lock_contact(p_tenant, p_contact);
begin
    if c.contact_id is null then
        return false;
    end if;
    perform put_pause(c, 'OPERATOR', p_actor);
    return true;
end $$;

-- gateway: bots may answer what the person writes from now on, unless the person opted out. What was written during
-- the pause is not answered: it may be days old.
create function resume_contact(p_tenant text, p_contact text, p_actor text) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare c contact := lock_contact(p_tenant, p_contact);
begin
    if c.contact_id is null then
        return null;
    end if;
    if c.pause_time is not null then
        update contact set pause_time = null, pause_cause = null, version = version + 1, score_due = true
         where tenant_id = p_tenant and contact_id = p_contact returning * into c;
        perform note(c, 'RESUMED', jsonb_build_object('actor', p_actor));
    end if;
    return jsonb_build_object('silence', silence_of(c));
end $$;
comment on column audit.kind is 'OWNER_CHANGED, STALE_TURN, STALE_TICKET, PAUSED, RESUMED.';

create or replace function put_facts(c contact, p_bot text, p_facts jsonb) returns void
language plpgsql security definer set search_path = porchlight as $$
declare f jsonb;
begin
    for f in select * from jsonb_array_elements(p_facts) loop
        update fact set supersede_time = porchlight_now()
         where tenant_id = c.tenant_id and contact_id = c.contact_id and name = f->>'name' and supersede_time is null;
        insert into fact (tenant_id, contact_id, name, value, words, message_id, extractor, confidence, bot, private_to)
        values (c.tenant_id, c.contact_id, f->>'name', f->'value', coalesce(f->>'words', ''),
                coalesce(f->>'message_id', ''), f->>'extractor', (f->>'confidence')::double precision,
                p_bot, f->>'private_to');
    end loop;
    if p_facts <> '[]' then
        update contact set score_due = true where tenant_id = c.tenant_id and contact_id = c.contact_id;
    end if;
end $$;

create or replace function read_facts(p_tenant text, p_contact text, p_bot text) returns jsonb
language plpgsql volatile security definer set search_path = porchlight as $$
begin
    perform check_bot(p_bot);
    return (
        select jsonb_build_object('facts', current_facts(p_tenant, p_contact, p_bot),
                   'opted_out', wants_no_texts(c),
                   'messages_count', (select count(*) from inbox i where i.tenant_id = c.tenant_id
                                        and i.contact_id = c.contact_id and i.kind = 'MESSAGE_IN'))
          from contact c where c.tenant_id = p_tenant and c.contact_id = p_contact);
end $$;

-- lead: contacts whose score in the CRM is not the last that can be said, with what the bot may know of them.
create function due_scores(p_bot text, p_limit int) returns setof jsonb
language plpgsql volatile security definer set search_path = porchlight as $$
begin
    perform check_bot(p_bot);
    return query
    select read_facts(c.tenant_id, c.contact_id, p_bot) || jsonb_build_object('tenant_id', c.tenant_id,
               'contact_id', c.contact_id, 'version', c.version, 'last_fact_id', last_fact_id(c))
      from contact c where c.score_due order by c.tenant_id, c.contact_id limit p_limit;
end $$;

create function last_fact_id(c contact) returns bigint
language sql stable security definer set search_path = porchlight as $$
    select coalesce(max(fact_id), 0) from fact where tenant_id = c.tenant_id and contact_id = c.contact_id;
$$;

-- lead: puts a score out; it stays due when something new was learned meanwhile.
create function put_score(p_bot text, p_tenant text, p_contact text, p_version bigint, p_last_fact_id bigint, p_fields jsonb)
returns void
language plpgsql security definer set search_path = porchlight as $$
declare c contact;
begin
    perform check_bot(p_bot);
    c := lock_contact(p_tenant, p_contact);
    if c.version = p_version and last_fact_id(c) = p_last_fact_id then
        update contact set score_due = false where tenant_id = p_tenant and contact_id = p_contact;
        perform put_fields(c, p_fields);
    end if;
end $$;

-- bot: ends a turn, as before; PAUSE among the effects keeps the bots silent from now on.
create or replace function complete_turn(p_bot text, p_tenant text, p_contact text, p_epoch bigint, p_turn_no bigint,
                              p_state text, p_reply text, p_facts jsonb, p_record jsonb,
                              p_effects jsonb default '[]') returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    t turn;
    e jsonb;
begin
    perform check_bot(p_bot);
    c := lock_contact(p_tenant, p_contact);
    select * into t from turn where tenant_id = p_tenant and contact_id = p_contact and turn_no = p_turn_no;
    if t.bot = p_bot and t.epoch = p_epoch and t.state in ('REPLIED', 'SILENT', 'HANDED_OFF') then
        return 'FINISHED';
    end if;
    if c.contact_id is null or c.owner <> p_bot or c.epoch <> p_epoch or c.turn_no <> p_turn_no or t.state is distinct from 'OPEN' then
        if c.contact_id is not null then
            perform note(c, 'STALE_TURN', jsonb_build_object('bot', p_bot, 'asked_epoch', p_epoch, 'asked_turn_no', p_turn_no, 'step', 'complete'));
        end if;
        return 'STALE';
    end if;
    perform put_facts(c, p_bot, p_facts);
    if p_state = 'REPLIED' then
        perform put_outbox(c, 'REPLY', p_reply);
    end if;
    for e in select * from jsonb_array_elements(p_effects) loop
        case e->>'kind'
            when 'FIELDS' then
                perform put_fields(c, e->'fields');
            when 'PAUSE' then
                perform put_pause(c, 'ASKED_TO_STOP', p_bot);
            else
                perform put_effect(c, e->>'kind', e - 'kind');
        end case;
    end loop;
    update turn set state = p_state, record = p_record, end_time = porchlight_now()
     where tenant_id = p_tenant and contact_id = p_contact and turn_no = p_turn_no;
    update inbox set outcome = case p_state when 'REPLIED' then 'REPLIED' else 'SUPPRESSED' end,
           cause = case p_state when 'REPLIED' then null else 'NOTHING_TO_SAY' end
     where message_id = any(t.message_ids) and outcome = 'WAITING';
    update handoff set state = 'COMPLETED', end_time = porchlight_now()
     where tenant_id = p_tenant and contact_id = p_contact and target_bot = p_bot and state = 'ACCEPTED';
    update contact set lease_expire_time = null, ready_time = null where tenant_id = p_tenant and contact_id = p_contact;
    perform wake_lane(p_tenant, p_contact, porchlight_now());
    return 'COMPLETED';
end $$;

-- gateway: stores one event, once, and applies what must not wait for a bot. As before, and a pause silences too.
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

    insert into contact (tenant_id, contact_id, owner)
    values (v_inbox.tenant_id, v_inbox.contact_id, p->>'first_owner') on conflict do nothing;
    c := lock_contact(v_inbox.tenant_id, v_inbox.contact_id);
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
        update contact set opt_out_time = null, version = version + 1, score_due = true,
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
        -- A turn or an offer under way must not write the person's data anew: both are fenced off.
        update handoff set state = 'EXPIRED', end_time = v_now, end_reason = 'CONTACT_DELETED'
         where handoff_id = c.pending_handoff_id and state in ('PENDING', 'OFFERED');
        perform change_owner(c.tenant_id, c.contact_id, c.owner, null, 'CONTACT_DELETED');
        perform settle_waiting(c.tenant_id, c.contact_id, 'SUPPRESSED', 'CONTACT_DELETED');
        update outbox set state = 'SUPPRESSED', cause = 'CONTACT_DELETED'
         where tenant_id = c.tenant_id and contact_id = c.contact_id and state = 'PENDING' and not needs_read_back;
        update handoff set summary = '', open_question = '', capsule = null
         where tenant_id = c.tenant_id and contact_id = c.contact_id;
        delete from fact where tenant_id = c.tenant_id and contact_id = c.contact_id;
        update inbox set body = '' where tenant_id = c.tenant_id and contact_id = c.contact_id;
        update outbox set body = '' where tenant_id = c.tenant_id and contact_id = c.contact_id and state not in ('PENDING', 'CLAIMED');
        update contact set profile = '{}', opt_out_time = v_now, version = version + 1
         where tenant_id = c.tenant_id and contact_id = c.contact_id;
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

-- delivery: as before, and a pause keeps a reply in.
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
            'known_crm_message_ids', (select coalesce(jsonb_agg(s.crm_message_id), '[]') from outbox s
                where s.tenant_id = o.tenant_id and s.contact_id = o.contact_id and s.crm_message_id is not null));
    end loop;
end $$;

create or replace function contact_timeline(p_tenant text, p_contact text, p_limit int, p_before timestamptz) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    with event (event_time, kind, body) as (
        select receive_time, 'inbound', to_jsonb(i) from inbox i where tenant_id = p_tenant and contact_id = p_contact
        union all
        select claim_time, 'turn', to_jsonb(t) from turn t where tenant_id = p_tenant and contact_id = p_contact
        union all
        select decide_time, 'handoff', to_jsonb(h) - 'capsule' from handoff h where tenant_id = p_tenant and contact_id = p_contact
        union all
        select create_time, 'outbound', to_jsonb(o) - 'claim_token' from outbox o where tenant_id = p_tenant and contact_id = p_contact
    ), page as (
        select * from event where p_before is null or event_time < p_before order by event_time desc, kind limit p_limit
    )
    select jsonb_build_object('owner', owner, 'epoch', epoch, 'pending_handoff_id', pending_handoff_id,
               'opted_out', opt_out_time is not null, 'pause_cause', pause_cause, 'facts', current_facts(p_tenant, p_contact, null),
               'events', (select coalesce(jsonb_agg(jsonb_build_object('event_time', event_time, 'kind', kind, 'body', body)
                            order by event_time desc, kind), '[]') from page))
      from contact where tenant_id = p_tenant and contact_id = p_contact;
$$;

revoke execute on function silence_of(contact), wants_no_texts(contact), put_pause(contact, text, text),
    pause_contact(text, text, text), resume_contact(text, text, text), due_scores(text, int), last_fact_id(contact),
    put_score(text, text, text, bigint, bigint, jsonb) from public;
grant execute on function pause_contact(text, text, text), resume_contact(text, text, text) to porchlight_gateway;
grant execute on function due_scores(text, int), put_score(text, text, text, bigint, bigint, jsonb) to porchlight_bot;
