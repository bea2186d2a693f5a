-- What erasures, pauses and deliveries left open.

-- A turn that was under way when its contact was erased finds nothing of its own in a contact that begins anew under
-- the same id. One is never claimed twice within a microsecond, so no turn of an earlier one has so high a number.
create function begin_above_erased() returns trigger
language plpgsql security definer set search_path = porchlight as $$
begin
    if exists (select from erasure e where e.contact_id = new.contact_id and e.tenant_id = new.tenant_id) then
        new.turn_no := extract(epoch from porchlight_now()) * 1000000;
        -- Nor does a decision that was made on what was known then.
        new.version := new.turn_no;
    end if;
    return new;
end $$;
create trigger contact_begun before insert on contact for each row execute function begin_above_erased();
create index erasure_contact on erasure (contact_id) where contact_id is not null;

-- Whether an opt-out is kept of somebody who was reached by an address of this contact. Looked at each time: it may
-- have been kept long after the contact's addresses were learned. Whoever texted START since took it back.
create function opted_out_elsewhere(c contact) returns boolean
language sql stable set search_path = porchlight as $$
    select exists (select from suppression s where s.tenant_id = c.tenant_id and s.address_hash = any (c.address_hashes)
                      and (c.opt_in_time is null or s.opt_out_time > c.opt_in_time));
$$;

create or replace function silence_of(c contact) returns text
language sql stable set search_path = porchlight as $$
    select case when c.opt_out_time is not null or opted_out_elsewhere(c) then 'OPTED_OUT'
                when c.dnd then 'DO_NOT_DISTURB'
                when c.pause_time is not null then 'PAUSED' end;
$$;

create or replace function wants_no_texts(c contact) returns boolean
language sql stable set search_path = porchlight as $$
    select c.opt_out_time is not null or coalesce(c.pause_cause = 'ASKED_TO_STOP', false) or opted_out_elsewhere(c);
$$;

-- As before; an opt-out that was kept since the addresses were learned is learned too, and the score says it. That an
-- event named an address (`p_screened`) counts for nothing: it may have named one of two.
create or replace function know_addresses(c contact, p_hashes text[], p_screened boolean) returns contact
language plpgsql security definer set search_path = porchlight as $$
declare v_opt_out_time timestamptz;
begin
    if c.address_hashes @> p_hashes and (c.opt_out_time is not null or not opted_out_elsewhere(c)) then
        return c;
    end if;
    c.address_hashes := array(select distinct unnest(c.address_hashes || p_hashes));
    -- The person texted START since: that went for every address of theirs.
    delete from suppression where tenant_id = c.tenant_id and address_hash = any (c.address_hashes) and opt_out_time <= c.opt_in_time;
    select min(opt_out_time) into v_opt_out_time from suppression
     where tenant_id = c.tenant_id and address_hash = any (c.address_hashes) and c.opt_out_time is null;
    update contact set address_hashes = c.address_hashes, opt_out_time = coalesce(c.opt_out_time, v_opt_out_time),
           version = version + (v_opt_out_time is not null)::int, score_due = score_due or v_opt_out_time is not null
     where tenant_id = c.tenant_id and contact_id = c.contact_id returning * into c;
    return c;
end $$;

-- delivery: as before; and this alone, where the CRM was asked for all addresses, counts as having looked.
create or replace function screen_contact(p_tenant text, p_contact text, p_hashes text[]) returns text
language plpgsql security definer set search_path = porchlight as $$
declare c contact := lock_contact(p_tenant, p_contact);
begin
    if c.contact_id is null then
        return 'CONTACT_ERASED';
    end if;
    update contact set screened = true where tenant_id = p_tenant and contact_id = p_contact;
    return silence_of(know_addresses(c, p_hashes, true));
end $$;
comment on column contact.screened is 'Whether the CRM was asked for phone and e-mail, so that an opt-out of an erased contact would be known.';
update contact set screened = false where screened;

-- An operator's pause stays beneath what the person asked for, and is there again when the person takes that back.
alter table contact add column operator_pause_time timestamptz;
comment on column contact.operator_pause_time is 'Since when an operator keeps the bots silent, also beneath a wish of the person''s; null when none does.';
update contact set operator_pause_time = pause_time where pause_cause = 'OPERATOR';

