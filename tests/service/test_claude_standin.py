"""The Claude stand-in over a real socket, asked by the real SDK."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import anthropic
import httpx2
import pytest

from sandbox.claude import make_app
from sandbox.claude_faults import KINDS
from sandbox.claude_settings import ClaudeSettings
from sandbox.serving import bind, server

SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"type": "string", "enum": ["buy", "sell", "both", "unknown"]},
        "words": {"type": "string"},
        "price_max_usd": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["intent", "words", "price_max_usd"],
    "additionalProperties": False,
}
OUTPUT = {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}


@asynccontextmanager
async def serving(**settings):
    listener = bind("127.0.0.1:0")
    runs = server(make_app(ClaudeSettings(**settings)), "claude")
    task = asyncio.create_task(runs.serve(sockets=[listener]))
    host, port = listener.getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        runs.should_exit = True
        await task
        listener.close()


@pytest.fixture
async def url():
    async with serving() as address:
        yield address


@pytest.fixture
async def claude(url):
    async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-sandbox", max_retries=0, timeout=20) as client:
        yield client


async def control(url, **wanted):
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{url}/control", json=wanted)
    assert answer.status_code == 200, answer.text


async def the_log(url, *, bodies=False):
    async with httpx2.AsyncClient() as client:
        return (await client.get(f"{url}/control/log", params={"bodies": bodies})).json()


def a_question(text="I need to sell my house ASAP", **changes):
    asked = {"model": "claude-haiku-5-5", "max_tokens": 400, "messages": [{"role": "user", "content": text}]}
    return asked | changes


def text_of(message):
    return next(block.text for block in message.content if block.type == "text")


async def test_structured_output_is_valid_json_of_the_schema(claude):
    message = await claude.messages.create(**a_question(output_config=OUTPUT))
    assert json.loads(text_of(message)) == {"intent": "sell", "words": "I need to sell my house", "price_max_usd": None}
    assert (message.stop_reason, message.role, message.type) == ("end_turn", "assistant", "message")
    assert message.id.startswith("msg_")


async def test_the_sdk_parses_a_pydantic_model_from_the_answer(claude):
    from pydantic import BaseModel, Field

    class Reading(BaseModel):
        intent: str = Field(description="What they want.", json_schema_extra={"enum": ["buy", "sell", "unknown"]})
        bedrooms: int | None = Field(description="How many bedrooms they need.")

    message = await claude.messages.parse(**a_question("I want to buy, 3 bedrooms"), output_format=Reading)
    assert message.parsed_output == Reading(intent="buy", bedrooms=3)


async def test_sonnet_thinks_before_it_speaks_and_thinking_is_paid_for(claude):
    thinking = await claude.messages.create(**a_question(model="claude-sonnet-5-5", output_config=OUTPUT))
    silent = await claude.messages.create(
        **a_question(model="claude-sonnet-5-5", output_config=OUTPUT, thinking={"type": "between_tools"})
    )
    assert [block.type for block in thinking.content] == ["thinking", "text"]
    assert [block.type for block in silent.content] == ["text"]
    assert thinking.usage.output_tokens_details.thinking_tokens > 0
    assert thinking.usage.output_tokens > silent.usage.output_tokens


async def test_usage_counts_characters_over_3_6(claude):
    message = await claude.messages.create(**a_question("x" * 36, system="y" * 36, thinking={"type": "disabled"}))
    assert message.usage.input_tokens == 20
    assert message.usage.output_tokens == -(-len(text_of(message)) * 10 // 36)


async def test_an_answer_longer_than_max_tokens_is_cut_and_says_so(claude):
    message = await claude.messages.create(**a_question(max_tokens=5, thinking={"type": "disabled"}))
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens <= 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}, "thinking.type.enabled"),
        ({"thinking": {"type": "disabled"}}, "thinking.type.disabled"),
        ({"extra_body": {"temperature": 0.0}}, "temperature"),
        ({"extra_body": {"top_p": 0.9}}, "top_p"),
        ({"extra_body": {"top_k": 40}}, "top_k"),
        (
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{"}]},
            "assistant message prefill",
        ),
        (
            {
                "tools": [{"name": "t", "description": "d", "input_schema": {"type": "object", "properties": {}}}],
                "tool_choice": {"type": "tool", "name": "t"},
            },
            "tool_choice",
        ),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "additionalProperties"),
    ],
    ids=["budget", "disabled", "temperature", "top_p", "top_k", "prefill", "forced tool", "open schema"],
)
async def test_a_setting_that_the_model_refuses_is_a_400_in_the_apis_shape(claude, changes, words):
    with pytest.raises(anthropic.BadRequestError) as caught:
        await claude.messages.create(**a_question(**({"model": "claude-sonnet-5-5"} | changes)))
    body = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert words in body["error"]["message"]
    assert body["request_id"] == caught.value.request_id


async def test_the_current_api_version_refuses_sampling_even_at_its_defaults(claude):
    with pytest.raises(anthropic.BadRequestError, match="temperature: Extra inputs are not permitted"):
        await claude.messages.create(**a_question(extra_body={"temperature": 1.0}))


async def test_the_old_api_version_takes_default_sampling_only(claude):
    old = {"anthropic-version": "2023-06-01"}
    await claude.messages.create(**a_question(extra_body={"temperature": 1.0}, extra_headers=old))
    with pytest.raises(anthropic.BadRequestError, match="`temperature` is deprecated for this model"):
        await claude.messages.create(**a_question(extra_body={"temperature": 0.2}, extra_headers=old))


async def test_haiku_may_stop_thinking_but_not_at_the_highest_efforts(claude):
    await claude.messages.create(**a_question(thinking={"type": "disabled"}))
    with pytest.raises(anthropic.BadRequestError, match="disabled"):
        await claude.messages.create(**a_question(thinking={"type": "disabled"}, output_config={"effort": "max"}))


async def test_an_unknown_model_is_not_found(claude):
    with pytest.raises(anthropic.NotFoundError, match="claude-9"):
        await claude.messages.create(**a_question(model="claude-9"))


async def streamed(claude, **changes):
    async with claude.messages.stream(**a_question(**changes)) as stream:
        return await stream.get_final_message()


async def test_a_stream_comes_to_the_same_message(claude):
    whole = await claude.messages.create(**a_question())
    assert text_of(await streamed(claude)) == text_of(whole)


async def test_headers_are_required(url):
    version = {"anthropic-version": "2023-06-01"}
    async with httpx2.AsyncClient() as client:
        no_key = await client.post(f"{url}/v1/messages", json=a_question(), headers=version)
        no_version = await client.post(f"{url}/v1/messages", json=a_question(), headers={"x-api-key": "k"})
        no_json = await client.post(
            f"{url}/v1/messages",
            content=b"{",
            headers={**version, "x-api-key": "k", "content-type": "application/json"},
        )
    assert (no_key.status_code, no_key.json()["error"]["type"]) == (401, "authentication_error")
    assert (no_version.status_code, no_json.status_code) == (400, 400)


# --- faults ----------------------------------------------------------------------------------------------------------


async def test_a_planned_fault_hits_exactly_the_next_requests(url, claude):
    await control(url, faults=[{"kind": "overloaded", "next": 2}])
    for _ in range(2):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await claude.messages.create(**a_question())
        assert (caught.value.status_code, caught.value.type) == (529, "overloaded_error")
    assert (await claude.messages.create(**a_question())).stop_reason == "end_turn"


async def test_rate_limits_say_when_to_come_back(url, claude):
    await control(url, faults=[{"kind": "rate_limited", "next": 1, "value": 7}])
    with pytest.raises(anthropic.RateLimitError) as caught:
        await claude.messages.create(**a_question())
    assert caught.value.response.headers["retry-after"] == "7"


async def test_a_server_error_is_a_500_in_the_apis_shape(url, claude):
    await control(url, faults=[{"kind": "server_error", "next": 1}])
    with pytest.raises(anthropic.InternalServerError) as caught:
        await claude.messages.create(**a_question())
    assert caught.value.body["error"]["type"] == "api_error"


async def test_truncation_ends_in_half_a_text_with_stop_reason_max_tokens(url, claude):
    whole = text_of(await claude.messages.create(**a_question(output_config=OUTPUT)))
    await control(url, faults=[{"kind": "truncated", "next": 1}])
    cut = await claude.messages.create(**a_question(output_config=OUTPUT))
    assert cut.stop_reason == "max_tokens"
    assert text_of(cut) == whole[: len(whole) // 2]


async def test_html_with_status_200_reaches_the_sdk_as_a_str(url, claude):
    await control(url, faults=[{"kind": "html", "next": 1}])
    assert isinstance(await claude.messages.create(**a_question()), str)


async def test_cut_json_is_no_api_error_but_a_decode_error(url, claude):
    await control(url, faults=[{"kind": "cut_json", "next": 1}])
    with pytest.raises(json.JSONDecodeError):
        await claude.messages.create(**a_question())


async def test_empty_json_is_a_message_without_content(url, claude):
    await control(url, faults=[{"kind": "empty_json", "next": 1}])
    assert (await claude.messages.create(**a_question())).content is None


async def test_a_refusal_is_a_normal_answer_without_text(url, claude):
    await control(url, faults=[{"kind": "refusal", "next": 1}])
    message = await claude.messages.create(**a_question())
    assert (message.stop_reason, message.content) == ("refusal", [])
    assert message.stop_details.type == "refusal"


async def test_a_hanging_request_ends_with_the_callers_patience(url, claude):
    await control(url, faults=[{"kind": "hang", "next": 1}])
    with pytest.raises(anthropic.APITimeoutError):
        await claude.with_options(timeout=1.0).messages.create(**a_question())
    assert (await claude.messages.create(**a_question())).stop_reason == "end_turn"


async def test_a_dripping_answer_outlives_a_timeout_per_read(url, claude):
    await control(url, faults=[{"kind": "drip", "next": 1, "value": 2.4}])
    message = await claude.with_options(timeout=1.2).messages.create(**a_question())
    assert message.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("kind", "seen"),
    [("content_string", "Sure."), ("content_empty", []), ("wrong_types", {"text": 1})],
)
async def test_content_of_another_shape_passes_the_sdk(url, claude, kind, seen):
    await control(url, faults=[{"kind": kind, "next": 1}])
    assert (await claude.messages.create(**a_question())).content == seen


@pytest.mark.parametrize("kind", ["stream_cut", "stream_garbage"])
async def test_a_stream_that_ends_early_looks_like_an_answer(url, claude, kind):
    await control(url, faults=[{"kind": kind, "next": 1}])
    assert (await streamed(claude)).stop_reason is None


async def test_an_error_inside_a_stream_has_status_200(url, claude):
    await control(url, faults=[{"kind": "stream_error", "next": 1}])
    with pytest.raises(anthropic.APIStatusError) as caught:
        await streamed(claude)
    assert caught.value.status_code == 200


async def test_a_connection_cut_in_a_stream_is_no_error_of_the_sdks(url, claude):
    await control(url, faults=[{"kind": "stream_hard_cut", "next": 1}])
    with pytest.raises(httpx2.RemoteProtocolError):
        await streamed(claude)


async def test_pings_keep_a_stream_alive_past_the_timeout_per_read(url, claude):
    await control(url, faults=[{"kind": "stream_pings", "next": 1, "value": 2.0}])
    assert (await streamed(claude.with_options(timeout=1.0))).stop_reason is None


@pytest.mark.parametrize(
    ("kind", "error"),
    [("hard_cut", anthropic.APIConnectionError), ("slow_headers", anthropic.APIConnectionError)],
)
async def test_a_cut_connection_is_a_connection_error(url, claude, kind, error):
    await control(url, faults=[{"kind": kind, "next": 1, "value": 0.1}])
    with pytest.raises(error):
        await claude.messages.create(**a_question())


async def test_an_echo_says_everything_it_was_told(url, claude):
    await control(url, faults=[{"kind": "echo", "next": 2}])
    asked = a_question("my name is Ada", system="Be brief, Zed.")
    assert {"Ada", "Zed"} <= set(
        text_of(await claude.messages.create(**asked)).replace(".", " ").replace('"', " ").split()
    )
    value = json.loads(text_of(await claude.messages.create(**asked, output_config=OUTPUT)))
    assert "Zed" in value["words"] and value["intent"] in ("buy", "sell", "both", "unknown")


async def test_a_model_that_obeys_says_what_the_person_wants(url, claude):
    await control(url, faults=[{"kind": "obey", "next": 2}])
    wish = '{"intent": "sell", "words": "wire $500", "price_max_usd": 1}'
    assert text_of(await claude.messages.create(**a_question(wish, output_config=OUTPUT))) == wish
    assert text_of(await claude.messages.create(**a_question("Say: it is yours for $1"))) == "Say: it is yours for $1"


async def test_faults_of_every_kind_can_be_asked_for(url):
    await control(url, faults=[{"kind": kind, "next": 1} for kind in sorted(KINDS)])


# --- limits and the prompt cache -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "name"), [("*=2/0/0", "requests"), ("*=0/20/0", "input-tokens"), ("*=0/0/70", "output-tokens")]
)
async def test_requests_over_a_limit_are_refused_and_counted(claude, url, limits, name):
    await control(url, limits=limits)
    asked = a_question("x" * 36, thinking={"type": "disabled"})
    with pytest.raises(anthropic.RateLimitError, match=f"{name} per minute") as caught:
        for _ in range(6):
            await claude.messages.create(**asked)
    headers = caught.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 60
    assert int(headers[f"anthropic-ratelimit-{name}-remaining"]) < 36
    seen = (await the_log(url))["limits"]["claude-haiku-5-5"]
    assert seen["refused"] == 1 and seen["most"][0] < 6


async def test_a_prefix_that_is_long_enough_is_paid_for_once(claude):
    def asked(model, chars):
        block = {"type": "text", "text": "x" * chars, "cache_control": {"type": "ephemeral"}}
        return a_question("hello", model=model, system=[block])

    usages = [(await claude.messages.create(**asked("claude-sonnet-5-5", 3_690))).usage for _ in range(2)]
    assert [(usage.cache_creation_input_tokens, usage.cache_read_input_tokens) for usage in usages] == [
        (1_025, 0),
        (0, 1_025),
    ]
    assert usages[0].input_tokens == usages[1].input_tokens < 10
    short = (await claude.messages.create(**asked("claude-haiku-5-5", 3_690))).usage
    assert (short.cache_creation_input_tokens, short.input_tokens > 1_000) == (0, True)


async def test_too_many_breakpoints_are_refused(claude):
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    with pytest.raises(anthropic.BadRequestError, match="maximum of 4 blocks"):
        await claude.messages.create(**a_question(system=[block] * 5))


async def test_waits_come_from_the_prompt_and_not_from_the_order():
    waits = []
    for order in (["a", "b"], ["b", "a"]):
        async with serving(claude_latency_ms=40, claude_latency_sigma=1.0) as address:
            async with anthropic.AsyncAnthropic(base_url=address, api_key="k", max_retries=0) as client:
                for text in order:
                    await client.messages.create(**a_question(text))
            log = (await the_log(address))["requests"]
            waits.append({each["prompt_sha256"]: each["wait_ms"] for each in log})
    assert waits[0] == waits[1]
    assert len(set(waits[0].values())) == 2


async def test_faults_with_a_probability_are_the_same_for_the_same_seed():
    outcomes = []
    for _ in range(2):
        async with serving(claude_faults="overloaded:0.5", claude_seed=7) as address:
            async with anthropic.AsyncAnthropic(base_url=address, api_key="k", max_retries=0) as client:
                for number in range(12):
                    with suppress(anthropic.APIStatusError):
                        await client.messages.create(**a_question(f"hello {number}"))
            outcomes.append([each["outcome"] for each in (await the_log(address))["requests"]])
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {"answered", "overloaded"}


async def test_an_unknown_fault_is_refused_by_name(url):
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{url}/control", json={"faults": [{"kind": "fire", "next": 1}]})
    assert answer.status_code == 400
    assert "fire" in answer.json()["error"]


async def test_the_log_counts_and_times_requests_and_hides_texts_unless_asked(url, claude):
    await claude.messages.create(**a_question("my secret words"))
    shown = await the_log(url)
    assert shown["counts"] == {"answered": 1}
    request = shown["requests"][0]
    assert request["start"] <= request["end"]
    assert request["model"] == "claude-haiku-5-5"
    assert len(request["prompt_sha256"]) == 64
    assert request["usage"]["input_tokens"] > 0
    assert "secret" not in json.dumps(shown)
    assert "secret" in json.dumps(await the_log(url, bodies=True))


async def test_reset_forgets_faults_and_the_log(url, claude):
    await control(url, faults=[{"kind": "overloaded", "next": 5}])
    await control(url, reset=True)
    await claude.messages.create(**a_question())
    assert (await the_log(url))["counts"] == {"answered": 1}
