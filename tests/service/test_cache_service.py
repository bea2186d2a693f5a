"""The cache service over a real socket: real Postgres, real Valkey, the real SDK, a Claude that misbehaves."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc
from redis.asyncio import Redis

from kit import errors, tokens
from kit.rpc import client
from migrations.prompts import load_prompts
from sandbox import valkey as sandbox_valkey
from sandbox.child import free_port
from services.cache.tier_redis import PREFIX
from tests.support.caches import Caches
from tests.support.claude_script import ScriptedClaude, message
from tests.support.look import rows, until
from tests.support.processes import let_go
from tests.support.stores import Database

ROOT = Path(__file__).parent.parent.parent
EXTRACT = """+++
name = "lead.extract"
model = "claude-haiku-5-5"
max_tokens = 400
effort = "low"
scope = "contact"
schema = '''{"type": "object", "additionalProperties": false, "required": ["intent", "budget_usd"], "properties": {
  "intent": {"type": "string", "enum": ["buy", "sell", "both", "unclear"]},
  "budget_usd": {"type": ["integer", "null"]}}}'''
+++
You read what a person wrote to a real-estate brokerage and say what they want.
+++
<messages>
{messages}
</messages>
"""
GREET = """+++
name = "lead.greet"
model = "claude-haiku-5-5"
max_tokens = 200
scope = "tenant"
+++
You write one short greeting for a text message.
+++
<season>{season}</season>
"""
ANSWER = '{"intent":"sell","budget_usd":null}'
GOOD = message(ANSWER)


@pytest.fixture
def prompts_root(tmp_path: Path) -> Path:
    folder = tmp_path / "services" / "lead" / "prompts"
    folder.mkdir(parents=True)
    (folder / "extract.md").write_text(EXTRACT)
    (folder / "greet.md").write_text(GREET)
    return tmp_path


@pytest.fixture
async def stored(database: Database, prompts_root: Path) -> Database:
    await load_prompts(database.admin_url, prompts_root)
    return database


@pytest.fixture
def claude(claude: ScriptedClaude) -> ScriptedClaude:
    claude.body = GOOD
    return claude


TOKEN = "secret-of-lead"
Stub = Any
Start = Callable[..., Awaitable[Stub]]


@pytest.fixture
async def start(stored: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start as many cache services as a test wants, in this process."""
    # A Postgres that is slow because the machine is busy is not lost.
    monkeypatch.setattr("services.cache.generations.ASK_SECONDS", 5.0)
    async with AsyncExitStack() as stack:
        yield Caches(stack, tmp_path, stored.url("cache")).start


def ask(text: str = "I need to sell my house", *, contact_id: str = "c_81", tenant_id: str = "loc_1") -> Any:
    return pb.CompleteRequest(
        tenant_id=tenant_id, contact_id=contact_id, prompt="lead.extract", variables={"messages": text}
    )


async def complete(stub: Stub, request: Any = None, *, seconds: float = 10.0) -> pb.CompleteResponse:
    response: pb.CompleteResponse = await client.call(stub.Complete, request or ask(), seconds=seconds)
    return response


async def calls_of(database: Database) -> list[dict[str, Any]]:
    return await rows(database.admin_url, "select * from porchlight.completion order by end_time")


async def test_second_request_is_answered_from_memory_for_nothing(start: Start, claude: ScriptedClaude, valkey: str):
    stub = await start(anthropic_base_url=claude.url, redis_url=valkey)
    first, second = await complete(stub), await complete(stub)
    assert (first.tier, second.tier) == (pb.TIER_UPSTREAM, pb.TIER_L1)
    assert first.content == second.content == ANSWER
    assert (first.cost_microusd, first.input_tokens, first.output_tokens) == (15, 100, 10)
    assert (second.cost_microusd, second.saved_microusd, second.input_tokens) == (0, 15, 0)
    assert first.prompt_version == second.prompt_version == "lead.extract@1"
    assert first.key_id == second.key_id
    assert len(claude.requests) == 1


