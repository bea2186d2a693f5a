-- The lane: contacts, what came in, turns, facts, handoffs, what goes out.
-- Everything here changes through the functions below; one call is one round
-- trip and one commit. A function that changes a contact locks its row first,
-- in a statement of its own, so that the next statement sees what the last
-- holder of the lock wrote (READ COMMITTED takes a snapshot per statement).

create table clock_shift (
    only_row boolean primary key default true check (only_row),
    shift interval not null
);
comment on table clock_shift is 'How far tests and the sandbox moved the clock; empty in production.';

create function porchlight_now() returns timestamptz
language sql volatile security definer set search_path = porchlight as $$
    select clock_timestamp() + coalesce((select shift from clock_shift), interval '0');
$$;

create table contact (
    tenant_id text not null,
    contact_id text not null,
    owner text not null,
    epoch bigint not null default 1,
    turn_no bigint not null default 0,
    version bigint not null default 1,
    ready_time timestamptz,
    lease_expire_time timestamptz,
    pending_handoff_id text,
    opt_out_time timestamptz,
    dnd boolean not null default false,
    conversation_id text,
    channel text,
    profile jsonb not null default '{}',
    create_time timestamptz not null default porchlight_now(),
    primary key (tenant_id, contact_id)
);
comment on column contact.epoch is 'Changes with the owner; with turn_no it fences every write of a bot.';
comment on column contact.turn_no is 'Changes with every claim of the lane.';
comment on column contact.version is 'Changes with whatever the handoff policy looks at.';
comment on column contact.ready_time is 'When the lane may be claimed next; null when nothing waits.';
create index contact_ready on contact (ready_time) where ready_time is not null;
create index contact_leased on contact (owner, lease_expire_time) where lease_expire_time is not null;

create table inbox (
    inbox_id bigint generated always as identity primary key,
    message_id text not null generated always as ('m_' || inbox_id) stored unique,
    tenant_id text not null,
    contact_id text,
    source text not null,
    event_id text not null,
    crm_message_id text,
    kind text not null,
    channel text,
    body text not null default '',
    write_time timestamptz not null,
    receive_time timestamptz not null default porchlight_now(),
    outcome text not null,
    cause text,
    attempts int not null default 0,
    unique (tenant_id, source, event_id)
);
comment on column inbox.outcome is 'WAITING until it is one of REPLIED, HANDED_OFF, SUPPRESSED, ESCALATED_HUMAN, DEAD_LETTER, RECORDED.';
create unique index inbox_crm_message on inbox (tenant_id, crm_message_id) where crm_message_id is not null;
create index inbox_waiting on inbox (tenant_id, contact_id, write_time, inbox_id) where outcome = 'WAITING';
create index inbox_suspected on inbox (tenant_id, contact_id) where outcome = 'WAITING' and attempts > 1;
create index inbox_contact on inbox (tenant_id, contact_id, receive_time desc);

create table turn (
    tenant_id text not null,
    contact_id text not null,
    turn_no bigint not null,
    epoch bigint not null,
    bot text not null,
    message_ids text[] not null,
    state text not null default 'OPEN',
    handoff_id text,
    record jsonb not null default '{}',
    claim_time timestamptz not null default porchlight_now(),
    end_time timestamptz,
    primary key (tenant_id, contact_id, turn_no)
);
comment on column turn.state is 'OPEN, then one of REPLIED, SILENT, HANDED_OFF, RELEASED, EXPIRED.';
create index turn_open on turn (tenant_id, contact_id) where state = 'OPEN';

create table fact (
    fact_id bigint generated always as identity primary key,
    tenant_id text not null,
    contact_id text not null,
    name text not null,
    value jsonb not null,
    words text not null default '',
    message_id text not null default '',
    extractor text not null,
    confidence double precision not null,
    bot text not null,
    private_to text,
    learn_time timestamptz not null default porchlight_now(),
    supersede_time timestamptz
);
comment on column fact.private_to is 'The only bot that may see it; null when every bot may.';
create unique index fact_current on fact (tenant_id, contact_id, name) where supersede_time is null;

