-- The protocol of handoffs in full: a person as owner, decisions that can be replayed and
-- watched, put off or made under a policy that changes while everything runs.

alter table handoff
    add column kind text not null default 'HANDOFF',
    add column reason text not null default '',
    add column person text not null default '',
    add column inputs jsonb,
    add column retry_time timestamptz,
    add column due_time timestamptz,
    add column answer_time timestamptz;
comment on column handoff.kind is 'HANDOFF between bots, ESCALATION to a person, RETURN from one.';
comment on column handoff.reason is 'Why a person was asked for, as a code; empty for other kinds.';
comment on column handoff.person is 'Who of the brokerage gave the contact back.';
comment on column handoff.inputs is 'What the policy looked at; with the policy version it gives the verdicts again.';
comment on column handoff.retry_time is 'When a DEFERRED request is worth asking again.';
comment on column handoff.due_time is 'Until when a person of the brokerage should have written to the contact.';
comment on column handoff.answer_time is 'When one did.';
create index handoff_with_person on handoff (tenant_id, decide_time desc, handoff_id desc)
    where kind = 'ESCALATION' and state = 'ACCEPTED';

alter table policy
    add column author text not null default '',
    add column reason text not null default '';

create table handoff_event (
    event_id bigint generated always as identity primary key,
    xact bigint not null default pg_current_xact_id()::text::bigint,
    tenant_id text not null,
    contact_id text not null,
    handoff_id text not null,
    state text not null,
    event_time timestamptz not null default porchlight_now()
);
comment on table handoff_event is 'Every state that a handoff came to, in an order in which it can be followed.';
comment on column handoff_event.xact is 'The transaction: a later one may commit first, so readers stop before the oldest that still runs.';
create index handoff_event_tenant on handoff_event (tenant_id, xact, event_id);

create function put_handoff_event() returns trigger
language plpgsql security definer set search_path = porchlight as $$
begin
    insert into handoff_event (tenant_id, contact_id, handoff_id, state)
    values (new.tenant_id, new.contact_id, new.handoff_id, new.state);
    -- Commits that notify queue up for one lock, so what every handoff goes through stays quiet; arbiters tell
    -- their own watchers, and the others find it at their next look.
    if new.kind <> 'HANDOFF' or new.state in ('DECLINED', 'EXPIRED') then
        perform pg_notify('porchlight_handoff', '');
    end if;
    return null;
end $$;
create trigger handoff_inserted after insert on handoff for each row execute function put_handoff_event();
create trigger handoff_moved after update of state on handoff for each row
    when (old.state is distinct from new.state) execute function put_handoff_event();

-- Whoever erases what a person said from a handoff erases what it was decided on as well.
create function erase_handoff_inputs() returns trigger
language plpgsql as $$
begin
    new.inputs := null;
    return new;
end $$;
create trigger handoff_erased before update of summary on handoff for each row
    when (new.summary = '' and old.summary <> '') execute function erase_handoff_inputs();

-- A person of the brokerage wrote from the CRM and takes the contact: preempts any turn, offer or unsent reply.
-- It stands in the history like an escalation that was answered at once.
create or replace function take_over(p_tenant text, p_contact text, p_cause text) returns void
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact := lock_contact(p_tenant, p_contact);
    v_now timestamptz := porchlight_now();
    v_id text := 'h_' || replace(gen_random_uuid()::text, '-', '');
    v_source text := c.owner;
    v_epoch bigint := c.epoch;
    v_ids text[];
begin
    if c.owner = 'human' then
        update handoff set answer_time = v_now
         where tenant_id = p_tenant and contact_id = p_contact and kind = 'ESCALATION' and state = 'ACCEPTED' and answer_time is null;
        return;
    end if;
    select coalesce(array_agg(message_id order by write_time, inbox_id), '{}') into v_ids from inbox
     where tenant_id = p_tenant and contact_id = p_contact and outcome = 'WAITING';
    c := give_to_human(c, p_cause);
    insert into handoff (handoff_id, tenant_id, contact_id, kind, request_id, request_digest, actor, source_bot, target_bot, state,
                         reason, verdicts, confidence, summary, message_ids, policy_version, source_epoch, epoch, decide_time,
                         accept_time, answer_time)
    values (v_id, p_tenant, p_contact, 'ESCALATION', v_id, '', 'human', v_source, 'human', 'ACCEPTED',
            p_cause, '[]', 1, 'A person of the brokerage took the contact.', v_ids, (select max(version) from policy), v_epoch, c.epoch, v_now,
            v_now, v_now);
