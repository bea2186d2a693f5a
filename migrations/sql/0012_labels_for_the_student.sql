-- The student learns from one tenant's labels, and an audit stands for the answers that were not checked.

alter table analysis_label add column stands_for real not null default 1;
comment on column analysis_label.stands_for is 'For how many requests these labels stand: an audit of one answer in twenty stands for twenty.';

create index analysis_label_of_tenant on analysis_label (tenant_id, prompt, prompt_version, change_no);
drop function read_labels(text, int, bigint, int);
drop index analysis_label_feed;

-- cache: keeps a label; the same key from the same source counts up and takes the newest analysis.
create or replace function record_label(p jsonb) returns void
language plpgsql security definer set search_path = porchlight as $$
declare
    v_id bigint;
begin
    insert into analysis_label (tenant_id, prompt, prompt_version, schema_hash, state, masked, analysis, source, key_id,
        wrong_times, stands_for)
    values (p->>'tenant_id', p->>'prompt', (p->>'prompt_version')::int, p->>'schema_hash', p->'state', p->>'masked',
        p->'analysis', p->>'source', p->>'key_id', (p->>'wrong')::boolean::int, coalesce((p->>'stands_for')::real, 1))
    on conflict (tenant_id, key_id, source) do update
       set analysis = excluded.analysis, times = analysis_label.times + 1,
           wrong_times = analysis_label.wrong_times + excluded.wrong_times,
           stands_for = analysis_label.stands_for + excluded.stands_for,
           change_no = nextval('analysis_label_change'), change_time = porchlight_now()
    returning label_id into v_id;
    if v_id % 500 = 0 then
        delete from analysis_label where change_time < porchlight_now() - interval '180 days'
            or label_id <= v_id - 200000;
    end if;
end $$;

-- cache: a tenant's labels of a prompt's version that changed after `p_after`, in the order of their changes.
create function read_labels(p_tenant_id text, p_prompt text, p_version int, p_after bigint, p_most int) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(l) from analysis_label l
     where tenant_id = p_tenant_id and prompt = p_prompt and prompt_version = p_version and change_no > p_after
     order by change_no limit p_most;
$$;

revoke execute on function read_labels(text, text, int, bigint, int) from public;
grant execute on function read_labels(text, text, int, bigint, int) to porchlight_cache;