create table handoff (
    handoff_id text primary key,
    tenant_id text not null,
    contact_id text not null,
    request_id text not null,
    request_digest text not null,
    actor text not null,
    source_bot text not null,
    target_bot text not null,
    state text not null,
    verdicts jsonb not null,
    blocking_rule text,
    block_reason text not null default '',
    confidence double precision not null,
    summary text not null,
    open_question text not null default '',
    message_ids text[] not null default '{}',
    override_message_id text,
    policy_version bigint not null,
    source_epoch bigint not null,
    epoch bigint not null,
    capsule bytea,
    decide_time timestamptz not null,
    expire_time timestamptz,
    offer_lease_time timestamptz,
    offer_attempts int not null default 0,
    accept_time timestamptz,
    end_time timestamptz,
    end_reason text,
    unique (tenant_id, request_id)
);
create index handoff_contact on handoff (tenant_id, contact_id, decide_time desc, handoff_id desc);
create index handoff_open on handoff (expire_time) where state in ('PENDING', 'OFFERED');
-- Belt to the braces: whatever a function gets wrong, one handoff at a time is under way.
create unique index handoff_one_open on handoff (tenant_id, contact_id) where state in ('PENDING', 'OFFERED');
create unique index handoff_override_once on handoff (tenant_id, override_message_id)
    where override_message_id is not null and state <> 'DENIED';

create table policy (
    version bigint generated always as identity primary key,
    body jsonb not null,
    create_time timestamptz not null default porchlight_now()
);

create table outbox (
    outbox_id bigint generated always as identity primary key,
    tenant_id text not null,
    contact_id text not null,
    epoch bigint not null,
    turn_no bigint not null,
    kind text not null,
    channel text not null,
    body text not null,
    state text not null default 'PENDING',
    cause text,
    attempts int not null default 0,
    needs_read_back boolean not null default false,
    claim_token uuid,
    next_attempt_time timestamptz not null default porchlight_now(),
    first_attempt_time timestamptz,
    crm_message_id text,
    create_time timestamptz not null default porchlight_now(),
    send_time timestamptz
);
comment on column outbox.kind is 'REPLY, OPT_OUT_CONFIRMATION, OPT_IN_CONFIRMATION or HELP.';
comment on column outbox.state is 'PENDING, CLAIMED, then one of SENT, SUPPRESSED, DRY_RUN, AMBIGUOUS, DEAD.';
create index outbox_open on outbox (next_attempt_time) where state in ('PENDING', 'CLAIMED');
create index outbox_contact on outbox (tenant_id, contact_id, outbox_id);
create unique index outbox_crm_message on outbox (tenant_id, crm_message_id) where crm_message_id is not null;

create table audit (
    audit_id bigint generated always as identity primary key,
    tenant_id text not null,
    contact_id text not null,
    kind text not null,
    epoch bigint not null,
    turn_no bigint not null,
    detail jsonb not null default '{}',
    event_time timestamptz not null default porchlight_now()
);
comment on column audit.kind is 'OWNER_CHANGED, STALE_TURN, STALE_TICKET.';
create index audit_contact on audit (tenant_id, contact_id, audit_id);

-- Parts shared by the functions below; granted to nobody.

create function note(c contact, p_kind text, p_detail jsonb) returns void
language sql security definer set search_path = porchlight as $$
    insert into audit (tenant_id, contact_id, kind, epoch, turn_no, detail)
    values (c.tenant_id, c.contact_id, p_kind, c.epoch, c.turn_no, p_detail);
$$;

create function lock_contact(p_tenant text, p_contact text) returns contact
language sql security definer set search_path = porchlight as $$
    select * from contact where tenant_id = p_tenant and contact_id = p_contact for update;
$$;

-- Wakes the dispatcher for whatever waits, unless a turn or a handoff is under way.
create function wake_lane(p_tenant text, p_contact text, p_at timestamptz) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    update contact c set ready_time = p_at
     where tenant_id = p_tenant and contact_id = p_contact
       and exists (select from inbox i where i.tenant_id = p_tenant and i.contact_id = p_contact and i.outcome = 'WAITING');
    if found then
        perform pg_notify('porchlight_lane', '');
    end if;
end $$;

-- A lane without a ready time that is not in a handoff was waiting for a text to go out.
-- One that has a ready time keeps it: a burst is being gathered, or a turn is in progress.
create function wake_blocked_lane(c contact) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    if c.ready_time is null and c.pending_handoff_id is null then
        perform wake_lane(c.tenant_id, c.contact_id, porchlight_now());
    end if;