async def test_another_process_is_answered_from_redis(start: Start, claude: ScriptedClaude, valkey: str):
    one = await start(anthropic_base_url=claude.url, redis_url=valkey)
    other = await start(anthropic_base_url=claude.url, redis_url=valkey)
    await complete(one)
    assert [(await complete(other)).tier for _ in range(2)] == [pb.TIER_L2, pb.TIER_L1]
    assert len(claude.requests) == 1


async def test_request_to_claude_holds_what_todays_models_accept(start: Start, claude: ScriptedClaude):
    stub = await start(anthropic_base_url=claude.url)
    await complete(stub, ask("sell </messages> now, price < 500k"))
    (sent,) = claude.requests
    assert set(sent) == {"model", "max_tokens", "system", "messages", "output_config"}
    assert [block["type"] for block in sent["system"]] == ["text"]
    assert sent["output_config"]["effort"] == "low"
    assert sent["output_config"]["format"]["type"] == "json_schema"
    assert sent["messages"] == [
        {"role": "user", "content": "<messages>\nsell &lt;/messages> now, price < 500k\n</messages>"}
    ]


async def test_fifty_identical_requests_at_once_make_one_call(start: Start, claude: ScriptedClaude, stored: Database):
    stub = await start(anthropic_base_url=claude.url)
    answers = await asyncio.gather(*(complete(stub) for _ in range(50)))
    assert len(claude.requests) == 1
    assert {answer.content for answer in answers} == {ANSWER}
    assert sorted(answer.cost_microusd for answer in answers) == [0] * 49 + [15]
    await until(lambda: _count(stored, 1))


async def _count(database: Database, wanted: int) -> bool:
    return len(await calls_of(database)) == wanted


async def test_caller_that_hangs_up_does_not_take_the_call_from_others(start: Start, claude: ScriptedClaude):
    answer = asyncio.Event()
    claude.wait = answer.wait
    stub = await start(anthropic_base_url=claude.url)
    leader = asyncio.create_task(complete(stub))
    await until(lambda: _asked(claude, 1))
    follower = asyncio.create_task(complete(stub))
    leader.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leader
    answer.set()
    assert (await follower).content == ANSWER
    assert len(claude.requests) == 1


async def _asked(claude: ScriptedClaude, wanted: int) -> bool:
    return len(claude.requests) >= wanted


async def test_answer_that_nobody_waited_for_is_there_for_the_next(start: Start, claude: ScriptedClaude):
    answer = asyncio.Event()
    claude.wait = answer.wait
    stub = await start(anthropic_base_url=claude.url)
    leader = asyncio.create_task(complete(stub))
    await until(lambda: _asked(claude, 1))
    leader.cancel()
    answer.set()
    assert (await complete(stub)).content == ANSWER
    assert len(claude.requests) == 1


async def test_contact_never_gets_the_answer_of_another(start: Start, claude: ScriptedClaude, valkey: str):
    stub = await start(anthropic_base_url=claude.url, redis_url=valkey)
    asked = [ask(), ask(contact_id="c_82"), ask(tenant_id="loc_2")]
    answers = [await complete(stub, request) for request in asked]
    assert [answer.tier for answer in answers] == [pb.TIER_UPSTREAM] * 3
    assert len({answer.key_id for answer in answers}) == 3


async def test_entry_moved_under_another_contacts_key_is_removed_and_not_served(
    start: Start, claude: ScriptedClaude, valkey: str
):
    one = await start(anthropic_base_url=claude.url, redis_url=valkey)
    first = await complete(one)
    claude.body = message('{"intent":"buy","budget_usd":null}')
    other = await start(anthropic_base_url=claude.url, redis_url=valkey, claude_daily_usd=0)
    async with Redis.from_url(valkey) as redis:
        data = await redis.get(PREFIX + first.key_id)
        assert isinstance(data, bytes)
        second = await complete(one, ask(contact_id="c_82"))
        await redis.set(PREFIX + second.key_id, data)
        with pytest.raises(errors.BudgetExhausted):
            await complete(other, ask(contact_id="c_82"))
        assert await redis.get(PREFIX + second.key_id) is None


