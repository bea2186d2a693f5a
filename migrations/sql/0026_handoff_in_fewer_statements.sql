-- A handoff for less: the clock is read once a step instead of once a column, a row is written once where it was written
-- twice, and what is one insert is no chain of functions. What happens is what happened before.

create or replace function put_handoff_event() returns trigger
language plpgsql security definer set search_path = porchlight as $$
declare v_now timestamptz := porchlight_now();
begin
    -- An approval whose offer is claimed with it came to both states at once.
    if tg_op = 'INSERT' and new.state = 'OFFERED' then
        insert into handoff_event (tenant_id, contact_id, handoff_id, state, event_time)
        values (new.tenant_id, new.contact_id, new.handoff_id, 'PENDING', v_now),
               (new.tenant_id, new.contact_id, new.handoff_id, 'OFFERED', v_now);
    else
        insert into handoff_event (tenant_id, contact_id, handoff_id, state, event_time)
        values (new.tenant_id, new.contact_id, new.handoff_id, new.state, v_now);
    end if;
    -- Commits that notify queue up for one lock, so what every handoff goes through stays quiet; arbiters tell
    -- their own watchers, and the others find it at their next look.
    if new.kind <> 'HANDOFF' or new.state in ('DECLINED', 'EXPIRED') then
        perform pg_notify('porchlight_handoff', '');
    end if;
    return null;
end $$;

-- Part of the functions below: leaves it to them to make the score due.
create function learn_facts(c contact, p_bot text, p_facts jsonb) returns void
language plpgsql security definer set search_path = porchlight as $$
declare
    f jsonb;
    v_now timestamptz := porchlight_now();
begin
    for f in select * from jsonb_array_elements(p_facts) loop
        update fact set supersede_time = v_now
         where tenant_id = c.tenant_id and contact_id = c.contact_id and name = f->>'name' and supersede_time is null;
        insert into fact (tenant_id, contact_id, name, value, words, message_id, extractor, confidence, bot, private_to, learn_time)
        values (c.tenant_id, c.contact_id, f->>'name', f->'value', coalesce(f->>'words', ''),
                coalesce(f->>'message_id', ''), f->>'extractor', (f->>'confidence')::double precision,
                p_bot, f->>'private_to', v_now);
    end loop;
end $$;

create or replace function put_facts(c contact, p_bot text, p_facts jsonb) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    if p_facts <> '[]' then
        perform learn_facts(c, p_bot, p_facts);
        update contact set score_due = true where tenant_id = c.tenant_id and contact_id = c.contact_id;
    end if;
end $$;

-- As before; `p_learned` makes the score due as well, `p_ended` says that the caller has ended the open turn itself.
drop function change_owner(text, text, text, text, text);
create function change_owner(p_tenant text, p_contact text, p_owner text, p_pending text, p_cause text,
                             p_learned boolean default false, p_ended boolean default false) returns contact
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    v_now timestamptz := porchlight_now();
begin
    update contact set owner = p_owner, epoch = epoch + 1, version = version + 1, lease_expire_time = null,
           ready_time = null, pending_handoff_id = p_pending, score_due = score_due or p_learned
     where tenant_id = p_tenant and contact_id = p_contact returning * into c;
    insert into audit (tenant_id, contact_id, kind, epoch, turn_no, detail, event_time)
    values (c.tenant_id, c.contact_id, 'OWNER_CHANGED', c.epoch, c.turn_no,
            jsonb_build_object('owner', p_owner, 'cause', p_cause, 'handoff_id', p_pending), v_now);
    if not p_ended then
        update turn set state = 'EXPIRED', end_time = v_now
         where tenant_id = p_tenant and contact_id = p_contact and state = 'OPEN';
    end if;
    return c;
end $$;