end $$;

create function change_owner(p_tenant text, p_contact text, p_owner text, p_pending text, p_cause text) returns contact
language plpgsql security definer set search_path = porchlight as $$
declare c contact;
begin
    update contact set owner = p_owner, epoch = epoch + 1, version = version + 1, lease_expire_time = null,
           ready_time = null, pending_handoff_id = p_pending
     where tenant_id = p_tenant and contact_id = p_contact returning * into c;
    perform note(c, 'OWNER_CHANGED', jsonb_build_object('owner', p_owner, 'cause', p_cause, 'handoff_id', p_pending));
    update turn set state = 'EXPIRED', end_time = porchlight_now()
     where tenant_id = p_tenant and contact_id = p_contact and state = 'OPEN';
    return c;
end $$;

create function settle_waiting(p_tenant text, p_contact text, p_outcome text, p_cause text) returns void
language sql security definer set search_path = porchlight as $$
    update inbox set outcome = p_outcome, cause = p_cause
     where tenant_id = p_tenant and contact_id = p_contact and outcome = 'WAITING';
    update contact set ready_time = null where tenant_id = p_tenant and contact_id = p_contact and lease_expire_time is null;
$$;

create function suppress_outbox(p_tenant text, p_contact text, p_cause text) returns void
language sql security definer set search_path = porchlight as $$
    update outbox set state = 'SUPPRESSED', cause = p_cause
     where tenant_id = p_tenant and contact_id = p_contact and kind = 'REPLY' and state = 'PENDING'
       -- One that may be out already stays open until it has been looked up.
       and not needs_read_back;
$$;

create function put_outbox(c contact, p_kind text, p_body text) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    insert into outbox (tenant_id, contact_id, epoch, turn_no, kind, channel, body)
    values (c.tenant_id, c.contact_id, c.epoch, c.turn_no, p_kind, coalesce(c.channel, 'SMS'), p_body);
    perform pg_notify('porchlight_outbox', '');
end $$;

create function put_facts(c contact, p_bot text, p_facts jsonb) returns void
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
end $$;

create function current_facts(p_tenant text, p_contact text, p_bot text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select coalesce(jsonb_agg(jsonb_build_object('name', name, 'value', value, 'words', words, 'message_id', message_id,
               'extractor', extractor, 'confidence', confidence, 'bot', bot, 'private_to', private_to,
               'learn_time', learn_time) order by fact_id), '[]')
      from fact
     where tenant_id = p_tenant and contact_id = p_contact and supersede_time is null
       and (p_bot is null or private_to is null or private_to = p_bot);
$$;

-- The login role porchlight_<bot>_login may act for that bot alone.
create function check_bot(p_bot text) returns void
language plpgsql security definer set search_path = porchlight as $$
begin
    if session_user <> current_user and session_user <> 'porchlight_' || p_bot || '_login'
       and pg_has_role(session_user, 'porchlight_bot', 'member')
       and not (select rolsuper from pg_roles where rolname = session_user) then
        raise exception 'role % may not act for bot %', session_user, p_bot using errcode = 'insufficient_privilege';
    end if;
end $$;

-- gateway: stores one event, once, and applies what must not wait for a bot.

create function accept_inbound(p jsonb) returns jsonb
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
            update contact set opt_out_time = v_now, version = version + 1
             where tenant_id = c.tenant_id and contact_id = c.contact_id;
            perform put_outbox(c, 'OPT_OUT_CONFIRMATION', p->>'keyword_reply');
        end if;
        v_outcome := 'SUPPRESSED'; v_cause := 'OPT_OUT';
    elsif v_kind = 'MESSAGE_IN' and v_keyword = 'START' and c.opt_out_time is not null then
        update contact set opt_out_time = null, version = version + 1
         where tenant_id = c.tenant_id and contact_id = c.contact_id;
        perform put_outbox(c, 'OPT_IN_CONFIRMATION', p->>'keyword_reply');
        v_outcome := 'REPLIED'; v_cause := 'OPT_IN';
    elsif v_kind = 'MESSAGE_IN' and v_keyword = 'HELP' then
        perform put_outbox(c, 'HELP', p->>'keyword_reply');
        v_outcome := 'REPLIED'; v_cause := 'HELP';
    elsif v_kind = 'MESSAGE_IN' and c.opt_out_time is not null then
        v_outcome := 'SUPPRESSED'; v_cause := 'OPTED_OUT';
    elsif v_kind = 'MESSAGE_IN' and c.dnd then
        v_outcome := 'SUPPRESSED'; v_cause := 'DO_NOT_DISTURB';
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

-- A person of the brokerage takes the contact: preempts any turn, offer or unsent reply.
create function take_over(p_tenant text, p_contact text, p_cause text) returns void
language plpgsql security definer set search_path = porchlight as $$
declare c contact := lock_contact(p_tenant, p_contact);
begin
    if c.owner = 'human' then
        return;
    end if;
    update handoff set state = 'EXPIRED', end_time = porchlight_now(), end_reason = 'HUMAN_TAKEOVER'
     where handoff_id = c.pending_handoff_id;
    perform change_owner(p_tenant, p_contact, 'human', null, p_cause);
    perform suppress_outbox(p_tenant, p_contact, 'HUMAN_TAKEOVER');
    perform settle_waiting(p_tenant, p_contact, 'ESCALATED_HUMAN', 'HUMAN_TAKEOVER');
end $$;

-- gateway: claims lanes that are ready; a burst becomes one turn.

create function claim_turn(p_limit int, p_lease interval, p_messages_most int, p_attempts_most int)
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
                      and o.state in ('PENDING', 'CLAIMED')) then
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

