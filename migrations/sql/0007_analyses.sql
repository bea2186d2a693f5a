-- Which stored answers no longer hold, and what masked texts were found to say. Never a person's words:
-- only texts are kept here that hold nothing but dictionary words and numbered references.

create table invalidation_head (
    one boolean primary key default true check (one),
    generation bigint not null default 0
);
comment on table invalidation_head is 'One row, locked by whoever counts up, so that numbers are seen in their order.';
insert into invalidation_head default values;

create table invalidation (
    tag text primary key,
    generation bigint not null,
    create_time timestamptz not null default porchlight_now()
);
comment on table invalidation is 'What was stored with this tag before this generation is gone. Older than any entry can live, a row is deleted.';

create sequence analysis_label_change;
create table analysis_label (
    label_id bigint generated always as identity primary key,
    change_no bigint not null default nextval('analysis_label_change'),
    tenant_id text not null,
    prompt text not null,
    prompt_version int not null,
    schema_hash text not null,
    state jsonb not null,
    masked text not null,
    analysis jsonb not null,
    source text not null check (source in ('upstream', 'audit', 'feedback', 'seed')),
    key_id text not null,
    times int not null default 1,
    wrong_times int not null default 0,
    create_time timestamptz not null default porchlight_now(),
    change_time timestamptz not null default porchlight_now(),
    unique (tenant_id, key_id, source)
);
comment on table analysis_label is 'What a masked text says in a state of the dialogue, and who said so; the student learns from it.';
comment on column analysis_label.change_no is 'Counted up at every change: who reads on from the last one it saw misses none.';
comment on column analysis_label.times is 'How often this source was asked.';
comment on column analysis_label.wrong_times is 'How often something else had been served.';
create index analysis_label_feed on analysis_label (prompt, prompt_version, change_no);
create index analysis_label_key on analysis_label (tenant_id, key_id);

-- cache: makes what was stored with these tags unusable. Returns the generation.
create function invalidate_answers(p_tags text[]) returns bigint
language plpgsql security definer set search_path = porchlight as $$
declare
    v_generation bigint;
begin
    update invalidation_head set generation = generation + 1 returning generation into v_generation;
    -- No entry lives longer than a day (services/cache/entry.py).
    delete from invalidation where create_time < porchlight_now() - interval '25 hours';
    insert into invalidation (tag, generation) select distinct unnest(p_tags), v_generation
    on conflict (tag) do update set generation = excluded.generation, create_time = excluded.create_time;
    return v_generation;
end $$;

-- cache: the last generation, and the tags that were invalidated after `p_since`.
create function read_invalidations(p_since bigint) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('generation', (select generation from invalidation_head), 'tags',
        (select coalesce(jsonb_object_agg(tag, generation), '{}') from invalidation where generation > p_since));
$$;

-- cache: keeps a label; the same key from the same source counts up and takes the newest analysis.
create function record_label(p jsonb) returns void
language plpgsql security definer set search_path = porchlight as $$
declare
    v_id bigint;
begin
    insert into analysis_label (tenant_id, prompt, prompt_version, schema_hash, state, masked, analysis, source, key_id, wrong_times)
    values (p->>'tenant_id', p->>'prompt', (p->>'prompt_version')::int, p->>'schema_hash', p->'state', p->>'masked',
        p->'analysis', p->>'source', p->>'key_id', (p->>'wrong')::boolean::int)
    on conflict (tenant_id, key_id, source) do update
       set analysis = excluded.analysis, times = analysis_label.times + 1,
           wrong_times = analysis_label.wrong_times + excluded.wrong_times,
           change_no = nextval('analysis_label_change'), change_time = porchlight_now()
    returning label_id into v_id;
    if v_id % 500 = 0 then
        delete from analysis_label where change_time < porchlight_now() - interval '180 days'
            or label_id <= v_id - 200000;
    end if;
end $$;

-- cache: labels of a prompt's version that changed after `p_after`, in the order of their changes.
create function read_labels(p_prompt text, p_version int, p_after bigint, p_most int) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(l) from analysis_label l
     where prompt = p_prompt and prompt_version = p_version and change_no > p_after order by change_no limit p_most;
$$;

-- cache: labels of a key.
create function labels_of(p_tenant_id text, p_key_id text) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(l) from analysis_label l where tenant_id = p_tenant_id and key_id = p_key_id order by change_no;
$$;

-- cache: how many audits and feedbacks there were in the last `p_days` days by prompt version, and how many said wrong.
create function audit_counts(p_days int) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('prompt_version', prompt || '@' || prompt_version, 'source', source,
            'times', sum(times), 'wrong_times', sum(wrong_times))
      from analysis_label
     where source in ('audit', 'feedback') and change_time > porchlight_now() - make_interval(days => p_days)
     group by prompt, prompt_version, source order by prompt, prompt_version, source;
$$;

revoke execute on function invalidate_answers(text[]), read_invalidations(bigint), record_label(jsonb),
    read_labels(text, int, bigint, int), labels_of(text, text), audit_counts(int) from public;
grant execute on function invalidate_answers(text[]), read_invalidations(bigint), record_label(jsonb),
    read_labels(text, int, bigint, int), labels_of(text, text), audit_counts(int) to porchlight_cache;
