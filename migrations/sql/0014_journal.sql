-- Which answers were given and why, what people said of them, and sums that outlive both. Never a person's words:
-- a text is kept only where it is an analysis that contacts share.

create table answer (
    answer_id text primary key,
    answer_no bigint generated always as identity,
    tenant_id text not null,
    key_id text not null,
    prompt_version text not null,
    tier text not null,
    model text not null,
    score double precision not null,
    age_seconds double precision not null,
    cost_microusd bigint not null,
    saved_microusd bigint not null,
    fallback boolean not null,
    basis jsonb not null,
    analysis jsonb,
    request_id text not null,
    answer_time timestamptz not null,
    verdict text not null default '' check (verdict in ('', 'right', 'wrong')),
    verdict_by text not null default ''
);
comment on table answer is 'The last answers, for people who ask why; cut to a number and an age by record_answers.';
comment on column answer.basis is 'What the key was made of, without a word of a person''s.';
comment on column answer.analysis is 'What was answered, where contacts share it; null otherwise.';
create unique index answer_number on answer (answer_no);

create table answer_hour (
    hour timestamptz not null,
    tenant_id text not null,
    prompt_version text not null,
    tier text not null,
    answers bigint not null default 0,
    saved_microusd bigint not null default 0,
    said_right bigint not null default 0,
    said_wrong bigint not null default 0,
    audits bigint not null default 0,
    audits_wrong bigint not null default 0,
    primary key (hour, tenant_id, prompt_version, tier)
);
comment on table answer_hour is 'Sums over answers by the hour in which they were given, and over audits by the hour of the audit.';

create table completion_hour (
    hour timestamptz not null,
    tenant_id text not null,
    prompt_version text not null,
    model text not null,
    calls bigint not null default 0,
    answered_calls bigint not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cache_write_tokens bigint not null default 0,
    cache_read_tokens bigint not null default 0,
    cost_microusd bigint not null default 0,
    estimated_microusd bigint not null default 0,
    primary key (hour, tenant_id, prompt_version, model)
);
comment on table completion_hour is 'Sums over completion, kept in the same transaction.';

insert into completion_hour
select date_trunc('hour', end_time at time zone 'UTC') at time zone 'UTC', tenant_id, prompt_version, model, count(*),
       count(*) filter (where outcome = 'ANSWERED'), sum(input_tokens), sum(output_tokens), sum(cache_write_tokens),
       sum(cache_read_tokens), sum(cost_microusd), coalesce(sum(cost_microusd) filter (where cost_estimated), 0)
  from completion group by 1, 2, 3, 4;

create index completion_key on completion (tenant_id, key_id, end_time);

-- internal: what a row of completion adds to the sums, or takes away with p_sign = -1.
create function add_completion_hour(c completion, p_sign int) returns void
language sql volatile security definer set search_path = porchlight as $$
    insert into completion_hour as h (hour, tenant_id, prompt_version, model, calls, answered_calls, input_tokens,
        output_tokens, cache_write_tokens, cache_read_tokens, cost_microusd, estimated_microusd)
    values (date_trunc('hour', c.end_time at time zone 'UTC') at time zone 'UTC', c.tenant_id, c.prompt_version, c.model,
        p_sign, p_sign * (c.outcome = 'ANSWERED')::int, p_sign * c.input_tokens, p_sign * c.output_tokens,
        p_sign * c.cache_write_tokens, p_sign * c.cache_read_tokens, p_sign * c.cost_microusd,
        p_sign * c.cost_microusd * c.cost_estimated::int)
    on conflict (hour, tenant_id, prompt_version, model) do update
       set calls = h.calls + excluded.calls, answered_calls = h.answered_calls + excluded.answered_calls,
           input_tokens = h.input_tokens + excluded.input_tokens, output_tokens = h.output_tokens + excluded.output_tokens,
           cache_write_tokens = h.cache_write_tokens + excluded.cache_write_tokens,
           cache_read_tokens = h.cache_read_tokens + excluded.cache_read_tokens,
           cost_microusd = h.cost_microusd + excluded.cost_microusd,
           estimated_microusd = h.estimated_microusd + excluded.estimated_microusd;
