-- What a turn does beside its text: notes, tasks and custom fields in the CRM, through the same outbox.
-- They tell the brokerage, not the person: opting out, do-not-disturb and a takeover keep none of them back.

alter table outbox add column reference text not null default left(replace(gen_random_uuid()::text, '-', ''), 12);
comment on column outbox.reference is 'Stands in a note or a task, so that it is found again in the CRM: see docs/adr/0009.';
comment on column outbox.kind is 'A text: REPLY, OPT_OUT_CONFIRMATION, OPT_IN_CONFIRMATION, HELP; or an effect in the CRM: NOTE, TASK, FIELDS.';
comment on column outbox.body is 'The text, or of an effect its JSON.';
alter table contact add column crm_fields jsonb not null default '{}';
comment on column contact.crm_fields is 'What was last put out to the custom fields, so that only changes are.';

create function is_effect(p_kind text) returns boolean
language sql immutable set search_path = porchlight as $$
    select p_kind in ('NOTE', 'TASK', 'FIELDS');
$$;

-- Puts an effect out, behind what waits for the contact already. Call it with the contact locked.
-- NOTE: {"text"}, or {"handoff"}, which the gateway puts into words; TASK: {"title", "text", "due_hours"};
-- FIELDS: {"fields": {field key: value}}.
create function put_effect(c contact, p_kind text, p_body jsonb) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    if not is_effect(p_kind) then
        raise exception '% is no effect', p_kind using errcode = 'invalid_parameter_value';
    end if;
    -- Without a notification: nobody waits for it, the next sweep finds it, and commits that notify queue up for one lock.
    insert into outbox (tenant_id, contact_id, epoch, turn_no, kind, channel, body)
    values (c.tenant_id, c.contact_id, c.epoch, c.turn_no, p_kind, coalesce(c.channel, 'SMS'), p_body::text);
end $$;

-- Puts those custom fields out whose values are not the last that were.
create function put_fields(c contact, p_fields jsonb) returns void
language plpgsql security definer set search_path = porchlight as $$
declare v_changed jsonb;
begin
    select coalesce(jsonb_object_agg(key, value), '{}') into v_changed
      from jsonb_each(p_fields) where c.crm_fields->key is distinct from value;
    if v_changed <> '{}' then
        update contact set crm_fields = crm_fields || v_changed where tenant_id = c.tenant_id and contact_id = c.contact_id;
        perform put_effect(c, 'FIELDS', jsonb_build_object('fields', v_changed));
    end if;
end $$;