async def test_prompt_without_a_persons_words_is_shared_within_the_tenant_only(start: Start, claude: ScriptedClaude):
    claude.body = message("Happy spring!")
    stub = await start(anthropic_base_url=claude.url)

    def greet(tenant_id: str, contact_id: str) -> Any:
        return pb.CompleteRequest(
            tenant_id=tenant_id, contact_id=contact_id, prompt="lead.greet", variables={"season": "spring"}
        )

    tiers = [(await complete(stub, greet(*who))).tier for who in (("loc_1", "c_1"), ("loc_1", "c_2"), ("loc_2", "c_1"))]
    assert tiers == [pb.TIER_UPSTREAM, pb.TIER_L1, pb.TIER_UPSTREAM]


def _content(content: Any) -> bytes:
    return message("", content=content)


BAD_BODIES = {
    "NOT_JSON": [b"<html>busy</html>", GOOD[:-5], b"", b"\xff\xfe"],
    "NO_MESSAGE": [b"{}", b"[]", b"null", b'"text"', message(ANSWER, type="error"), message(ANSWER, role="user")],
    "NO_USAGE": [
        message(ANSWER, usage=None),
        message(ANSWER, usage={"input_tokens": "100", "output_tokens": 10}),
        message(ANSWER, usage={"input_tokens": -1, "output_tokens": 10}),
        message(ANSWER, usage={"input_tokens": True, "output_tokens": 10}),
    ],
    "CUT_OFF": [
        message(ANSWER, stop_reason="max_tokens"),
        message(ANSWER, stop_reason="model_context_window_exceeded"),
    ],
    "REFUSED": [message(ANSWER, stop_reason="refusal"), message("", content=[], stop_reason="refusal")],
    "NO_STOP_REASON": [message(ANSWER, stop_reason=None), message(ANSWER, stop_reason="bored")],
    "UNEXPECTED_STOP": [message(ANSWER, stop_reason="tool_use"), message(ANSWER, stop_reason="stop_sequence")],
    "WRONG_SHAPE": [
        _content(None),
        _content("text"),
        _content([]),
        _content([{"type": "text", "text": None}]),
        _content([{"type": "text", "text": ANSWER}, {"type": "tool_use", "name": "x"}]),
        _content([ANSWER]),
    ],
    "CONTENT_NOT_JSON": [message("I think they want to sell."), message(ANSWER[:-1]), message(f"```json\n{ANSWER}```")],
    "NOT_OF_THE_SCHEMA": [
        message('{"intent":"rent","budget_usd":null}'),
        message('{"intent":"sell"}'),
        message('{"intent":"sell","budget_usd":"much"}'),
        message('{"intent":"sell","budget_usd":true}'),
        message('{"intent":"sell","budget_usd":null,"phone":"1"}'),
        message("null"),
    ],
}


@pytest.mark.parametrize("defect", BAD_BODIES)
async def test_bad_answer_is_neither_served_nor_stored_nor_asked_for_again(
    start: Start, claude: ScriptedClaude, valkey: str, stored: Database, defect: str
):
    stub = await start(anthropic_base_url=claude.url, redis_url=valkey)
    for body in BAD_BODIES[defect]:
        claude.body = body
        with pytest.raises(errors.ModelUnavailable) as caught:
            await complete(stub)
        assert caught.value.metadata["defect"] == defect, body
    assert len(claude.requests) == len(BAD_BODIES[defect])
    async with Redis.from_url(valkey) as redis:
        assert [key async for key in redis.scan_iter(PREFIX + "*")] == []
    await until(lambda: _count(stored, len(BAD_BODIES[defect])))
    assert {row["outcome"] for row in await calls_of(stored)} == {defect}
    # Whatever was wrong with it, the vendor was paid for it.
    assert all(row["cost_microusd"] > 0 for row in await calls_of(stored))
    claude.body = GOOD
    assert (await complete(stub)).tier == pb.TIER_UPSTREAM


async def test_connection_cut_in_the_middle_of_the_answer_is_tried_again(start: Start, claude: ScriptedClaude):
    stub = await start(anthropic_base_url=claude.url)
    claude.bytes_sent = 40
    with pytest.raises(errors.ModelUnavailable) as caught:
        await complete(stub)
    assert caught.value.metadata["defect"] == "CONNECTION_LOST"
    assert len(claude.requests) == 3


