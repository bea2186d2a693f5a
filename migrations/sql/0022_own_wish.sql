-- What is kept when a contact is erased is its own wish alone: an opt-out that is kept under one of its addresses is
-- learned with its next event, and keeps texts in until then (silence_of). Looked at here too, the hash that stays of
-- the id of a contact deleted in the CRM passed for an opt-out from all of its addresses.
create or replace function wants_no_texts(c contact) returns boolean
language sql immutable set search_path = porchlight as $$
    select c.opt_out_time is not null or coalesce(c.pause_cause = 'ASKED_TO_STOP', false);
$$;
