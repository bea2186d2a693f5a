-- Records end by age: how old they may become is the brokerage's to say (PORCHLIGHT_KEEP_DAYS). A contact that nothing
-- happened to for as long is erased as an operator would erase it, and of any other contact the old rows go. Nothing
-- goes that a decision, a bot, a delivery or a person of the brokerage goes on from: see docs/retention.md.

-- What is known of one contact was looked for in the whole table.
create index fact_contact on fact (contact_id, tenant_id, fact_id);
-- One of the two indexes serves an erasure from now on, so that writing an event costs what it did: the place that
-- readers go on from names an event as well as its number.
alter table handoff_event drop constraint handoff_event_pkey, add primary key (tenant_id, xact, event_id);
drop index handoff_event_tenant;
create index handoff_event_contact on handoff_event (contact_id, tenant_id);
create index inbox_of_nobody on inbox (receive_time) where contact_id is null;
create index erasure_closed on erasure (erase_time) where contact_id is null;

-- internal: what was before this is too old. The least is far above whatever is looked at again: a day of handoffs, a
-- week of request ids and of the CRM's repetitions.
create function keep_since(p_days int) returns timestamptz
language plpgsql stable set search_path = porchlight as $$
begin
    if p_days is null or p_days < 90 then
        raise exception 'records are kept for 90 days at least, not for %', p_days using errcode = 'invalid_parameter_value';
    end if;
    return porchlight_now() - make_interval(days => p_days);
end $$;

-- internal: when something last happened to a contact.
create function active_time(c contact) returns timestamptz
language sql stable set search_path = porchlight as $$
    select greatest(c.create_time,
        (select max(receive_time) from inbox where tenant_id = c.tenant_id and contact_id = c.contact_id),
        (select max(claim_time) from turn where tenant_id = c.tenant_id and contact_id = c.contact_id),
        (select max(create_time) from outbox where tenant_id = c.tenant_id and contact_id = c.contact_id),
        (select max(decide_time) from handoff where tenant_id = c.tenant_id and contact_id = c.contact_id),
        (select max(event_time) from audit where tenant_id = c.tenant_id and contact_id = c.contact_id));
$$;

-- internal: whether nothing happened to a contact since then. One whom a person of the brokerage has, or whom an
-- operator keeps the bots from, stays: anew, a bot would write to them.
create function is_forgotten(c contact, p_since timestamptz) returns boolean
language sql stable set search_path = porchlight as $$
    select c.owner <> 'human' and c.operator_pause_time is null and active_time(c) < p_since;
$$;

-- internal: whether something of a contact is under way.
create function is_busy(c contact) returns boolean
language sql stable set search_path = porchlight as $$
    select c.pending_handoff_id is not null
        or exists (select from inbox where tenant_id = c.tenant_id and contact_id = c.contact_id and outcome = 'WAITING')
        or exists (select from turn where tenant_id = c.tenant_id and contact_id = c.contact_id and state = 'OPEN')
        or exists (select from outbox where tenant_id = c.tenant_id and contact_id = c.contact_id and state in ('PENDING', 'CLAIMED'));
$$;

-- internal: the rows of a contact that are too old and that nothing goes on from.
create function old_rows(c contact, p_since timestamptz) returns table (table_name text, place tid, row_time timestamptz)
language sql stable set search_path = porchlight as $$
    with over as (
        select h.ctid as place, h.handoff_id, h.decide_time from handoff h
         where h.tenant_id = c.tenant_id and h.contact_id = c.contact_id and h.decide_time < p_since
           -- What a bot, or a person, has the contact from, and a bot's last turn below: they go on from these (open_turn,
           -- list_escalations). One that is under way keeps all of its contact: see is_busy.
           and h.handoff_id not in (
                select distinct on (l.target_bot) l.handoff_id from handoff l
                 where l.tenant_id = c.tenant_id and l.contact_id = c.contact_id and l.state in ('ACCEPTED', 'COMPLETED')
                 order by l.target_bot, l.decide_time desc)
    )
    select 'inbox', ctid, receive_time from inbox
     where tenant_id = c.tenant_id and contact_id = c.contact_id and receive_time < p_since
    union all
    select 'turn', t.ctid, t.claim_time from turn t
     where t.tenant_id = c.tenant_id and t.contact_id = c.contact_id and t.claim_time < p_since
       and t.turn_no not in (
            select max(l.turn_no) from turn l
             where l.tenant_id = c.tenant_id and l.contact_id = c.contact_id and l.state in ('REPLIED', 'SILENT')
             group by l.bot)
    union all
    select 'fact', ctid, supersede_time from fact
     where tenant_id = c.tenant_id and contact_id = c.contact_id and supersede_time < p_since
    union all
    select 'outbox', ctid, create_time from outbox
     where tenant_id = c.tenant_id and contact_id = c.contact_id and create_time < p_since
    union all
    select 'audit', ctid, event_time from audit
     where tenant_id = c.tenant_id and contact_id = c.contact_id and event_time < p_since
    union all
    select 'handoff', place, decide_time from over
    union all
    select 'handoff_event', e.ctid, over.decide_time from over join handoff_event e using (handoff_id)
     where e.tenant_id = c.tenant_id and e.contact_id = c.contact_id;