@pytest.mark.parametrize(
    ("status", "defect", "tries"),
    [
        (429, "RATE_LIMITED", 3),
        (500, "SERVER_ERROR", 3),
        (529, "OVERLOADED", 3),
        (400, "HTTP_400", 1),
        (401, "HTTP_401", 1),
        (404, "HTTP_404", 1),
        (503, "HTTP_503", 1),
        (307, "HTTP_307", 1),
    ],
)
async def test_only_passing_trouble_is_tried_again(
    start: Start, claude: ScriptedClaude, stored: Database, status: int, defect: str, tries: int
):
    stub = await start(anthropic_base_url=claude.url)
    claude.status, claude.headers["location"] = status, "http://127.0.0.1:9/elsewhere"
    with pytest.raises(errors.ModelUnavailable) as caught:
        await complete(stub)
    assert caught.value.metadata["defect"] == defect
    assert len(claude.requests) == tries
    await until(lambda: _count(stored, tries))
    assert sum(row["cost_microusd"] for row in await calls_of(stored)) == 0


async def test_retries_of_many_requests_stay_within_their_budget(
    start: Start, claude: ScriptedClaude, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.cache.upstream.BREAKER_FAILURES", 1_000)
    stub = await start(anthropic_base_url=claude.url)
    claude.status = 529
    for number in range(20):
        with pytest.raises(errors.ModelUnavailable):
            await complete(stub, ask(f"text {number}"))
    # Three to begin with, and one for each ten requests.
    assert len(claude.requests) == 20 + 3 + 2


async def test_retry_after_that_does_not_fit_is_not_waited_for(start: Start, claude: ScriptedClaude):
    stub = await start(anthropic_base_url=claude.url)
    claude.status, claude.headers["retry-after"] = 429, "120"
    with pytest.raises(errors.ModelUnavailable) as caught:
        await complete(stub)
    assert caught.value.retry_after_seconds == 120
    assert len(claude.requests) == 1


async def test_hanging_claude_is_answered_for_within_the_callers_deadline(
    start: Start, claude: ScriptedClaude, stored: Database
):
    claude.wait = asyncio.Event().wait
    stub = await start(anthropic_base_url=claude.url)
    with pytest.raises(errors.ModelUnavailable) as caught:  # not DEADLINE_EXCEEDED: we answered first
        await complete(stub, seconds=2.0)
    assert caught.value.metadata["defect"] == "TIMEOUT"
    await until(lambda: _count(stored, 1))
    (row,) = await calls_of(stored)
    assert row["cost_estimated"] and row["cost_microusd"] > 200  # 400 tokens of haiku at the most


async def test_daily_cap_lets_as_many_calls_through_as_it_pays_for(
    start: Start, claude: ScriptedClaude, stored: Database
):
    # One call puts aside some 260 and costs 240: a second fits neither beside the first nor after it.
    claude.body = message(ANSWER, usage={"input_tokens": 400, "output_tokens": 400})
    stub = await start(anthropic_base_url=claude.url, claude_daily_usd="0.0003")
    results = await asyncio.gather(*(complete(stub, ask(f"text {n}")) for n in range(20)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, errors.BudgetExhausted)]
    assert len(claude.requests) == 1
    assert len(refused) == 19
    assert refused[0].metadata == {"budget": "daily_microusd", "limit": "300"}


async def test_cap_counts_what_other_processes_spent(start: Start, claude: ScriptedClaude, stored: Database):
    claude.body = message(ANSWER, usage={"input_tokens": 1_000, "output_tokens": 400})
    one = await start(anthropic_base_url=claude.url, claude_daily_usd="0.0004")
    await complete(one)
    await until(lambda: _count(stored, 1))
    other = await start(anthropic_base_url=claude.url, claude_daily_usd="0.0004")
    with pytest.raises(errors.BudgetExhausted):
        await complete(other, ask("something else"))


async def test_requests_per_minute_are_limited(start: Start, claude: ScriptedClaude):
    stub = await start(anthropic_base_url=claude.url, claude_requests_per_minute=2)
    for number in range(2):
        await complete(stub, ask(f"text {number}"))
    with pytest.raises(errors.BudgetExhausted) as caught:
        await complete(stub, ask("text 3"))
    assert caught.value.metadata["budget"] == "requests_per_minute"
    assert caught.value.retry_after_seconds is not None and 0 < caught.value.retry_after_seconds <= 60


async def test_without_a_model_stored_answers_are_served_and_new_ones_refused(
    start: Start, claude: ScriptedClaude, valkey: str
):
    await complete(await start(anthropic_base_url=claude.url, redis_url=valkey))
    stub = await start(redis_url=valkey)
    assert (await complete(stub)).tier == pb.TIER_L2
    with pytest.raises(errors.ModelUnavailable) as caught:
        await complete(stub, ask("something else"))
    assert caught.value.metadata["defect"] == "NOT_CONFIGURED"


@pytest.mark.parametrize("trouble", [signal.SIGSTOP, signal.SIGKILL])
async def test_redis_that_hangs_or_dies_costs_nothing_but_time(
    start: Start, claude: ScriptedClaude, state_dir: Path, trouble: signal.Signals
):
    store = await sandbox_valkey.start(state_dir)
    assert store.child is not None
    try:
        stub = await start(anthropic_base_url=claude.url, redis_url=store.url, redis_milliseconds=100)
        await complete(stub, ask("before"))
        os.kill(store.child.pid, trouble)
        started = time.monotonic()
        answers = [await complete(stub, ask(f"text {number}")) for number in range(20)]
        assert {answer.tier for answer in answers} == {pb.TIER_UPSTREAM}
        assert [(await complete(stub, ask(f"text {number}"))).tier for number in range(20)] == [pb.TIER_L1] * 20
        # One failure of 50 ms is enough; a library left to itself waits 59 s for the first.
        assert time.monotonic() - started < 20
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(store.child.pid, signal.SIGCONT)
        await store.stop()


async def test_lost_postgres_takes_neither_old_answers_nor_new_ones(
    start: Start, claude: ScriptedClaude, stored: Database
):
    stub = await start(anthropic_base_url=claude.url)
    await complete(stub)
    admin = await asyncpg.connect(stored.cluster.admin_url)
    await admin.execute(f"alter database {stored.name} with allow_connections false")
    await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", stored.name)
    tiers = [(await complete(stub, ask(text))).tier for text in ("I need to sell my house", "new", "new")]
    assert tiers == [pb.TIER_L1, pb.TIER_UPSTREAM, pb.TIER_L1]
    await admin.execute(f"alter database {stored.name} with allow_connections true")
    await admin.close()
    await until(lambda: _count(stored, 2))  # what was asked meanwhile is on record in the end


async def test_process_that_never_saw_postgres_says_that_it_is_the_store(start: Start, claude: ScriptedClaude):
    stub = await start(
        anthropic_base_url=claude.url, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere"
    )
    with pytest.raises(errors.StoreUnavailable):
        await complete(stub)


async def test_prompts_of_a_new_content_get_new_answers(
    start: Start, claude: ScriptedClaude, stored: Database, prompts_root: Path
):
    stub = await start(anthropic_base_url=claude.url)
    assert (await complete(stub)).prompt_version == "lead.extract@1"
    path = prompts_root / "services" / "lead" / "prompts" / "extract.md"
    path.write_text(EXTRACT.replace("You read", "You carefully read"))
    await load_prompts(stored.admin_url, prompts_root)

    async def changed() -> bool:
        return (await complete(stub)).prompt_version == "lead.extract@2"

    await until(changed)
    assert len(claude.requests) == 2


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.CompleteRequest(contact_id="c_1", prompt="lead.extract"), "tenant_id"),
        (pb.CompleteRequest(tenant_id="t", contact_id="c" * 65, prompt="lead.extract"), "contact_id"),
        (pb.CompleteRequest(tenant_id="t", contact_id="c"), "prompt"),
        (pb.CompleteRequest(tenant_id="t", contact_id="c", prompt="lead.extract", label="l" * 33), "label"),
        (pb.CompleteRequest(tenant_id="t", contact_id="c", prompt="lead.extract"), "variables"),
        (
            pb.CompleteRequest(
                tenant_id="t", contact_id="c", prompt="lead.extract", variables={"messages": "", "more": ""}
            ),
            "variables",
        ),
        (ask("x" * 20_001), "variables"),
        (ask("nul \0"), "variables"),
    ],
)
async def test_bad_request_names_the_field(start: Start, claude: ScriptedClaude, request_: Any, field: str):
    stub = await start(anthropic_base_url=claude.url)
    with pytest.raises(errors.InvalidField) as caught:
        await complete(stub, request_)
    assert caught.value.metadata["field"] == field
    assert claude.requests == []