-- gateway: gives a turn back that no bot finished; `p_cause` is remembered for the dead letter. A bot that refuses
-- the request itself never opened the turn: then the attempt is counted here, or it would be made for ever.
create function release_turn(p_tenant text, p_contact text, p_epoch bigint, p_turn_no bigint, p_cause text, p_wait interval,
                             p_refused boolean)
returns boolean
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact := lock_contact(p_tenant, p_contact);
    v_ids text[];
begin
    update turn set state = 'RELEASED', end_time = porchlight_now(), record = jsonb_build_object('cause', p_cause)
     where tenant_id = p_tenant and contact_id = p_contact and turn_no = p_turn_no and epoch = p_epoch and state = 'OPEN'
       and c.turn_no = p_turn_no and c.epoch = p_epoch returning message_ids into v_ids;
    if not found then
        return false;
    end if;
    update inbox set cause = p_cause, attempts = attempts + p_refused::int
     where message_id = any(v_ids) and outcome = 'WAITING';
    update contact set lease_expire_time = null, ready_time = null where tenant_id = p_tenant and contact_id = p_contact;
    perform wake_lane(p_tenant, p_contact, porchlight_now() + p_wait);
    return true;
end $$;

-- bot: begins the work on a turn. Counts the attempt before anything can break.

create function open_turn(p_bot text, p_tenant text, p_contact text, p_epoch bigint, p_turn_no bigint) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    t turn;
begin
    perform check_bot(p_bot);
    c := lock_contact(p_tenant, p_contact);
    if c.contact_id is null then
        return jsonb_build_object('status', 'UNKNOWN_CONTACT');
    end if;
    select * into t from turn where tenant_id = p_tenant and contact_id = p_contact and turn_no = p_turn_no;
    if t.bot = p_bot and t.epoch = p_epoch and t.state in ('REPLIED', 'SILENT', 'HANDED_OFF') then
        return jsonb_build_object('status', 'FINISHED', 'state', t.state, 'handoff_id', t.handoff_id);
    end if;
    if c.owner <> p_bot then
        perform note(c, 'STALE_TURN', jsonb_build_object('bot', p_bot, 'asked_epoch', p_epoch, 'asked_turn_no', p_turn_no, 'step', 'open'));
        return jsonb_build_object('status', 'NOT_THE_OWNER', 'owner', c.owner);
    end if;
    if t.state is distinct from 'OPEN' or c.epoch <> p_epoch or c.turn_no <> p_turn_no then
        perform note(c, 'STALE_TURN', jsonb_build_object('bot', p_bot, 'asked_epoch', p_epoch, 'asked_turn_no', p_turn_no, 'step', 'open'));
        return jsonb_build_object('status', 'STALE');
    end if;
    update inbox set attempts = attempts + 1 where message_id = any(t.message_ids) and outcome = 'WAITING';
    return jsonb_build_object('status', 'OPEN',
        'facts', current_facts(p_tenant, p_contact, p_bot),
        'profile', c.profile,
        'messages', (select jsonb_agg(jsonb_build_object('message_id', message_id, 'text', body, 'channel', channel,
                        'write_time', write_time) order by write_time, inbox_id)
                       from inbox where message_id = any(t.message_ids) and outcome = 'WAITING'),
        'handoff', (select jsonb_build_object('handoff_id', h.handoff_id, 'source_bot', h.source_bot, 'summary', h.summary,
                        'open_question', h.open_question, 'state', h.state)
                      from handoff h where h.tenant_id = p_tenant and h.contact_id = p_contact and h.target_bot = p_bot
                       and h.state in ('ACCEPTED', 'COMPLETED') order by h.decide_time desc limit 1),
        'last_turn', (select l.record from turn l where l.tenant_id = p_tenant and l.contact_id = p_contact and l.bot = p_bot
                       and l.state in ('REPLIED', 'SILENT') order by l.turn_no desc limit 1),
        'turns_before', (select count(*) from turn l where l.tenant_id = p_tenant and l.contact_id = p_contact
                       and l.state in ('REPLIED', 'SILENT')),
        'denied_targets', (select coalesce(jsonb_agg(distinct h.target_bot), '[]') from handoff h
                       where h.tenant_id = p_tenant and h.contact_id = p_contact and h.source_bot = p_bot
                       and h.message_ids && t.message_ids and h.state in ('DENIED', 'DECLINED', 'EXPIRED')));