-- bot: ends a turn. Facts, reply, effects, record and the messages' outcome are one commit.
-- An older bot calls it without effects.
drop function complete_turn(text, text, text, bigint, bigint, text, text, jsonb, jsonb);
create function complete_turn(p_bot text, p_tenant text, p_contact text, p_epoch bigint, p_turn_no bigint,
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
        if e->>'kind' = 'FIELDS' then
            perform put_fields(c, e->'fields');
        else
            perform put_effect(c, e->>'kind', e - 'kind');
        end if;
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

-- As before, but only texts hold the lane up: what the brokerage is told must not delay an answer.
create or replace function claim_turn(p_limit int, p_lease interval, p_messages_most int, p_attempts_most int)
returns setof jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    v_now timestamptz := porchlight_now();
    v_ids text[];
    v_messages jsonb;
    v_suspected text[];
begin
    -- A crash counts for every turn that the bot had open. Who failed twice is therefore tried while the bot does
    -- nothing else, so that a message dies of its own fault and not of its neighbour's.
    select coalesce(array_agg(distinct k.owner), '{}') into v_suspected
      from inbox i join contact k using (tenant_id, contact_id)
     where i.outcome = 'WAITING' and i.attempts > 1 and k.pending_handoff_id is null
       and (k.ready_time <= v_now or k.lease_expire_time > v_now);
    for c in
        select * from contact q
         where ready_time <= v_now and pending_handoff_id is null and owner <> 'human'
           and (owner <> all (v_suspected)
                or exists (select from inbox i where i.tenant_id = q.tenant_id and i.contact_id = q.contact_id
                              and i.outcome = 'WAITING' and i.attempts > 1)
                   and not exists (select from contact k where k.owner = q.owner and k.lease_expire_time > v_now))
         order by ready_time limit p_limit for update skip locked
    loop
        -- Of several suspects one goes first.
        continue when c.owner = any (v_suspected) and exists (
            select from contact k where k.owner = c.owner and k.lease_expire_time > v_now);
        -- An earlier reply goes out first: it belongs to this owner and comes before what the next turn says.
        if exists (select from outbox o where o.tenant_id = c.tenant_id and o.contact_id = c.contact_id
                      and o.state in ('PENDING', 'CLAIMED') and not is_effect(o.kind)) then
            -- Its delivery wakes the lane: see wake_blocked_lane.
            update contact set ready_time = null where tenant_id = c.tenant_id and contact_id = c.contact_id;
            continue;
        end if;
        update turn set state = 'EXPIRED', end_time = v_now
         where tenant_id = c.tenant_id and contact_id = c.contact_id and state = 'OPEN';
        update inbox set outcome = 'DEAD_LETTER', cause = coalesce(cause, 'TURN_NEVER_ENDED')
         where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'WAITING' and attempts >= p_attempts_most;
        select array_agg(message_id order by write_time, inbox_id),
               jsonb_agg(jsonb_build_object('message_id', message_id, 'text', body, 'channel', channel,
                                            'write_time', write_time) order by write_time, inbox_id)
          into v_ids, v_messages
          from (select * from inbox where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'WAITING'
                 order by write_time, inbox_id limit p_messages_most) w;
        update contact set ready_time = case when v_ids is null then null else v_now + p_lease end,
               lease_expire_time = case when v_ids is null then null else v_now + p_lease end,
               turn_no = turn_no + case when v_ids is null then 0 else 1 end
         where tenant_id = c.tenant_id and contact_id = c.contact_id returning * into c;
        if v_ids is not null then
            insert into turn (tenant_id, contact_id, turn_no, epoch, bot, message_ids)
            values (c.tenant_id, c.contact_id, c.turn_no, c.epoch, c.owner, v_ids);
            return next jsonb_build_object('tenant_id', c.tenant_id, 'contact_id', c.contact_id, 'bot', c.owner,
                'epoch', c.epoch, 'turn_no', c.turn_no, 'messages', v_messages);
        end if;
    end loop;
end $$;

-- delivery: the first open row of each contact. Effects come in order after what was said before them; a text
-- waits for texts only.
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
            when c.opt_out_time is not null then 'OPTED_OUT'
            when c.dnd then 'DO_NOT_DISTURB'
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

-- As before; and who should have had a reply that never left is made known to the brokerage.
create or replace function finish_outbox(p_outbox_id bigint, p_claim_token uuid, p_result text, p_cause text, p_crm_message_id text,
                              p_wait interval, p_needs_read_back boolean) returns boolean
language plpgsql security definer set search_path = porchlight as $$
declare
    o outbox;
    c contact;
begin
    select * into o from outbox where outbox_id = p_outbox_id;
    c := lock_contact(o.tenant_id, o.contact_id);
    update outbox set state = case p_result when 'RETRY' then 'PENDING' else p_result end, cause = p_cause,
           -- A CRM that gives one id to two texts must not keep the second in the outbox for ever.
           crm_message_id = (select p_crm_message_id where not exists (select from outbox e
               where e.tenant_id = o.tenant_id and e.crm_message_id = p_crm_message_id and e.outbox_id <> p_outbox_id)),
           claim_token = null, needs_read_back = p_needs_read_back,
           next_attempt_time = porchlight_now() + p_wait,
           send_time = case p_result when 'SENT' then porchlight_now() end
     where outbox_id = p_outbox_id and state = 'CLAIMED' and claim_token = p_claim_token;
    if not found then
        return false;
    end if;
    if p_result = 'DEAD' and o.kind = 'FIELDS' then
        -- The next turn puts them out again.
        update contact set crm_fields = crm_fields - array(select jsonb_object_keys(o.body::jsonb->'fields'))
         where tenant_id = o.tenant_id and contact_id = o.contact_id;
    elsif p_result in ('AMBIGUOUS', 'DEAD') and o.kind = 'REPLY' then
        perform put_effect(c, 'TASK', jsonb_build_object('title', 'A reply may not have reached the person',
            'text', 'A reply of ' || to_char(o.create_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC '
                || case p_result when 'DEAD' then 'was not sent' else 'may or may not have been sent' end
                || ' (' || coalesce(p_cause, 'no cause known') || '). It is not tried again: please look at the conversation.',
            'due_hours', 4));
    end if;
    if p_result <> 'RETRY' then
        if not is_effect(o.kind) then
            perform wake_blocked_lane(c);
        end if;
        perform pg_notify('porchlight_outbox', '');
    end if;
    return true;
end $$;

-- What anybody of the brokerage may read of a contact: never what was confided to one bot.
create function public_facts(p_tenant text, p_contact text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select coalesce(jsonb_object_agg(name, value), '{}') from fact
     where tenant_id = p_tenant and contact_id = p_contact and supersede_time is null and private_to is null
       and not coalesce((select body->'private_facts' from policy order by version desc limit 1) ? name, false);
$$;

-- Tells people of the brokerage why a contact was moved and what is known; whom a bot calls for gets a task as well.
create function tell_of_handoff() returns trigger
language plpgsql security definer set search_path = porchlight as $$
declare c contact;
begin
    select * into c from contact where tenant_id = new.tenant_id and contact_id = new.contact_id;
    -- Erased meanwhile, or a person took it from the CRM or gives it back: they know.
    if c.contact_id is null or new.kind = 'RETURN' or new.reason = 'CRM_USER' then
        return null;
    end if;
    perform put_effect(c, 'NOTE', jsonb_build_object('handoff', jsonb_build_object('source_bot', new.source_bot,
        'target_bot', new.target_bot, 'reason', new.reason, 'summary', new.summary,
        'open_question', new.open_question, 'facts', public_facts(new.tenant_id, new.contact_id))));
    if new.kind = 'ESCALATION' then
        perform put_effect(c, 'TASK', jsonb_build_object('title', 'A person is needed',
            'text', 'The automated assistant stopped here and waits for a person: ' || new.summary,
            'due_hours', greatest(1, ceil(extract(epoch from coalesce(new.due_time - porchlight_now(), interval '4 hours')) / 3600))));
    end if;
    return null;
end $$;
-- At the end of the transaction, when the facts of the turn that led to it are written as well.
create constraint trigger handoff_told_inserted after insert on handoff deferrable initially deferred
    for each row when (new.state = 'ACCEPTED') execute function tell_of_handoff();
create constraint trigger handoff_told_moved after update of state on handoff deferrable initially deferred
    for each row when (new.state = 'ACCEPTED' and old.state is distinct from new.state) execute function tell_of_handoff();

revoke execute on function is_effect(text), put_effect(contact, text, jsonb), put_fields(contact, jsonb), public_facts(text, text), tell_of_handoff(),
    complete_turn(text, text, text, bigint, bigint, text, text, jsonb, jsonb, jsonb) from public;
grant execute on function complete_turn(text, text, text, bigint, bigint, text, text, jsonb, jsonb, jsonb) to porchlight_bot;