end $$;

-- Part of the functions above and below: the owner becomes human, and nothing of a bot goes out any more.
create function give_to_human(c contact, p_cause text) returns contact
language plpgsql security definer set search_path = porchlight as $$
begin
    update handoff set state = 'EXPIRED', end_time = porchlight_now(), end_reason = 'HUMAN_TAKEOVER'
     where handoff_id = c.pending_handoff_id and state in ('PENDING', 'OFFERED');
    c := change_owner(c.tenant_id, c.contact_id, 'human', null, p_cause);
    perform suppress_outbox(c.tenant_id, c.contact_id, 'HUMAN_TAKEOVER');
    perform settle_waiting(c.tenant_id, c.contact_id, 'ESCALATED_HUMAN', 'HUMAN_TAKEOVER');
    return c;
end $$;

-- The other way: what nobody answered meanwhile waits again, and is the bot's next turn.
create function give_to_bot(c contact, p_bot text) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    update handoff set state = 'COMPLETED', end_time = porchlight_now()
     where tenant_id = c.tenant_id and contact_id = c.contact_id and kind = 'ESCALATION' and state = 'ACCEPTED';
    perform change_owner(c.tenant_id, c.contact_id, p_bot, null, 'RETURN');
    update inbox set outcome = 'WAITING', cause = null, attempts = 0
     where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'ESCALATED_HUMAN'
       and inbox_id > coalesce((select max(inbox_id) from inbox where tenant_id = c.tenant_id and contact_id = c.contact_id
                                   and kind = 'HUMAN_MESSAGE'), 0);
    perform wake_lane(c.tenant_id, c.contact_id, porchlight_now());
end $$;

-- What is told of a handoff: all but what travels to the target and what it was decided on.
create function handoff_row(h handoff) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(h) - 'capsule' - 'inputs'
        || jsonb_build_object('overdue', h.state = 'ACCEPTED' and h.answer_time is null and h.due_time <= porchlight_now());
$$;

create or replace function handoff_snapshot(p_tenant text, p_contact text, p_request_id text, p_target text, p_override_message_id text)
returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object(
        'now', porchlight_now(),
        'contact', (select jsonb_build_object('owner', owner, 'epoch', epoch, 'version', version, 'turn_no', turn_no,
                       'pending_handoff_id', pending_handoff_id, 'opted_out', opt_out_time is not null, 'dnd', dnd,
                       'turn_open', exists (select from turn t where t.tenant_id = p_tenant and t.contact_id = p_contact
                                             and t.turn_no = c.turn_no and t.epoch = c.epoch and t.state = 'OPEN'))
                      from contact c where tenant_id = p_tenant and contact_id = p_contact),
        'policy', (select jsonb_build_object('version', version, 'body', body) from policy order by version desc limit 1),
        'history', (select coalesce(jsonb_agg(jsonb_build_object('handoff_id', handoff_id, 'source_bot', source_bot,
                       'target_bot', target_bot, 'state', state, 'decide_time', decide_time, 'message_ids', message_ids,
                       'override_message_id', override_message_id) order by decide_time), '[]')
                      from handoff h where tenant_id = p_tenant and contact_id = p_contact and state not in ('DENIED', 'DEFERRED')
                       -- A person stepped in: nobody refused anything.
                       and end_reason is distinct from 'HUMAN_TAKEOVER'
                       -- A minute more than the longest window: the policy cuts exactly, by `now`. What was refused
                       -- stays known for as long as one of its messages waits.
                       and (decide_time > porchlight_now() - interval '24 hours 1 minute'
                            or state in ('DECLINED', 'EXPIRED') and exists (select from inbox i where i.outcome = 'WAITING'
                                and i.tenant_id = p_tenant and i.contact_id = p_contact and i.message_id = any(h.message_ids)))),
        'waiting_message_ids', (select coalesce(jsonb_agg(message_id order by write_time, inbox_id), '[]') from inbox
                      where tenant_id = p_tenant and contact_id = p_contact and outcome = 'WAITING'),
        'override', (select jsonb_build_object('message_id', message_id, 'text', body, 'receive_time', receive_time,
                       'used', exists (select from handoff h where h.tenant_id = p_tenant
                                        and h.override_message_id = p_override_message_id and h.state <> 'DENIED'))
                      from inbox where tenant_id = p_tenant and contact_id = p_contact
                       and message_id = p_override_message_id and kind = 'MESSAGE_IN'),
        'facts', current_facts(p_tenant, p_contact, p_target),
        'earlier', (select handoff_row(h) from handoff h where tenant_id = p_tenant and request_id = p_request_id));