async def test_unknown_prompt_or_label_is_not_found(start: Start):
    stub = await start()
    for prompt, label in (("lead.sing", ""), ("lead.extract", "canary")):
        with pytest.raises(errors.PromptNotFound):
            await complete(
                stub, pb.CompleteRequest(tenant_id="t", contact_id="c", prompt=prompt, label=label, variables={})
            )


@pytest.fixture
def stand_in() -> Iterator[str]:
    """The sandbox's Claude as a process of its own."""
    import subprocess

    port = free_port()
    env = {**os.environ, "PORCHLIGHT_LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen([sys.executable, "-m", "sandbox.claude"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{url}/healthz").status_code == 200:
                    break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


# What the service makes of each way in which Claude goes wrong; a stream's faults come as what no answer of ours is.
MODES = {
    "rate_limited": "RATE_LIMITED",
    "rate_limited:120": "RATE_LIMITED",
    "overloaded": "OVERLOADED",
    "server_error": "SERVER_ERROR",
    "unavailable": "HTTP_503",
    "html": "NOT_JSON",
    "cut_json": "NOT_JSON",
    "empty_json": "NO_MESSAGE",
    "content_string": "WRONG_SHAPE",
    "content_empty": "WRONG_SHAPE",
    "wrong_types": "NO_USAGE",
    "not_utf8": "NOT_JSON",
    "truncated": "CUT_OFF",
    "refusal": "REFUSED",
    "hard_cut": "CONNECTION_LOST",
    "hang": "TIMEOUT",
    "drip": "TIMEOUT",
    "slow_headers": "TIMEOUT",
    "stream_cut": "NOT_JSON",
    "stream_garbage": "NOT_JSON",
    "stream_hard_cut": "CONNECTION_LOST",
    "stream_error": "NOT_JSON",
    "stream_pings": "TIMEOUT",
}


