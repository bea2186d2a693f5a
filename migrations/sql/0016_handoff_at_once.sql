-- A handoff in fewer steps: whoever records an approval has claimed its offer, and a look by request id is one row.

-- The contact first: with the tenant first this index was taken for the look by request id as well, which then read
-- all handoffs of the tenant until the table had been analysed.
drop index handoff_contact;
create index handoff_contact on handoff (contact_id, tenant_id, decide_time desc, handoff_id desc);

-- An approval whose offer is claimed with it came to both states at once.
create or replace function put_handoff_event() returns trigger
language plpgsql security definer set search_path = porchlight as $$
begin
    insert into handoff_event (tenant_id, contact_id, handoff_id, state)
    select new.tenant_id, new.contact_id, new.handoff_id, state
      from unnest(case when tg_op = 'INSERT' and new.state = 'OFFERED' then '{PENDING,OFFERED}' else array[new.state] end) as state;
    -- Commits that notify queue up for one lock, so what every handoff goes through stays quiet; arbiters tell
    -- their own watchers, and the others find it at their next look.
    if new.kind <> 'HANDOFF' or new.state in ('DECLINED', 'EXPIRED') then
        perform pg_notify('porchlight_handoff', '');
    end if;
    return null;
end $$;

create or replace function record_handoff(p jsonb, p_capsule bytea) returns text
language plpgsql security definer set search_path = porchlight as $$
declare
    c contact;
    h jsonb := p->'handoff';
    v_kind text := h->>'kind';
    v_approved boolean := h->>'state' in ('PENDING', 'ACCEPTED');
    v_turn_no bigint := (p->>'turn_no')::bigint;
    v_time timestamptz := (h->>'decide_time')::timestamptz;
    -- For how long the recording arbiter has claimed the offer; null when it did not.
    v_claim interval := nullif((p->>'claim_seconds')::double precision, 0) * interval '1 second';
begin
    c := lock_contact(p->>'tenant_id', p->>'contact_id');
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
    insert into handoff (handoff_id, tenant_id, contact_id, kind, request_id, request_digest, actor, source_bot, target_bot,
                         state, reason, person, verdicts, inputs, blocking_rule, block_reason, confidence, summary, open_question,
                         message_ids, override_message_id, policy_version, source_epoch, epoch, capsule, decide_time, expire_time,
                         retry_time, accept_time, due_time, offer_lease_time, offer_attempts)
    values (h->>'handoff_id', c.tenant_id, c.contact_id, v_kind, h->>'request_id', h->>'request_digest', h->>'actor',
            h->>'source_bot', h->>'target_bot', case when v_claim is null then h->>'state' else 'OFFERED' end, h->>'reason', h->>'person', h->'verdicts', p->'inputs',
            h->>'blocking_rule', coalesce(h->>'block_reason', ''), (h->>'confidence')::double precision, h->>'summary',
            coalesce(h->>'open_question', ''),
            array(select jsonb_array_elements_text(h->'message_ids')), h->>'override_message_id',
            (h->>'policy_version')::bigint, c.epoch, c.epoch + case when v_approved then 1 else 0 end, p_capsule, v_time,
            case when h->>'state' = 'PENDING' then v_time + (p->>'offer_seconds')::double precision * interval '1 second' end,
            (h->>'retry_time')::timestamptz, case when h->>'state' = 'ACCEPTED' then v_time end, (h->>'due_time')::timestamptz,
            porchlight_now() + v_claim, case when v_claim is null then 0 else 1 end)
    -- The request id was decided on meanwhile, perhaps for another contact, whose lock is not ours. The next look finds it.
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

-- Every second, also when nothing is open: what is over is forgotten by the index as it is read, which a bitmap scan
-- never does.
alter function claim_offers(int, interval) set enable_bitmapscan = off;
alter function expire_offers(int) set enable_bitmapscan = off;