$$;

-- cache: one call to Claude. The same call_id again changes nothing, except that it takes the place of a lost call.
create or replace function record_completion(p jsonb) returns void
language plpgsql volatile security definer set search_path = porchlight as $$
declare
    v_old completion;
    v_new completion;
    v_cost bigint := (p->>'cost_microusd')::bigint;
    v_is_old boolean;
begin
    delete from spend_hold where call_id = p->>'call_id';
    select * into v_old from completion where call_id = p->>'call_id' for update;
    v_is_old := found;
    if v_is_old then
        if v_old.outcome <> 'LOST' then
            return;
        end if;
        delete from completion where call_id = p->>'call_id';
        v_cost := v_cost - v_old.cost_microusd;
    end if;
    insert into completion (call_id, tenant_id, request_id, prompt_version, model, key_id, attempt, outcome, stop_reason,
        input_tokens, output_tokens, cache_write_tokens, cache_read_tokens, cost_microusd, cost_estimated,
        price_version, latency_ms, end_time)
    values (p->>'call_id', p->>'tenant_id', p->>'request_id', p->>'prompt_version', p->>'model', p->>'key_id',
        (p->>'attempt')::int, p->>'outcome', p->>'stop_reason',
        (p->>'input_tokens')::bigint, (p->>'output_tokens')::bigint,
        (p->>'cache_write_tokens')::bigint, (p->>'cache_read_tokens')::bigint,
        (p->>'cost_microusd')::bigint, (p->>'cost_estimated')::boolean,
        p->>'price_version', (p->>'latency_ms')::bigint, coalesce(v_old.end_time, porchlight_now()))
    on conflict (call_id) do nothing returning * into v_new;
    if not found then
        return;
    end if;
    -- The row of all tenants first, always: whoever has it may wait for other rows, and nobody waits in a circle.
    insert into spend as s (tenant_id, day, cost_microusd)
    values ('', (v_new.end_time at time zone 'UTC')::date, greatest(v_cost, 0))
    on conflict (tenant_id, day) do update set cost_microusd = s.cost_microusd + v_cost;
    insert into spend as s (tenant_id, day, cost_microusd)
    values (v_new.tenant_id, (v_new.end_time at time zone 'UTC')::date, greatest(v_cost, 0))
    on conflict (tenant_id, day) do update set cost_microusd = s.cost_microusd + v_cost;
    if v_is_old then
        perform add_completion_hour(v_old, -1);
    end if;
    perform add_completion_hour(v_new, 1);
end $$;

-- cache: keeps answers, and counts those that are new. Of all, the newest p_most stay, for 30 days.
create function record_answers(p_answers jsonb, p_most bigint) returns void
language plpgsql volatile security definer set search_path = porchlight as $$
declare
    v_last bigint;
begin
    -- Before anything is counted: judge_answer too takes an answer first and its sums after.
    select max(answer_no) into v_last from answer;
    delete from answer where answer_no <= v_last + jsonb_array_length(p_answers) - p_most;
    delete from answer where answer_no in (select answer_no from answer order by answer_no limit 500)
        and answer_time < porchlight_now() - interval '30 days';
    with fresh as (
        insert into answer (answer_id, tenant_id, key_id, prompt_version, tier, model, score, age_seconds, cost_microusd,
            saved_microusd, fallback, basis, analysis, request_id, answer_time)
        select r->>'answer_id', r->>'tenant_id', r->>'key_id', r->>'prompt_version', r->>'tier', r->>'model',
            (r->>'score')::double precision, (r->>'age_seconds')::double precision, (r->>'cost_microusd')::bigint,
            (r->>'saved_microusd')::bigint, (r->>'fallback')::boolean, r->'basis', nullif(r->'analysis', 'null'),
            r->>'request_id', porchlight_now() - make_interval(secs => (r->>'waited_seconds')::double precision)
          from jsonb_array_elements(p_answers) r
        on conflict (answer_id) do nothing
        returning *
    )
    insert into answer_hour as h (hour, tenant_id, prompt_version, tier, answers, saved_microusd)
    select date_trunc('hour', answer_time at time zone 'UTC') at time zone 'UTC', tenant_id, prompt_version, tier, count(*),
           sum(saved_microusd)
      from fresh group by 1, 2, 3, 4 order by 1, 2, 3, 4  -- in one order, so that no two writers wait in a circle
    on conflict (hour, tenant_id, prompt_version, tier) do update
       set answers = h.answers + excluded.answers, saved_microusd = h.saved_microusd + excluded.saved_microusd;