create function keep_operator_pause() returns trigger
language plpgsql as $$
begin
    new.pause_time := new.operator_pause_time;
    new.pause_cause := 'OPERATOR';
    return new;
end $$;
create trigger contact_pause_lifted before update of pause_cause on contact for each row
    when (new.pause_cause is null and new.operator_pause_time is not null) execute function keep_operator_pause();

create or replace function pause_contact(p_tenant text, p_contact text, p_actor text) returns boolean
language plpgsql security definer set search_path = porchlight as $$
declare c contact := lock_contact(p_tenant, p_contact);
begin
    if c.contact_id is null then
        return false;
    end if;
    update contact set operator_pause_time = porchlight_now()
     where tenant_id = p_tenant and contact_id = p_contact and operator_pause_time is null;
    if found and c.pause_cause = 'ASKED_TO_STOP' then
        perform note(c, 'PAUSED', jsonb_build_object('cause', 'OPERATOR', 'actor', p_actor));
    end if;
    perform put_pause(c, 'OPERATOR', p_actor);
    return true;
end $$;

create or replace function resume_contact(p_tenant text, p_contact text, p_actor text) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare c contact := lock_contact(p_tenant, p_contact);
begin
    if c.contact_id is null then
        return null;
    end if;
    if c.pause_time is not null then
        update contact set pause_time = null, pause_cause = null, operator_pause_time = null, version = version + 1, score_due = true
         where tenant_id = p_tenant and contact_id = p_contact returning * into c;
        perform note(c, 'RESUMED', jsonb_build_object('actor', p_actor));
    end if;
    return jsonb_build_object('silence', silence_of(c));
end $$;

-- Custom fields that are not in the CRM are put out again by the next turn, also those that nobody refused.
create function forget_fields() returns trigger
language plpgsql security definer set search_path = porchlight as $$
begin
    update contact set crm_fields = crm_fields - array(select jsonb_object_keys(new.body::jsonb->'fields'))
     where tenant_id = new.tenant_id and contact_id = new.contact_id;
    return null;
end $$;
create trigger outbox_fields_not_set after update of state on outbox for each row
    when (new.kind = 'FIELDS' and (new.state in ('DRY_RUN', 'SUPPRESSED') or new.cause = 'FIELDS_MISSING'))
    execute function forget_fields();

-- As before; and whose contact is a person's by now, or wants no texts, waits for no bot.
create or replace function reopen_messages() returns trigger
language plpgsql security definer set search_path = porchlight as $$
declare c contact;
begin
    select * into c from contact where tenant_id = new.tenant_id and contact_id = new.contact_id;
    update inbox i set outcome = 'ESCALATED_HUMAN', cause = 'HUMAN_TAKEOVER'
      from turn t
     where t.tenant_id = new.tenant_id and t.contact_id = new.contact_id and t.turn_no = new.turn_no and t.state = 'REPLIED'
       and i.message_id = any (t.message_ids) and i.outcome = 'REPLIED'
       and (new.cause = 'HUMAN_TAKEOVER' or new.cause = 'STALE_EPOCH' and c.owner = 'human');
    update inbox i set outcome = 'WAITING', attempts = 0
      from turn t
     where t.tenant_id = new.tenant_id and t.contact_id = new.contact_id and t.turn_no = new.turn_no and t.state = 'REPLIED'
       and i.message_id = any (t.message_ids) and i.outcome = 'REPLIED' and new.cause = 'STALE_EPOCH'
       and c.owner <> 'human' and silence_of(c) is null
       and not exists (select from inbox h where h.tenant_id = i.tenant_id and h.contact_id = i.contact_id
                          and h.kind = 'HUMAN_MESSAGE' and h.inbox_id > i.inbox_id);
    return null;
end $$;

comment on table erased_event is 'The CRM''s ids of events and texts of erased contacts, so that none is taken for new when it comes again. Kept for at least 7 days.';

revoke execute on function begin_above_erased(), opted_out_elsewhere(contact), keep_operator_pause(), forget_fields() from public;