create or replace function record_handoff(p jsonb, p_capsule bytea) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    h jsonb := p->'handoff';
    v_kind text := h->>'kind';
    v_state text := h->>'state';
    v_approved boolean := v_state in ('PENDING', 'ACCEPTED');
    v_turn_no bigint := (p->>'turn_no')::bigint;
    v_time timestamptz := (h->>'decide_time')::timestamptz;
    v_now timestamptz;
    -- For how long the recording arbiter has claimed the offer; null when it did not.
    v_claim interval := nullif((p->>'claim_seconds')::double precision, 0) * interval '1 second';
begin
    select * into c from contact where tenant_id = p->>'tenant_id' and contact_id = p->>'contact_id' for update;
    if c.version is distinct from (p->>'expected_version')::bigint
       or (h->>'policy_version')::bigint is distinct from (select max(version) from policy) then
        return 'RETRY';
    end if;
    if v_turn_no <> 0 and not exists (
        select from turn where tenant_id = c.tenant_id and contact_id = c.contact_id and turn_no = v_turn_no
           and epoch = c.epoch and c.turn_no = v_turn_no and state = 'OPEN') then
        perform note(c, 'STALE_TURN', jsonb_build_object('bot', h->>'source_bot', 'asked_turn_no', v_turn_no, 'step', 'handoff'));
        return 'STALE';
    end if;
    v_now := porchlight_now();
    insert into handoff (handoff_id, tenant_id, contact_id, kind, request_id, request_digest, actor, source_bot, target_bot,
                         state, reason, person, verdicts, inputs, blocking_rule, block_reason, confidence, summary, open_question,
                         message_ids, override_message_id, policy_version, source_epoch, epoch, capsule, decide_time, expire_time,
                         retry_time, accept_time, due_time, offer_lease_time, offer_attempts)
    values (h->>'handoff_id', c.tenant_id, c.contact_id, v_kind, h->>'request_id', h->>'request_digest', h->>'actor',
            h->>'source_bot', h->>'target_bot', case when v_claim is null then v_state else 'OFFERED' end, h->>'reason', h->>'person', h->'verdicts', p->'inputs',
            h->>'blocking_rule', coalesce(h->>'block_reason', ''), (h->>'confidence')::double precision, h->>'summary',
            coalesce(h->>'open_question', ''),
            array(select jsonb_array_elements_text(h->'message_ids')), h->>'override_message_id',
            (h->>'policy_version')::bigint, c.epoch, c.epoch + v_approved::int, p_capsule, v_time,
            case when v_state = 'PENDING' then v_time + (p->>'offer_seconds')::double precision * interval '1 second' end,
            (h->>'retry_time')::timestamptz, case when v_state = 'ACCEPTED' then v_time end, (h->>'due_time')::timestamptz,
            v_now + v_claim, (v_claim is not null)::int)
    -- The request id was decided on meanwhile, perhaps for another contact, whose lock is not ours. The next look finds it.
    on conflict (tenant_id, request_id) do nothing;
    if not found then
        return 'RETRY';
    end if;
    if not v_approved then
        return 'RECORDED';
    end if;
    if v_turn_no <> 0 then
        update turn set state = 'HANDED_OFF', handoff_id = h->>'handoff_id', record = p->'record', end_time = v_now
         where tenant_id = c.tenant_id and contact_id = c.contact_id and turn_no = v_turn_no;
    end if;
    if v_kind = 'HANDOFF' then
        perform learn_facts(c, h->>'source_bot', p->'facts');
        -- The new owner's attempts are its own.
        update inbox set attempts = 0 where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'WAITING';
        -- No second turn is open: whoever claims one ends what was open before.
        perform change_owner(c.tenant_id, c.contact_id, h->>'target_bot', h->>'handoff_id', 'HANDOFF',
                             p->'facts' <> '[]', v_turn_no <> 0);
        return 'RECORDED';
    end if;
    perform put_facts(c, h->>'source_bot', p->'facts');
    if v_kind = 'ESCALATION' then
        perform give_to_human(c, 'ESCALATION');
    else
        perform give_to_bot(c, h->>'target_bot');
    end if;
    return 'RECORDED';