end $$;

-- cache: an answer, with the last call for its key up to then and the labels of its key; null when it is not known.
create function explain_answer(p_tenant_id text, p_answer_id text) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    select to_jsonb(a) || jsonb_build_object(
        'call', (select to_jsonb(c) from completion c
                  where c.tenant_id = a.tenant_id and c.key_id = a.key_id and c.outcome = 'ANSWERED'
                    and c.end_time <= a.answer_time + interval '2 seconds'
                  order by c.end_time desc limit 1),
        'labels', (select coalesce(jsonb_agg(jsonb_build_object('source', l.source, 'times', l.times,
                        'wrong_times', l.wrong_times) order by l.source), '[]')
                     from analysis_label l where l.tenant_id = a.tenant_id and l.key_id = a.key_id))
      from answer a where a.tenant_id = p_tenant_id and a.answer_id = p_answer_id;
$$;

-- cache: what a person says of an answer; a shared analysis becomes a label. Returns the answer's key and whether
-- this is news; null when the answer is not known.
create function judge_answer(p_tenant_id text, p_answer_id text, p_verdict text, p_by text) returns jsonb
language plpgsql volatile security definer set search_path = porchlight as $$
declare
    v answer;
begin
    select * into v from answer where tenant_id = p_tenant_id and answer_id = p_answer_id for update;
    if not found then
        return null;
    end if;
    if v.verdict <> p_verdict then
        update answer set verdict = p_verdict, verdict_by = p_by where answer_id = p_answer_id;
        update answer_hour
           set said_right = said_right + (p_verdict = 'right')::int - (v.verdict = 'right')::int,
               said_wrong = said_wrong + (p_verdict = 'wrong')::int - (v.verdict = 'wrong')::int
         where hour = date_trunc('hour', v.answer_time at time zone 'UTC') at time zone 'UTC'
           and tenant_id = v.tenant_id and prompt_version = v.prompt_version and tier = v.tier;
        if v.analysis is not null then
            perform record_label(jsonb_build_object('tenant_id', v.tenant_id, 'prompt', split_part(v.prompt_version, '@', 1),
                'prompt_version', split_part(v.prompt_version, '@', 2), 'schema_hash', v.basis->>'schema_hash',
                'state', v.basis->'state', 'masked', v.basis->>'masked', 'analysis', v.analysis, 'source', 'feedback',
                'key_id', v.key_id, 'wrong', p_verdict = 'wrong'));
        end if;
    end if;
    return jsonb_build_object('key_id', v.key_id, 'changed', v.verdict <> p_verdict);
end $$;

-- internal: audits count by the hour too.
create function count_audit() returns trigger
language plpgsql security definer set search_path = porchlight as $$
declare
    v_times int := new.times;
    v_wrong int := new.wrong_times;
begin
    if tg_op = 'UPDATE' then
        v_times := v_times - old.times;
        v_wrong := v_wrong - old.wrong_times;
    end if;
    insert into answer_hour as h (hour, tenant_id, prompt_version, tier, audits, audits_wrong)
    values (date_trunc('hour', porchlight_now() at time zone 'UTC') at time zone 'UTC', new.tenant_id,
        new.prompt || '@' || new.prompt_version, 'STUDENT', v_times, v_wrong)
    on conflict (hour, tenant_id, prompt_version, tier) do update
       set audits = h.audits + excluded.audits, audits_wrong = h.audits_wrong + excluded.audits_wrong;
    return null;
