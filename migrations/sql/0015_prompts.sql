-- Prompts are written by people too, and every move of a label is kept. Whoever moves one tells all replicas
-- through the numbers of the invalidations, with the tag 'labels'.

alter table prompt add column author text not null default 'files';
alter table prompt add column reason text not null default '';
comment on column prompt.author is 'Who stored it; files for what came with a release.';

create table prompt_change (
    change_no bigint generated always as identity primary key,
    name text not null,
    label text not null,
    version_before int not null,
    version_after int not null,
    author text not null,
    reason text not null,
    change_time timestamptz not null default porchlight_now()
);
comment on table prompt_change is 'Every move of a label; never changed.';
create index prompt_change_name on prompt_change (name, change_no);

-- internal: names the state of a prompt; empty when there is none.
create function prompt_etag(p_name text) returns text
language sql stable security definer set search_path = porchlight as $$
    select coalesce((select 'v' || max(version) from prompt where name = p_name)
        || coalesce((select '-c' || max(change_no) from prompt_change where name = p_name), ''), '');
$$;

-- internal: one writer of prompts at a time. In a statement of its own: the next one must see what the last one did.
create function lock_prompts() returns void
language sql volatile security definer set search_path = porchlight as $$
    select pg_advisory_xact_lock(hashtext('porchlight.prompt'), 0);
$$;

-- internal: stores a content unless it is there, and returns its version.
create function keep_prompt(p_name text, p_digest text, p_body jsonb, p_author text, p_reason text) returns int
language plpgsql security definer set search_path = porchlight as $$
declare
    v_version int;
begin
    select version into v_version from prompt where name = p_name and digest = p_digest;
    if v_version is null then
        insert into prompt (name, version, digest, body, author, reason)
        values (p_name, (select coalesce(max(version), 0) + 1 from prompt where name = p_name), p_digest, p_body, p_author, p_reason)
        returning version into v_version;
    end if;
    return v_version;
end $$;

-- internal: points a label at a version that exists. Returns the generation of the move, or of the last move of any
-- label where it pointed there already.
create function move_label(p_name text, p_label text, p_version int, p_author text, p_reason text) returns bigint
language plpgsql security definer set search_path = porchlight as $$
declare
    v_before int;
begin
    select version into v_before from prompt_label where name = p_name and label = p_label;
    if v_before = p_version then
        return coalesce((select generation from invalidation where tag = 'labels'), 0);
    end if;
    insert into prompt_label (name, label, version) values (p_name, p_label, p_version)
    on conflict (name, label) do update set version = excluded.version, set_time = excluded.set_time;
    insert into prompt_change (name, label, version_before, version_after, author, reason)
    values (p_name, p_label, coalesce(v_before, 0), p_version, p_author, p_reason);
    return invalidate_answers(array['labels']);
end $$;

-- owner: stores what a file says, points `shipped` at it, and p_label too unless people pointed that elsewhere.
create or replace function store_prompt(p_name text, p_digest text, p_body jsonb, p_label text) returns int
language plpgsql security definer set search_path = porchlight as $$
declare
    v_version int;
    v_shipped int;
    v_current int;
begin
    perform lock_prompts();
    select version into v_shipped from prompt_label where name = p_name and label = 'shipped';
    select version into v_current from prompt_label where name = p_name and label = p_label;
    v_version := keep_prompt(p_name, p_digest, p_body, 'files', '');
    perform move_label(p_name, 'shipped', v_version, 'files', '');
    if v_current is null or v_shipped is null or v_current = v_shipped then
        perform move_label(p_name, p_label, v_version, 'files', '');
    end if;
    return v_version;
end $$;

-- internal: a prompt as people see it; null when there is none.
create function prompt_state(p_name text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select jsonb_build_object('name', p_name, 'latest_version', max(version), 'etag', prompt_etag(p_name), 'labels',
            (select coalesce(jsonb_object_agg(label, version), '{}') from prompt_label where name = p_name))
      from prompt where name = p_name having count(*) > 0;
$$;

-- cache: prompts by name, after p_after.
create function list_prompts(p_after text, p_most int) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select prompt_state(name) from (select distinct name from prompt where name > p_after order by name limit p_most) n
     order by name;
$$;

-- cache: a prompt, with its last moves of labels; null when there is none.
create function find_prompt(p_name text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select prompt_state(p_name) || jsonb_build_object('changes', (select coalesce(jsonb_agg(to_jsonb(c) order by change_no desc), '[]')
        from (select * from prompt_change where name = p_name order by change_no desc limit 20) c));
$$;

-- cache: versions of a prompt below p_below, newest first.
create function prompt_versions(p_name text, p_below int, p_most int) returns setof jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(p) from prompt p where name = p_name and version < p_below order by version desc limit p_most;
$$;

-- cache: stores a version. Returns it, or the etag that stands where p.etag does not; a content that is known is no change.
create function create_prompt(p jsonb) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    v_etag text;
begin
    perform lock_prompts();
    v_etag := prompt_etag(p->>'name');
    if v_etag <> p->>'etag' and not exists (select from prompt where name = p->>'name' and digest = p->>'digest') then
        return jsonb_build_object('current_etag', v_etag);
    end if;
    return jsonb_build_object('version',
        keep_prompt(p->>'name', p->>'digest', p->'body', p->>'author', p->>'reason'));
end $$;

-- cache: points a label at a version. Returns the generation, or the etag that stands where p.etag does not; no version
-- is {}.
create function set_prompt_label(p jsonb) returns jsonb
language plpgsql security definer set search_path = porchlight as $$
declare
    v_version int := (p->>'version')::int;
    v_etag text;
begin
    perform lock_prompts();
    if not exists (select from prompt where name = p->>'name' and version = v_version) then
        return '{}';
    end if;
    v_etag := prompt_etag(p->>'name');
    if v_etag <> p->>'etag' and not exists (
        select from prompt_label where name = p->>'name' and label = p->>'label' and version = v_version) then
        return jsonb_build_object('current_etag', v_etag);
    end if;
    return jsonb_build_object('generation',
        move_label(p->>'name', p->>'label', v_version, p->>'author', p->>'reason'));
end $$;

revoke execute on function prompt_etag(text), lock_prompts(), keep_prompt(text, text, jsonb, text, text),
    move_label(text, text, int, text, text), prompt_state(text), list_prompts(text, int), find_prompt(text),
    prompt_versions(text, int, int), create_prompt(jsonb), set_prompt_label(jsonb) from public;
grant execute on function list_prompts(text, int), find_prompt(text), prompt_versions(text, int, int), create_prompt(jsonb),
    set_prompt_label(jsonb) to porchlight_cache;
