-- Sums and calls of the cache end by age, and a label goes back however often others moved since.

-- internal: deletes what is too old, some at a time. GetStats looks back 31 days and ListSpend 366; an explained answer
-- is 30 days old at most, and its call a day older.
create function prune_cache() returns trigger
language plpgsql security definer set search_path = porchlight as $$
begin
    -- Locked rows are another pruner's, and nobody waits in a circle.
    delete from answer_hour where ctid in (select ctid from answer_hour
        where hour < porchlight_now() - interval '400 days' limit 10000 for update skip locked);
    delete from completion_hour where ctid in (select ctid from completion_hour
        where hour < porchlight_now() - interval '400 days' limit 10000 for update skip locked);
    delete from completion where ctid in (select ctid from completion
        where end_time < porchlight_now() - interval '180 days' limit 10000 for update skip locked);
    return null;
end $$;

-- A row is inserted for an hour's first answer or call of a kind, so this runs some times an hour.
create trigger answer_hour_prune after insert on answer_hour for each row execute function prune_cache();
create trigger completion_hour_prune after insert on completion_hour for each row execute function prune_cache();

-- cache: the version that a label pointed at before its last move; 0 when it never pointed elsewhere.
create function label_before(p_name text, p_label text) returns int
language sql stable security definer set search_path = porchlight as $$
    select coalesce((select version_before from prompt_change where name = p_name and label = p_label
                      order by change_no desc limit 1), 0);
$$;

revoke execute on function prune_cache(), label_before(text, text) from public;
grant execute on function label_before(text, text) to porchlight_cache;

-- Nobody calls these.
drop function audit_counts(int);
drop function labels_of(text, text);

comment on column analysis_label.stands_for is 'For how many requests these labels stand: an audit of one answer in nineteen stands for nineteen.';
