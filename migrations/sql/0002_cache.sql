-- Prompts as immutable versions, and a row for every call to Claude. Never a person's words.

create table prompt (
    name text not null,
    version int not null check (version > 0),
    digest text not null,
    body jsonb not null,
    create_time timestamptz not null default porchlight_now(),
    primary key (name, version),
    unique (name, digest)
);
comment on table prompt is 'A row never changes: another text is another version.';
comment on column prompt.digest is 'SHA-256 of the content, so that storing it again finds it again.';

create table prompt_label (
    name text not null,
    label text not null,
    version int not null,
    set_time timestamptz not null default porchlight_now(),
    primary key (name, label),
    foreign key (name, version) references prompt (name, version)
);
comment on table prompt_label is 'Which version callers get who ask for a label; production unless they say otherwise.';

create table completion (
    call_id text primary key,
    tenant_id text not null,
    request_id text not null default '',
    prompt_version text not null,
    model text not null,
    key_id text not null,
    attempt int not null,
    outcome text not null,
    stop_reason text not null default '',
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cache_write_tokens bigint not null default 0,
    cache_read_tokens bigint not null default 0,
    cost_microusd bigint not null check (cost_microusd >= 0),
    cost_estimated boolean not null,
    price_version text not null,
    latency_ms bigint not null,
    end_time timestamptz not null default porchlight_now()
);
comment on column completion.call_id is 'Made by the caller, so that recording it twice counts once.';
comment on column completion.outcome is 'ANSWERED, or the defect that kept the answer from being used.';
comment on column completion.cost_estimated is 'True when Claude may have worked without telling how much; then the most it can have cost.';
comment on column completion.price_version is 'The date of the price list.';
create index completion_end on completion (end_time);

-- owner: stores a prompt's content unless it is there, and points `p_label` at it. Returns its version.
create function store_prompt(p_name text, p_digest text, p_body jsonb, p_label text) returns int
language plpgsql security definer set search_path = porchlight as $$
declare
    v_version int;
begin
    -- In a statement of its own: two loaders at once must not take the same number.
    perform pg_advisory_xact_lock(hashtext('porchlight.prompt'), hashtext(p_name));
    select version into v_version from prompt where name = p_name and digest = p_digest;
    if v_version is null then
        insert into prompt (name, version, digest, body)
        values (p_name, (select coalesce(max(version), 0) + 1 from prompt where name = p_name), p_digest, p_body)
        returning version into v_version;
    end if;
    insert into prompt_label (name, label, version) values (p_name, p_label, v_version)
    on conflict (name, label) do update set version = excluded.version, set_time = excluded.set_time
     where prompt_label.version <> excluded.version;
    return v_version;
end $$;

-- cache: every label of every prompt with the version it points at.
create function read_prompts() returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('label', l.label, 'version', p.version, 'body', p.body)
      from prompt_label l join prompt p using (name, version) order by l.name, l.label;
$$;

-- cache: one call to Claude. The same call_id again changes nothing.
create function record_completion(p jsonb) returns void
language sql volatile security definer set search_path = porchlight as $$
    insert into completion (call_id, tenant_id, request_id, prompt_version, model, key_id, attempt, outcome, stop_reason,
        input_tokens, output_tokens, cache_write_tokens, cache_read_tokens, cost_microusd, cost_estimated,
        price_version, latency_ms)
    values (p->>'call_id', p->>'tenant_id', p->>'request_id', p->>'prompt_version', p->>'model', p->>'key_id',
        (p->>'attempt')::int, p->>'outcome', p->>'stop_reason',
        (p->>'input_tokens')::bigint, (p->>'output_tokens')::bigint,
        (p->>'cache_write_tokens')::bigint, (p->>'cache_read_tokens')::bigint,
        (p->>'cost_microusd')::bigint, (p->>'cost_estimated')::boolean,
        p->>'price_version', (p->>'latency_ms')::bigint)
    on conflict (call_id) do nothing;
$$;

-- cache: what all processes together spent since midnight UTC.
create function spent_today_microusd() returns bigint
language sql volatile security definer set search_path = porchlight as $$
    select coalesce(sum(cost_microusd), 0)::bigint from completion
     where end_time >= date_trunc('day', porchlight_now() at time zone 'UTC') at time zone 'UTC';
$$;

revoke execute on function store_prompt(text, text, jsonb, text), read_prompts(), record_completion(jsonb),
    spent_today_microusd() from public;
grant execute on function read_prompts(), record_completion(jsonb), spent_today_microusd() to porchlight_cache;