$$;

create or replace function record_handoff(p jsonb, p_capsule bytea) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    h jsonb := p->'handoff';
    v_kind text := h->>'kind';
    v_approved boolean := h->>'state' in ('PENDING', 'ACCEPTED');
    v_turn_no bigint := (p->>'turn_no')::bigint;
    v_time timestamptz := (h->>'decide_time')::timestamptz;
begin
    c := lock_contact(p->>'tenant_id', p->>'contact_id');
    if c.version is distinct from (p->>'expected_version')::bigint
       or (h->>'policy_version')::bigint is distinct from (select max(version) from policy)
       or exists (select from handoff where tenant_id = c.tenant_id and request_id = h->>'request_id') then
        return 'RETRY';
    end if;
    if v_turn_no <> 0 and not exists (
        select from turn where tenant_id = c.tenant_id and contact_id = c.contact_id and turn_no = v_turn_no
           and epoch = c.epoch and c.turn_no = v_turn_no and state = 'OPEN') then
        perform note(c, 'STALE_TURN', jsonb_build_object('bot', h->>'source_bot', 'asked_turn_no', v_turn_no, 'step', 'handoff'));
        return 'STALE';
    end if;
    insert into handoff (handoff_id, tenant_id, contact_id, kind, request_id, request_digest, actor, source_bot, target_bot,
                         state, reason, person, verdicts, inputs, blocking_rule, block_reason, confidence, summary, open_question,
                         message_ids, override_message_id, policy_version, source_epoch, epoch, capsule, decide_time, expire_time,
                         retry_time, accept_time, due_time)
    values (h->>'handoff_id', c.tenant_id, c.contact_id, v_kind, h->>'request_id', h->>'request_digest', h->>'actor',
            h->>'source_bot', h->>'target_bot', h->>'state', h->>'reason', h->>'person', h->'verdicts', p->'inputs',
            h->>'blocking_rule', coalesce(h->>'block_reason', ''), (h->>'confidence')::double precision, h->>'summary',
            coalesce(h->>'open_question', ''),
            array(select jsonb_array_elements_text(h->'message_ids')), h->>'override_message_id',
            (h->>'policy_version')::bigint, c.epoch, c.epoch + case when v_approved then 1 else 0 end, p_capsule, v_time,
            case when h->>'state' = 'PENDING' then v_time + (p->>'offer_seconds')::double precision * interval '1 second' end,
            (h->>'retry_time')::timestamptz, case when h->>'state' = 'ACCEPTED' then v_time end, (h->>'due_time')::timestamptz)
    -- The same request id for another contact at this very moment: their lock is not ours. The next look finds it.
    on conflict (tenant_id, request_id) do nothing;
    if not found then
        return 'RETRY';
    end if;
    if not v_approved then
        return 'RECORDED';
    end if;
    perform put_facts(c, h->>'source_bot', p->'facts');
    if v_turn_no <> 0 then
        update turn set state = 'HANDED_OFF', handoff_id = h->>'handoff_id', record = p->'record', end_time = porchlight_now()
         where tenant_id = c.tenant_id and contact_id = c.contact_id and turn_no = v_turn_no;
    end if;
    case v_kind
        when 'ESCALATION' then
            perform give_to_human(c, 'ESCALATION');
        when 'RETURN' then
            perform give_to_bot(c, h->>'target_bot');
        else
            -- The new owner's attempts are its own.
            update inbox set attempts = 0 where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'WAITING';
            perform change_owner(c.tenant_id, c.contact_id, h->>'target_bot', h->>'handoff_id', 'HANDOFF');
    end case;
    return 'RECORDED';
end $$;