end $$;
create trigger analysis_label_audit after insert or update of times on analysis_label
    for each row when (new.source = 'audit') execute function count_audit();

-- cache: sums of the last p_hours hours and the one that runs; an empty tenant or prompt means all.
create function read_stats(p_tenant_id text, p_prompt text, p_hours int) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    with since as (
        select date_trunc('hour', porchlight_now() at time zone 'UTC') at time zone 'UTC' - make_interval(hours => p_hours) as hour
    ), tiers as (
        select prompt_version, tier, sum(answers) as answers, sum(saved_microusd) as saved_microusd,
               sum(said_right) as said_right, sum(said_wrong) as said_wrong, sum(audits) as audits,
               sum(audits_wrong) as audits_wrong
          from answer_hour
         where hour >= (select hour from since) and (p_tenant_id = '' or tenant_id = p_tenant_id)
           and (p_prompt = '' or split_part(prompt_version, '@', 1) = p_prompt)
         group by prompt_version, tier
    ), calls as (
        select coalesce(sum(calls), 0) as calls, coalesce(sum(cost_microusd), 0) as cost_microusd from completion_hour
         where hour >= (select hour from since) and (p_tenant_id = '' or tenant_id = p_tenant_id)
           and (p_prompt = '' or split_part(prompt_version, '@', 1) = p_prompt)
    )
    select jsonb_build_object('start_time', (select hour from since),
        'tiers', (select coalesce(jsonb_agg(to_jsonb(t) order by prompt_version, tier), '[]') from tiers t),
        'upstream_calls', (select calls from calls), 'cost_microusd', (select cost_microusd from calls));
$$;

-- cache: what was spent in the last p_days UTC days, newest day first; and all of it. p_after is the last line of the
-- page before, as day, tenant, prompt and model; empty for the first page.
create function read_spend(p_tenant_id text, p_days int, p_after text[], p_most int) returns jsonb
language sql stable security definer set search_path = porchlight as $$
    with lines as (
        select (hour at time zone 'UTC')::date::text as day, tenant_id, split_part(prompt_version, '@', 1) as prompt, model,
               sum(calls) as calls, sum(answered_calls) as answered_calls, sum(input_tokens) as input_tokens,
               sum(output_tokens) as output_tokens, sum(cache_write_tokens) as cache_write_tokens,
               sum(cache_read_tokens) as cache_read_tokens, sum(cost_microusd) as cost_microusd,
               sum(estimated_microusd) as estimated_microusd
          from completion_hour
         where hour >= (date_trunc('day', porchlight_now() at time zone 'UTC') - make_interval(days => p_days - 1)) at time zone 'UTC'
           and (p_tenant_id = '' or tenant_id = p_tenant_id)
         group by 1, 2, 3, 4
    )
    select jsonb_build_object('total_microusd', (select coalesce(sum(cost_microusd), 0) from lines),
        'spends', (select coalesce(jsonb_agg(to_jsonb(l)), '[]') from
            (select * from lines
              where p_after = '{}' or day < p_after[1]
                 or (day = p_after[1] and (tenant_id, prompt, model) > (p_after[2], p_after[3], p_after[4]))
              order by day desc, tenant_id, prompt, model limit p_most) l));
$$;

revoke execute on function add_completion_hour(completion, int), record_answers(jsonb, bigint), explain_answer(text, text),
    judge_answer(text, text, text, text), count_audit(), read_stats(text, text, int), read_spend(text, int, text[], int) from public;
grant execute on function record_answers(jsonb, bigint), explain_answer(text, text), judge_answer(text, text, text, text),
    read_stats(text, text, int), read_spend(text, int, text[], int) to porchlight_cache;