end $$;

-- bot: ends a turn. Facts, reply, record and the messages' outcome are one commit.

create function complete_turn(p_bot text, p_tenant text, p_contact text, p_epoch bigint, p_turn_no bigint,
                              p_state text, p_reply text, p_facts jsonb, p_record jsonb) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    t turn;
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

-- arbiter: everything the policy looks at, read at one moment.

create function handoff_snapshot(p_tenant text, p_contact text, p_request_id text, p_target text, p_override_message_id text)
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
                      from handoff h where tenant_id = p_tenant and contact_id = p_contact and state <> 'DENIED'
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
        'earlier', (select to_jsonb(h) - 'capsule' from handoff h where tenant_id = p_tenant and request_id = p_request_id));
$$;

-- arbiter: writes a decision if the world is still the one that was decided on.

create function record_handoff(p jsonb, p_capsule bytea) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    h jsonb := p->'handoff';
    v_approved boolean := h->>'state' = 'PENDING';
    v_turn_no bigint := (p->>'turn_no')::bigint;
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
    insert into handoff (handoff_id, tenant_id, contact_id, request_id, request_digest, actor, source_bot, target_bot,
                         state, verdicts, blocking_rule, block_reason, confidence, summary, open_question, message_ids,
                         override_message_id, policy_version, source_epoch, epoch, capsule, decide_time, expire_time)
    values (h->>'handoff_id', c.tenant_id, c.contact_id, h->>'request_id', h->>'request_digest', h->>'actor',
            h->>'source_bot', h->>'target_bot', h->>'state', h->'verdicts', h->>'blocking_rule',
            coalesce(h->>'block_reason', ''), (h->>'confidence')::double precision, h->>'summary',
            coalesce(h->>'open_question', ''),
            array(select jsonb_array_elements_text(h->'message_ids')), h->>'override_message_id',
            (h->>'policy_version')::bigint, c.epoch, c.epoch + case when v_approved then 1 else 0 end, p_capsule,
            (h->>'decide_time')::timestamptz,
            case when v_approved then (h->>'decide_time')::timestamptz + (p->>'offer_seconds')::double precision * interval '1 second' end)
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
    -- The new owner's attempts are its own.
    update inbox set attempts = 0 where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'WAITING';
    perform change_owner(c.tenant_id, c.contact_id, h->>'target_bot', h->>'handoff_id', 'HANDOFF');
    return 'RECORDED';
end $$;

-- arbiter: hands out offers to make, each to one replica at a time.
create function claim_offers(p_limit int, p_lease interval) returns setof jsonb
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
    returning to_jsonb(h) || jsonb_build_object('capsule', encode(h.capsule, 'base64'));
end $$;