-- arbiter: hands out offers to make, each to one replica at a time.
create or replace function claim_offers(p_limit int, p_lease interval) returns setof jsonb
language plpgsql security definer set search_path = porchlight as $$
begin
    return query
    with due as materialized (
        select handoff_id from handoff
         where state in ('PENDING', 'OFFERED') and expire_time > porchlight_now()
           and (offer_lease_time is null or offer_lease_time <= porchlight_now())
         order by decide_time limit p_limit for update skip locked)
    update handoff h set state = 'OFFERED', offer_attempts = offer_attempts + 1, offer_lease_time = porchlight_now() + p_lease
      from due where h.handoff_id = due.handoff_id
    returning handoff_row(h) || jsonb_build_object('capsule', encode(h.capsule, 'base64'));
end $$;

create or replace function get_handoff(p_handoff_id text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select handoff_row(h) from handoff h where handoff_id = p_handoff_id;
$$;

create or replace function list_handoffs(p_tenant text, p_contact text, p_limit int, p_before_time timestamptz, p_before_id text)
returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select handoff_row(h) from handoff h
     where tenant_id = p_tenant and contact_id = p_contact
       and (p_before_time is null or (decide_time, handoff_id) < (p_before_time, p_before_id))
     order by decide_time desc, handoff_id desc limit p_limit;
$$;

-- arbiter: the contacts that people of the brokerage have now, whichever of them.
create function list_escalations(p_tenant text, p_limit int, p_before_time timestamptz, p_before_id text)
returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select handoff_row(h) from handoff h
     where tenant_id = p_tenant and kind = 'ESCALATION' and state = 'ACCEPTED'
       and (p_before_time is null or (decide_time, handoff_id) < (p_before_time, p_before_id))
     order by decide_time desc, handoff_id desc limit p_limit;
$$;

-- What is told of a policy version.
create function policy_row(p policy) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(p);
$$;

-- arbiter: one decision with everything that it takes to make it again.
create function get_decision(p_handoff_id text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('handoff', handoff_row(h), 'inputs', h.inputs,
               'policy', (select policy_row(p) from policy p where p.version = h.policy_version))
      from handoff h where handoff_id = p_handoff_id;
$$;

-- arbiter: the last decisions between bots, newest first, for a candidate of a policy to be tried on.
create function list_decisions(p_tenant text, p_limit int) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('handoff', handoff_row(h), 'inputs', h.inputs)
      from handoff_event e join handoff h using (handoff_id)
     where e.tenant_id = p_tenant and e.state in ('DENIED', 'DEFERRED', 'PENDING') and h.kind = 'HANDOFF' and h.inputs is not null
     order by e.xact desc, e.event_id desc limit p_limit;
$$;

-- arbiter: a version of the policy; the current one when none is named.
create function get_policy(p_version bigint) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select policy_row(p) from policy p where p_version is null or version = p_version order by version desc limit 1;
$$;

-- arbiter: writes a new version if the current one is still the one that was looked at. Versions are never changed.
create function put_policy(p_expected bigint, p_body jsonb, p_author text, p_reason text) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare v policy;
begin
    lock table policy in share row exclusive mode;
    if p_expected is distinct from (select max(version) from policy) then
        return null;
    end if;
    insert into policy (body, author, reason) values (p_body, p_author, p_reason) returning * into v;
    return policy_row(v);
end $$;

-- arbiter: what changed after a place, in an order that never changes; `head` is where whoever has read it all stands.
-- Without a place only `head` is told.
create function handoff_events(p_tenant text, p_contact text, p_xact bigint, p_event_id bigint, p_limit int) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    with head as (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as xact),
    found as (
        select e.xact, e.event_id, e.state, e.event_time, handoff_row(h) as handoff
          from handoff_event e join handoff h using (handoff_id)
         where e.tenant_id = p_tenant and (p_contact is null or e.contact_id = p_contact)
           and (e.xact, e.event_id) > (p_xact, p_event_id) and e.xact < (select xact from head)
         order by e.xact, e.event_id limit p_limit)
    select jsonb_build_object('head', (select xact from head),
               'events', (select coalesce(jsonb_agg(to_jsonb(f) order by xact, event_id), '[]') from found f));
$$;

revoke execute on all functions in schema porchlight from public;
grant execute on function list_escalations(text, int, timestamptz, text), get_decision(text), list_decisions(text, int),
    get_policy(bigint), put_policy(bigint, jsonb, text, text), handoff_events(text, text, bigint, bigint, int) to porchlight_arbiter;
