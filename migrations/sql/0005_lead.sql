-- What the lead bot reads to score a contact.

-- bots: what is known of a contact, as far as the bot may see it; null when nobody of that id ever wrote.
create function read_facts(p_tenant text, p_contact text, p_bot text) returns jsonb
language plpgsql volatile security definer set search_path = porchlight as $$
begin
    perform check_bot(p_bot);
    return (
        select jsonb_build_object('facts', current_facts(p_tenant, p_contact, p_bot),
                   'opted_out', c.opt_out_time is not null,
                   'messages_count', (select count(*) from inbox i where i.tenant_id = c.tenant_id
                                        and i.contact_id = c.contact_id and i.kind = 'MESSAGE_IN'))
          from contact c where c.tenant_id = p_tenant and c.contact_id = p_contact);
end $$;

revoke execute on function read_facts(text, text, text) from public;
grant execute on function read_facts(text, text, text) to porchlight_bot;