-- arbiter: when an offer may be made again: soon after a call that failed, never after DEFER.
create function postpone_offer(p_handoff_id text, p_wait interval) returns void
language sql security definer set search_path = porchlight as $$
    update handoff set offer_lease_time = porchlight_now() + p_wait
     where handoff_id = p_handoff_id and state = 'OFFERED';
$$;

-- arbiter: gives back what nobody took in time; returns which.
create function expire_offers(p_limit int) returns text[]
language plpgsql security definer set search_path = porchlight as $$
declare
    v_id text;
    v_ids text[] := '{}';
begin
    -- Several contacts in one transaction: those that are busy are left to the next round, so nobody waits in a circle.
    for v_id in
        select h.handoff_id from handoff h join contact c using (tenant_id, contact_id)
         where h.state in ('PENDING', 'OFFERED') and h.expire_time <= porchlight_now()
         order by h.expire_time limit p_limit for update of c skip locked
    loop
        if compensate(v_id, 'EXPIRED', 'no answer in time') = 'DONE' then
            v_ids := v_ids || v_id;
        end if;
    end loop;
    return v_ids;
end $$;

-- arbiter: a ticket works once, for one epoch, before the offer ends. Returns DONE or the state that forbids it.
create function redeem_ticket(p_handoff_id text, p_epoch bigint) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    h handoff;
    c contact;
begin
    select * into h from handoff where handoff_id = p_handoff_id;
    c := lock_contact(h.tenant_id, h.contact_id);
    update handoff set state = 'ACCEPTED', accept_time = porchlight_now()
     where handoff_id = p_handoff_id and state in ('PENDING', 'OFFERED') and expire_time > porchlight_now()
       and c.pending_handoff_id = p_handoff_id and c.epoch = p_epoch and epoch = p_epoch;
    if not found then
        if c.contact_id is not null then
            perform note(c, 'STALE_TICKET', jsonb_build_object('handoff_id', p_handoff_id, 'asked_epoch', p_epoch));
        end if;
        return coalesce((select state from handoff where handoff_id = p_handoff_id), 'UNKNOWN');
    end if;
    update contact set pending_handoff_id = null, version = version + 1
     where tenant_id = h.tenant_id and contact_id = h.contact_id;
    perform wake_lane(h.tenant_id, h.contact_id, porchlight_now());
    return 'DONE';
end $$;

-- arbiter: the target refused or never answered; the source has the contact again.
create function compensate(p_handoff_id text, p_state text, p_reason text) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    h handoff;
    c contact;
begin
    select * into h from handoff where handoff_id = p_handoff_id;
    c := lock_contact(h.tenant_id, h.contact_id);
    update handoff set state = p_state, end_time = porchlight_now(), end_reason = p_reason
     where handoff_id = p_handoff_id and state in ('PENDING', 'OFFERED') and c.pending_handoff_id = p_handoff_id;
    if not found then
        return coalesce((select state from handoff where handoff_id = p_handoff_id), 'UNKNOWN');
    end if;
    perform change_owner(h.tenant_id, h.contact_id, h.source_bot, null, p_state);
    perform wake_lane(h.tenant_id, h.contact_id, porchlight_now());
    return 'DONE';
end $$;

create function get_handoff(p_handoff_id text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(h) - 'capsule' from handoff h where handoff_id = p_handoff_id;
$$;

create function list_handoffs(p_tenant text, p_contact text, p_limit int, p_before_time timestamptz, p_before_id text)
returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(h) - 'capsule' from handoff h
     where tenant_id = p_tenant and contact_id = p_contact
       and (p_before_time is null or (decide_time, handoff_id) < (p_before_time, p_before_id))
     order by decide_time desc, handoff_id desc limit p_limit;
$$;

create function get_owner(p_tenant text, p_contact text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('owner', owner, 'epoch', epoch, 'turn_no', turn_no, 'pending_handoff_id', pending_handoff_id)
      from contact where tenant_id = p_tenant and contact_id = p_contact;
$$;

-- delivery: the first open text of each contact, checked again at this very moment.

create function claim_outbox(p_limit int, p_lease interval) returns setof jsonb
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
                              and e.outbox_id < x.outbox_id and e.state in ('PENDING', 'CLAIMED'))
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
            'first_attempt_time', o.first_attempt_time, 'create_time', o.create_time, 'claim_time', v_now, 'suppress_cause', v_cause,
            'known_crm_message_ids', (select coalesce(jsonb_agg(s.crm_message_id), '[]') from outbox s
                where s.tenant_id = o.tenant_id and s.contact_id = o.contact_id and s.crm_message_id is not null));
    end loop;
