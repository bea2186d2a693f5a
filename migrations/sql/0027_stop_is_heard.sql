-- As before; but a STOP that a webhook brings without an id is obeyed, whatever was read from the CRM before it.
create or replace function twin_of(p jsonb) returns bigint
language sql stable set search_path = porchlight as $$
    select i.inbox_id from inbox i
     where i.tenant_id = p->>'tenant_id' and i.contact_id = p->>'contact_id'
       and (p->>'late' is not null or p->>'keyword' is distinct from 'STOP')
       and i.kind in ('MESSAGE_IN', 'HUMAN_MESSAGE', 'MESSAGE_OUT') and (i.kind = 'MESSAGE_IN') = (p->>'kind' = 'MESSAGE_IN')
       and case when p->>'late' is null then i.source = 'ghl-reconcile' and i.crm_message_id is not null
                else i.source <> p->>'source' and i.crm_message_id is null end
       and case when p->>'late' is null then coalesce((p->>'write_time')::timestamptz, porchlight_now()) - i.write_time
                else i.write_time - (p->>'write_time')::timestamptz end between interval '-5 minutes' and interval '2 hours'
       and same_words(i.body, coalesce(p->>'text', ''))
     order by abs(extract(epoch from i.write_time - coalesce((p->>'write_time')::timestamptz, porchlight_now()))), i.inbox_id
     limit 1;
$$;
