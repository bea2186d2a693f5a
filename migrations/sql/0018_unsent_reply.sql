-- A reply that never went out has answered nobody. When its bot lost the contact before
-- that, what it was about is for whoever has the contact now: a bot's next turn, unless
-- a person wrote since, or a person's of the brokerage.

create function reopen_messages() returns trigger
language plpgsql security definer set search_path = porchlight as $$
begin
    update inbox i set outcome = 'ESCALATED_HUMAN', cause = new.cause
      from turn t
     where t.tenant_id = new.tenant_id and t.contact_id = new.contact_id and t.turn_no = new.turn_no and t.state = 'REPLIED'
       and i.message_id = any (t.message_ids) and i.outcome = 'REPLIED' and new.cause = 'HUMAN_TAKEOVER';
    update inbox i set outcome = 'WAITING', attempts = 0
      from turn t
     where t.tenant_id = new.tenant_id and t.contact_id = new.contact_id and t.turn_no = new.turn_no and t.state = 'REPLIED'
       and i.message_id = any (t.message_ids) and i.outcome = 'REPLIED' and new.cause = 'STALE_EPOCH'
       and not exists (select from inbox h where h.tenant_id = i.tenant_id and h.contact_id = i.contact_id
                          and h.kind = 'HUMAN_MESSAGE' and h.inbox_id > i.inbox_id);
    return null;
end $$;
-- Whoever keeps a text back wakes the lane right after.
create trigger outbox_kept_back after update of state on outbox for each row
    when (new.kind = 'REPLY' and new.state = 'SUPPRESSED' and old.state <> 'SUPPRESSED')
    execute function reopen_messages();

revoke execute on function reopen_messages() from public;