$$;

-- gateway: which of the next `p_limit` contacts after a place have records that may end, and the place to go on from;
-- null at the end.
create function old_contacts(p_days int, p_after_tenant text, p_after_contact text, p_limit int) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    with page as materialized (
        select k as c from contact k where (k.tenant_id, k.contact_id) > (p_after_tenant, p_after_contact)
         order by k.tenant_id, k.contact_id limit p_limit
    ), since as materialized (select keep_since(p_days) as at)
    select jsonb_build_object(
        'contacts', (select coalesce(jsonb_agg(jsonb_build_array((c).tenant_id, (c).contact_id)), '[]') from page, since
                      where (c).create_time < at and (is_forgotten(c, at) or exists (select from old_rows(c, at)))),
        'last', (select jsonb_build_array((c).tenant_id, (c).contact_id) from page
                  order by (c).tenant_id desc, (c).contact_id desc limit 1))
      from since;
$$;

-- gateway: ends records of a contact, `p_limit` rows at most, the oldest first; and erases it when nothing happened to
-- it for as long. Does nothing while something of it is under way or somebody else holds it. Safe to repeat.
create function end_records(p_days int, p_tenant text, p_contact text, p_contact_hash text, p_limit int) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    v_since timestamptz := keep_since(p_days);
    c contact;
    r record;
    v_rows jsonb := '{}';
    v_count bigint := 0;
    v_erased boolean := false;
begin
    select * into c from contact where tenant_id = p_tenant and contact_id = p_contact for update skip locked;
    if not found or is_busy(c) then
        return jsonb_build_object('rows', v_rows, 'erased', v_erased, 'more', false);
    end if;
    for r in
        -- The events of a handoff before the handoff, where the limit cuts between them.
        select table_name, array_agg(place) as places
          from (select * from old_rows(c, v_since) order by row_time, table_name desc limit p_limit) o group by table_name
    loop
        execute format('delete from %I where ctid = any ($1)', r.table_name) using r.places;
        v_rows := v_rows || jsonb_build_object(r.table_name, cardinality(r.places));
        v_count := v_count + cardinality(r.places);
    end loop;
    if v_rows ? 'inbox' then
        -- What is still known keeps the person's words, and names no message that is gone.
        update fact f set message_id = ''
         where tenant_id = p_tenant and contact_id = p_contact and message_id <> ''
           and not exists (select from inbox i where i.message_id = f.message_id);
    end if;
    if v_count < p_limit and is_forgotten(c, v_since) then
        perform erase_contact(p_tenant, p_contact, p_contact_hash, 'retention');
        v_erased := true;
    end if;
    return jsonb_build_object('rows', v_rows, 'erased', v_erased, 'more', v_count = p_limit);
end $$;

-- gateway: ends records that belong to no contact, `p_limit` rows a table at most: events of a whole company, receipts
-- of erasures, sums of money by the day; and the ids of erased people's events, which only repetitions are known by.
create function end_other_records(p_days int, p_limit int) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    v_since timestamptz := keep_since(p_days);
    v_inbox bigint;
    v_erasure bigint;
    v_spend bigint;
    v_erased_event bigint;
begin
    -- Locked rows are another replica's, and nobody waits in a circle.
    delete from inbox where ctid in (select ctid from inbox
        where contact_id is null and receive_time < v_since limit p_limit for update skip locked);
    get diagnostics v_inbox = row_count;
    delete from erasure where ctid in (select ctid from erasure
        where contact_id is null and erase_time < v_since limit p_limit for update skip locked);
    get diagnostics v_erasure = row_count;
    delete from spend where ctid in (select ctid from spend
        where day < v_since::date limit p_limit for update skip locked);
    get diagnostics v_spend = row_count;
    delete from erased_event where ctid in (select ctid from erased_event
        where erase_time < porchlight_now() - interval '7 days' limit p_limit for update skip locked);
    get diagnostics v_erased_event = row_count;
    return jsonb_build_object('inbox', v_inbox, 'erasure', v_erasure, 'spend', v_spend, 'erased_event', v_erased_event);
end $$;

revoke execute on function keep_since(int), active_time(contact), is_forgotten(contact, timestamptz), is_busy(contact),
    old_rows(contact, timestamptz), old_contacts(int, text, text, int), end_records(int, text, text, text, int),
    end_other_records(int, int) from public;
grant execute on function old_contacts(int, text, text, int), end_records(int, text, text, text, int),
    end_other_records(int, int) to porchlight_gateway;