end $$;

-- delivery: says what became of a claimed text. SENT, SUPPRESSED, DRY_RUN, AMBIGUOUS and DEAD are final;
-- RETRY tries again after `p_wait`, after a look-up if the CRM may have taken it.
create function finish_outbox(p_outbox_id bigint, p_claim_token uuid, p_result text, p_cause text, p_crm_message_id text,
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
    if p_result <> 'RETRY' then
        perform wake_blocked_lane(c);
        perform pg_notify('porchlight_outbox', '');
    end if;
    return true;
end $$;

-- gateway: what a person or an operator looks at.

create function contact_timeline(p_tenant text, p_contact text, p_limit int, p_before timestamptz) returns jsonb
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
               'opted_out', opt_out_time is not null, 'facts', current_facts(p_tenant, p_contact, null),
               'events', (select coalesce(jsonb_agg(jsonb_build_object('event_time', event_time, 'kind', kind, 'body', body)
                            order by event_time desc, kind), '[]') from page))
      from contact where tenant_id = p_tenant and contact_id = p_contact;
$$;

create function list_lanes(p_limit int, p_after_time timestamptz, p_after_contact text) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('tenant_id', c.tenant_id, 'contact_id', c.contact_id, 'owner', c.owner,
               'pending_handoff_id', c.pending_handoff_id, 'lease_expire_time', c.lease_expire_time,
               'waiting_messages', coalesce(i.waiting, 0), 'waiting_deliveries', coalesce(o.waiting, 0),
               'attempts', coalesce(i.attempts, 0), 'wait_time', least(i.since, o.since))
      from contact c
      left join (select tenant_id, contact_id, count(*) waiting, (array_agg(attempts order by inbox_id))[1] attempts, min(receive_time) since
                   from inbox where outcome = 'WAITING' group by 1, 2) i using (tenant_id, contact_id)
      left join (select tenant_id, contact_id, count(*) waiting, min(create_time) since
                   from outbox where state in ('PENDING', 'CLAIMED') group by 1, 2) o using (tenant_id, contact_id)
     where (i.waiting > 0 or o.waiting > 0)
       and (p_after_time is null or (least(i.since, o.since), c.contact_id) > (p_after_time, p_after_contact))
     order by least(i.since, o.since), c.contact_id limit p_limit;
$$;

-- Who may do what. Login roles join these groups; nobody gets a table.

revoke execute on all functions in schema porchlight from public;
grant execute on function porchlight_now() to porchlight_gateway, porchlight_bot, porchlight_arbiter, porchlight_cache;
grant execute on function accept_inbound(jsonb), claim_turn(int, interval, int, int),
    release_turn(text, text, bigint, bigint, text, interval, boolean), claim_outbox(int, interval),
    finish_outbox(bigint, uuid, text, text, text, interval, boolean),
    contact_timeline(text, text, int, timestamptz), list_lanes(int, timestamptz, text) to porchlight_gateway;
grant execute on function open_turn(text, text, text, bigint, bigint),
    complete_turn(text, text, text, bigint, bigint, text, text, jsonb, jsonb) to porchlight_bot;
grant execute on function handoff_snapshot(text, text, text, text, text), record_handoff(jsonb, bytea),
    claim_offers(int, interval), postpone_offer(text, interval), expire_offers(int), redeem_ticket(text, bigint), compensate(text, text, text),
    get_handoff(text), list_handoffs(text, text, int, timestamptz, text), get_owner(text, text) to porchlight_arbiter;

insert into policy (body) values ('{
    "routes": {"lead>buyer": 0.7, "lead>seller": 0.7, "buyer>seller": 0.8, "seller>buyer": 0.6, "buyer>lead": 0.7, "seller>lead": 0.7},
    "cycle_window_minutes": 30,
    "hourly_limit": 3,
    "daily_limit": 10,
    "intent_bots": {"buy": "buyer", "sell": "seller", "both": "seller"},
    "private_facts": {"motivation": "seller", "price_expectation_usd": "seller"}
}');