async def test_stand_in_answers_through_the_sdk_and_each_way_it_goes_wrong_is_kept_out(
    start: Start, stand_in: str, valkey: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.cache.upstream.BREAKER_FAILURES", 1_000)
    stub = await start(anthropic_base_url=stand_in, redis_url=valkey)
    answer = await complete(stub)
    assert json.loads(answer.content)["intent"] == "sell"
    assert (answer.cost_microusd > 0, answer.fallback) == (True, pb.FALLBACK_NONE)
    async with httpx2.AsyncClient(base_url=stand_in) as control:
        for mode, defect in MODES.items():
            kind, _, value = mode.partition(":")
            fault = {"kind": kind, "next": 9, "value": float(value or 60)}
            assert (await control.post("/control", json={"reset": True, "faults": [fault]})).status_code == 200
            with pytest.raises(errors.ModelUnavailable) as caught:
                await complete(stub, ask(f"sell, {mode}"), seconds=1.0 if defect == "TIMEOUT" else 10.0)
            assert caught.value.metadata["defect"] == defect, mode
        await control.post("/control", json={"reset": True})
    async with Redis.from_url(valkey) as redis:
        assert len(await redis.keys(f"{PREFIX}*")) == 1
    assert (await complete(stub, ask("sell, hang"))).tier == pb.TIER_UPSTREAM


@pytest.fixture
def patient_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is slow because the machine is busy is not lost."""
    monkeypatch.setattr("services.cache.link_redis.Link.__init__.__kwdefaults__", {"seconds": 10.0})


async def test_three_replicas_never_ask_for_more_than_the_models_real_limits(start: Start, stand_in: str, valkey: str):
    stubs = [await start(anthropic_base_url=stand_in, redis_url=valkey, cache_replicas=3) for _ in range(3)]
    async with httpx2.AsyncClient(base_url=stand_in) as control:
        await control.post("/control", json={"reset": True, "limits": "*=20/1000000/1000000"})
        # The first answer says what the limits are.
        for number, stub in enumerate(stubs):
            await complete(stub, ask(f"text {number}"))
        results = await asyncio.gather(
            *(complete(stubs[n % 3], ask(f"more {n}")) for n in range(60)), return_exceptions=True
        )
        seen = (await control.get("/control/log")).json()["limits"]["claude-haiku-5-5"]
    assert seen["refused"] == 0
    assert seen["most"][0] == 20
    assert {type(each) for each in results} == {pb.CompleteResponse, errors.BudgetExhausted}


async def test_three_replicas_with_money_for_one_call_make_one(start: Start, claude: ScriptedClaude):
    claude.body = message(ANSWER, usage={"input_tokens": 400, "output_tokens": 400})
    stubs = [await start(anthropic_base_url=claude.url, claude_daily_usd="0.0003") for _ in range(3)]
    results = await asyncio.gather(
        *(complete(stubs[n % 3], ask(f"text {n}")) for n in range(100)), return_exceptions=True
    )
    assert len(claude.requests) == 1
    assert sum(isinstance(result, errors.BudgetExhausted) for result in results) == 99


async def test_fifty_identical_requests_at_each_of_two_replicas_make_one_call(
    start: Start, claude: ScriptedClaude, valkey: str, patient_redis: None
):
    claude.wait = lambda: asyncio.sleep(0.3)
    stubs = [await start(anthropic_base_url=claude.url, redis_url=valkey) for _ in range(2)]
    answers = await asyncio.gather(*(complete(stub) for stub in stubs for _ in range(50)))
    assert len(claude.requests) == 1
    assert {answer.content for answer in answers} == {ANSWER}
    assert sorted(answer.cost_microusd for answer in answers) == [0] * 99 + [15]


async def test_leader_that_is_killed_hands_over_and_nothing_hangs(
    start: Start, claude: ScriptedClaude, stored: Database, valkey: str, tmp_path: Path
):
    answer = asyncio.Event()
    claude.wait = answer.wait
    tokens.write_callers(tmp_path / "callers.json", {"lead": tokens.digest(TOKEN)})
    env = {
        "STATE_DIR": str(tmp_path),
        "DATABASE_URL": stored.url("cache"),
        "REDIS_URL": valkey,
        "CALLERS_FILE": str(tmp_path / "callers.json"),
        "ANTHROPIC_BASE_URL": claude.url,
    }
    other = await start(anthropic_base_url=claude.url, redis_url=valkey)
    async with process(tmp_path, **env) as (child, address):
        channel = client.open_channel(address, token=TOKEN, service="cache")
        stub = pb_grpc.CacheServiceStub(channel)
        leading = [asyncio.create_task(complete(stub)) for _ in range(50)]
        await until(lambda: _asked(claude, 1))
        following = [asyncio.create_task(complete(other)) for _ in range(50)]
        child.kill()
        answer.set()
        assert {each.content for each in await asyncio.gather(*following)} == {ANSWER}
        failed = await asyncio.gather(*leading, return_exceptions=True)
        await channel.close()
    assert all(isinstance(each, errors.PorchlightError) for each in failed)
    assert len(claude.requests) == 2


async def test_flushes_under_load_cost_one_call_for_each_key_and_flush_at_the_most(
    start: Start, claude: ScriptedClaude, valkey: str, patient_redis: None
):
    keys, flushes = 5, 4
    # Without memory of their own, all that the replicas know is in Redis.
    stubs = [await start(anthropic_base_url=claude.url, redis_url=valkey, l1_bytes=0) for _ in range(2)]
    over = asyncio.Event()

    async def load(number: int) -> None:
        while not over.is_set():
            await complete(stubs[number % 2], ask(f"text {number % keys}"))

    loads = [asyncio.create_task(load(number)) for number in range(2 * keys)]
    async with Redis.from_url(valkey) as redis:
        for _ in range(flushes):
            await until(lambda: _keys(redis, keys))
            await redis.flushall()
    over.set()
    await asyncio.gather(*loads)
    assert keys * 2 <= len(claude.requests) <= keys * (flushes + 1)


async def _keys(redis: Redis, wanted: int) -> bool:
    return len(await redis.keys(f"{PREFIX}*")) >= wanted


async def test_answer_of_a_smaller_model_is_given_once_and_never_stored(
    start: Start, stand_in: str, valkey: str, stored: Database, prompts_root: Path
):
    path = prompts_root / "services" / "lead" / "prompts" / "extract.md"
    path.write_text(EXTRACT.replace("haiku", "sonnet").replace("max_tokens = 400", "max_tokens = 4000"))
    await load_prompts(stored.admin_url, prompts_root)
    stub = await start(anthropic_base_url=stand_in, redis_url=valkey)
    async with httpx2.AsyncClient(base_url=stand_in) as control:
        await control.post("/control", json={"faults": [{"kind": "overloaded", "next": 3}]})
    first, second, third = [await complete(stub) for _ in range(3)]
    assert (first.model, first.fallback, first.tier) == (
        "claude-haiku-5-5",
        pb.FALLBACK_SMALLER_MODEL,
        pb.TIER_UPSTREAM,
    )
    assert (second.model, second.fallback, second.tier) == ("claude-sonnet-5-5", pb.FALLBACK_NONE, pb.TIER_UPSTREAM)
    assert third.tier == pb.TIER_L1


@asynccontextmanager
async def process(tmp_path: Path, **env: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run `python -m services.cache` and wait for its address."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PORCHLIGHT_", "ANTHROPIC_"))}
    given = {f"PORCHLIGHT_{name}": value for name, value in env.items()}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cache", cwd=ROOT, env=clean | given, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(30):
            while True:
                line = json.loads(await child.stdout.readline())
                if line["event"] == "process.ready":
                    break
        yield child, line["address"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await let_go(child)


async def test_process_answers_logs_no_word_of_anybodys_and_ends_clean(
    stored: Database, claude: ScriptedClaude, valkey: str, tmp_path: Path
):
    tokens.write_callers(tmp_path / "callers.json", {"lead": tokens.digest(TOKEN)})
    canary = "Zanzibar-555-0199"
    claude.body = message(ANSWER)
    env = {
        "STATE_DIR": str(tmp_path),
        "DATABASE_URL": stored.url("cache"),
        "REDIS_URL": valkey,
        "CALLERS_FILE": str(tmp_path / "callers.json"),
        "ANTHROPIC_BASE_URL": claude.url,
        "ANTHROPIC_API_KEY": "key-canary-81",
        "LOG_LEVEL": "debug",
    }
    async with process(tmp_path, **env) as (child, address):
        channel = client.open_channel(address, token=TOKEN, service="cache")
        stub = pb_grpc.CacheServiceStub(channel)
        assert (await complete(stub, ask(f"My name is {canary}"))).content == ANSWER
        claude.body = message(canary)
        with pytest.raises(errors.ModelUnavailable):
            await complete(stub, ask(f"I am {canary}"))
        await channel.close()
        child.send_signal(signal.SIGTERM)
        assert child.stdout is not None
        said = await child.stdout.read()
        assert await child.wait() == 0
    events = [json.loads(line) for line in said.splitlines()]
    answered = next(event for event in events if event["event"] == "completion.answered")
    assert answered["cache_tier"] == "UPSTREAM" and answered["cost_microusd"] == 15
    assert answered["prompt_version"] == "lead.extract@1"
    assert not any("log_key_dropped" in event for event in events)
    assert canary.encode() not in said
    assert b"key-canary-81" not in said
    assert len(await calls_of(stored)) == 2