end $$;

create or replace function redeem_ticket(p_handoff_id text, p_epoch bigint) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    h handoff;
    c contact;
    v_now timestamptz;
begin
    select tenant_id, contact_id into h.tenant_id, h.contact_id from handoff where handoff_id = p_handoff_id;
    select * into c from contact where tenant_id = h.tenant_id and contact_id = h.contact_id for update;
    -- Read with the lock held: whoever had it may have kept us waiting past the end of the offer.
    v_now := porchlight_now();
    update handoff set state = 'ACCEPTED', accept_time = v_now
     where handoff_id = p_handoff_id and state in ('PENDING', 'OFFERED') and expire_time > v_now
       and c.pending_handoff_id = p_handoff_id and c.epoch = p_epoch and epoch = p_epoch;
    if not found then
        if c.contact_id is not null then
            perform note(c, 'STALE_TICKET', jsonb_build_object('handoff_id', p_handoff_id, 'asked_epoch', p_epoch));
        end if;
        return coalesce((select state from handoff where handoff_id = p_handoff_id), 'UNKNOWN');
    end if;
    -- As wake_lane does it, without writing the contact twice.
    update contact set pending_handoff_id = null, version = version + 1,
           ready_time = case when exists (select from inbox i where i.tenant_id = h.tenant_id and i.contact_id = h.contact_id
                                             and i.outcome = 'WAITING') then v_now else ready_time end
     where tenant_id = h.tenant_id and contact_id = h.contact_id returning ready_time into c.ready_time;
    if c.ready_time = v_now then
        perform pg_notify('porchlight_lane', '');
    end if;
    return 'DONE';
end $$;

-- Tells people of the brokerage why a contact was moved and what is known; whom a bot calls for gets a task as well.
create or replace function tell_of_handoff() returns trigger
language plpgsql security definer set search_path = porchlight as $$
declare
    v_contact contact;
    v_now timestamptz := porchlight_now();
begin
    -- A person took it from the CRM or gives it back: they know.
    if new.kind = 'RETURN' or new.reason = 'CRM_USER' then
        return null;
    end if;
    -- One that was erased meanwhile is not there. Like put_effect, without reading the contact and its facts for it first.
    insert into outbox (tenant_id, contact_id, epoch, turn_no, kind, channel, body, next_attempt_time, create_time)
    select c.tenant_id, c.contact_id, c.epoch, c.turn_no, 'NOTE', coalesce(c.channel, 'SMS'),
           jsonb_build_object('handoff', jsonb_build_object('source_bot', new.source_bot,
               'target_bot', new.target_bot, 'reason', new.reason, 'summary', new.summary, 'open_question', new.open_question,
               'facts', (select coalesce(jsonb_object_agg(f.name, f.value), '{}') from fact f
                          where f.tenant_id = c.tenant_id and f.contact_id = c.contact_id and f.supersede_time is null
                            and f.private_to is null and not coalesce(
                                (select body->'private_facts' from policy order by version desc limit 1) ? f.name, false))))::text,
           v_now, v_now
      from contact c where c.tenant_id = new.tenant_id and c.contact_id = new.contact_id;
    if found and new.kind = 'ESCALATION' then
        select * into v_contact from contact where tenant_id = new.tenant_id and contact_id = new.contact_id;
        perform put_effect(v_contact, 'TASK', jsonb_build_object('title', 'A person is needed',
            'text', 'The automated assistant stopped here and waits for a person: ' || new.summary,
            'due_hours', greatest(1, ceil(extract(epoch from coalesce(new.due_time - v_now, interval '4 hours')) / 3600))));
    end if;
    return null;
end $$;
drop function public_facts(text, text);

revoke execute on function learn_facts(contact, text, jsonb), change_owner(text, text, text, text, text, boolean, boolean) from public;
