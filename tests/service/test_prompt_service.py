"""Prompts over real sockets: who may change them, what is refused, and that replicas follow at once."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from porchlight.cache.v1 import cache_service_pb2 as cache_pb
from porchlight.prompt.v1 import prompt_service_pb2 as pb
from porchlight.prompt.v1 import prompt_service_pb2_grpc as pb_grpc

from kit import errors
from kit.rpc import client
from sandbox import prompt_desk
from sandbox.cli import main
from sandbox.keys import token_path
from services.cache import generations
from tests.support.analyses import PROMPT, analysis, analyze
from tests.support.caches import Caches
from tests.support.claude_script import ScriptedClaude, message

MINE = PROMPT.replace("You say what", "You read closely, and say what")


class Desk:
    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def call(self, method: str, request: Any) -> Any:
        return await client.call(getattr(self._stub, method), request, seconds=5.0)

    async def get(self, **which: Any) -> pb.GetPromptResponse:
        found: pb.GetPromptResponse = await self.call("GetPrompt", pb.GetPromptRequest(name="lead.extract", **which))
        return found

    async def put(self, text: str = MINE, **changed: Any) -> pb.CreateVersionResponse:
        etag = changed.pop("etag", None) or (await self.get()).prompt.etag
        request = pb.CreateVersionRequest(text=text, etag=etag, reason="it reads better", **changed)
        stored: pb.CreateVersionResponse = await self.call("CreateVersion", request)
        return stored

    async def point(self, version: int, **changed: Any) -> pb.SetLabelResponse:
        etag = changed.pop("etag", None) or (await self.get()).prompt.etag
        request = pb.SetLabelRequest(
            name="lead.extract", version=version, etag=etag, reason="it reads better", **changed
        )
        moved: pb.SetLabelResponse = await self.call("SetLabel", request)
        return moved

    async def roll_back(self) -> pb.RollbackResponse:
        etag = (await self.get()).prompt.etag
        moved: pb.RollbackResponse = await self.call(
            "Rollback", pb.RollbackRequest(name="lead.extract", etag=etag, reason="it read worse")
        )
        return moved


async def desk(caches: Caches, number: int = -1, caller: str = "operator") -> Desk:
    return Desk(pb_grpc.PromptServiceStub(await caches.channel(caller, number)))


async def test_new_version_is_shown_compared_and_asked_once_it_is_labelled(caches: Caches, claude: ScriptedClaude):
    stub = await caches.start(anthropic_base_url=claude.url)
    at = await desk(caches)
    shown = await at.get()
    assert (shown.version.version, dict(shown.prompt.labels)) == (1, {"production": 1, "shipped": 1})
    assert (await at.put(shown.version.text)).version == 1
    assert (await at.put()).version == 2
    assert (await analyze(stub, "I want to buy")).prompt_version == "lead.extract@1"
    await at.point(2)
    assert (await analyze(stub, "I want to buy")).prompt_version == "lead.extract@2"
    assert "You read closely" in claude.requests[-1]["system"][0]["text"]
    diff = await at.call("DiffVersions", pb.DiffVersionsRequest(name="lead.extract", before=1, after=2))
    assert "-You say what a masked text means.\n+You read closely, and say what a masked text means." in diff.diff
    now = await at.get(label="production")
    assert (now.version.version, now.version.author, now.version.reason) == (2, "operator", "it reads better")
    assert (now.changes[0].version_before, now.changes[0].version_after) == (1, 2)
    listed = await at.call("ListPrompts", pb.ListPromptsRequest())
    assert [each.name for each in listed.prompts] == ["lead.extract"]
    page = await at.call("ListVersions", pb.ListVersionsRequest(name="lead.extract", page_size=1))
    rest = await at.call("ListVersions", pb.ListVersionsRequest(name="lead.extract", page_token=page.next_page_token))
    assert [each.version for each in (*page.versions, *rest.versions)] == [2, 1]
    assert rest.next_page_token == ""


async def test_old_version_comes_back_with_its_stored_answers(caches: Caches, claude: ScriptedClaude, valkey: str):
    stub = await caches.start(anthropic_base_url=claude.url, redis_url=valkey)
    at = await desk(caches)
    first = await analyze(stub, "I want to buy")
    await at.put()
    await at.point(2)
    assert (await analyze(stub, "I want to buy")).tier == cache_pb.TIER_UPSTREAM
    assert dict((await at.roll_back()).prompt.labels) == {"production": 1, "shipped": 1}
    again = await analyze(stub, "I want to buy")
    assert (again.prompt_version, again.key_id) == ("lead.extract@1", first.key_id)
    assert again.tier == cache_pb.TIER_L1  # a moved label empties no memory
    assert (await at.roll_back()).prompt.labels["production"] == 2


async def test_no_replica_answers_with_an_old_version_a_second_after_the_move(
    caches: Caches, claude: ScriptedClaude, valkey: str
):
    """Two replicas answer without a pause while a label moves between versions, whose answers differ.

    Each version is answered with its own words by a Claude that reads which one it was
    asked, so an answer that mixed versions, or came from the other's entry, would show.
    """
    replicas = [await caches.start(anthropic_base_url=claude.url, redis_url=valkey) for _ in range(2)]
    at = await desk(caches, 0)
    assert (await at.put()).version == 2

    async def by_version() -> None:
        closely = "closely" in claude.requests[-1]["system"][0]["text"]
        claude.body = message(analysis("sell" if closely else "buy"))

    claude.wait = by_version
    stop, seen = asyncio.Event(), list[tuple[float, float, str, str]]()

    async def ask(number: int) -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                said = await analyze(replicas[number], "I want to buy")
            except errors.StoreUnavailable:
                continue  # a busy machine: nothing rather than something old
            value = json.loads(said.analysis)["intent"]["value"]
            seen.append((began, time.monotonic(), said.prompt_version, value))

    asking = [asyncio.create_task(ask(number)) for number in (0, 1)]
    moves = []
    for version in (2, 1, 2):
        asked_at = time.monotonic()
        await at.point(version)
        moves.append((asked_at, time.monotonic(), f"lead.extract@{version}"))
        async with asyncio.timeout(30):
            while len({each[2] for each in seen[-6:]} | {moves[-1][2]}) > 1 or not seen:
                await asyncio.sleep(0.02)
        await asyncio.sleep(generations.TRUST_SECONDS)
    stop.set()
    await asyncio.gather(*asking)
    assert {(version, value) for *_, version, value in seen} == {("lead.extract@1", "buy"), ("lead.extract@2", "sell")}
    # The next version is answered with from some moment on between the wish and the word that it is done.
    until = [asked_at for asked_at, *_ in moves[1:]] + [float("inf")]
    for (_, moved, now), end in zip(moves, until, strict=True):
        late = [each for each in seen if moved + 1.0 < each[0] and each[1] < end and each[2] != now]
        assert late == []


UNFIT = {
    "placeholders": ("<asked>{asked}</asked>", ""),
    "schema": ('"enum": ["buy", "sell"]', '"enum": ["buy", "rent"]'),
    "price": ("claude-haiku-5-5", "claude-of-tomorrow"),
    "three lines": ("+++\nYou", "You"),
    "max_tokens": ("max_tokens = 400", "max_tokens = 9000"),
    "prompt file": ("schema = '''", "schema = '''" + "[" * 50_000),
    "60000": ("You say", "x" * 60_000),
}


async def test_text_that_cannot_take_the_shipped_ones_place_is_refused_and_says_why(caches: Caches):
    await caches.start()
    at = await desk(caches)
    for limit, changed in UNFIT.items():
        assert changed[0] in PROMPT
        with pytest.raises(errors.InvalidField, match=limit) as caught:
            await at.put(PROMPT.replace(*changed, 1))
        assert caught.value.metadata["field"] == "text"
    assert (await at.get()).prompt.latest_version == 1


async def test_check_alone_stores_nothing(caches: Caches):
    await caches.start()
    at = await desk(caches)
    assert (await at.put(validate_only=True)).version == 0
    assert (await at.get()).prompt.latest_version == 1


async def test_operator_does_all_of_it_at_a_terminal(
    caches: Caches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    await caches.start()
    path = token_path(tmp_path, "operator")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("secret-of-operator")
    path.chmod(0o600)
    monkeypatch.setenv("PORCHLIGHT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PORCHLIGHT_CACHE_TARGET", f"127.0.0.1:{caches.ports[0]}")

    async def porchlight(*words: str) -> str:
        code = await asyncio.to_thread(main, words)
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    monkeypatch.setattr(prompt_desk, "PAGE", 1)
    mine, other = tmp_path / "mine.md", tmp_path / "other.md"
    mine.write_text(MINE)
    other.write_text(MINE.replace("lead.extract", "buyer.extract"))
    assert "buyer.extract@1 is stored" in await porchlight("prompts", "put", str(other), "--reason", "new")
    assert "could be stored" in await porchlight("prompts", "put", str(mine), "--check", "--reason", "try")
    put = await porchlight("prompts", "put", str(mine), "--reason", "better")
    assert "lead.extract@2 is stored; `porchlight prompts use lead.extract 2 --reason ...`" in put
    assert "production 2, shipped 1" in await porchlight("prompts", "use", "lead.extract", "2", "--reason", "better")
    assert "read closely" in await porchlight("prompts", "show", "lead.extract")
    assert "+You read closely" in await porchlight("prompts", "diff", "lead.extract", "1", "2")
    assert "production 1" in await porchlight("prompts", "rollback", "lead.extract", "--reason", "worse")
    assert "lead.extract   2 " in await porchlight("prompts", "list")
    assert "no version 9" in await porchlight("prompts", "use", "lead.extract", "9", "--reason", "x")
    assert "no answers in that time" in await porchlight("cache", "stats")
    assert "nothing was spent in that time" in await porchlight("cache", "spend")
    assert "no answer" in await porchlight("cache", "explain", "a" * 32)


async def test_bad_wishes_are_told_apart(caches: Caches):
    await caches.start()
    at = await desk(caches)
    old = (await at.get()).prompt.etag
    await at.put()
    with pytest.raises(errors.PromptChanged) as changed:
        await at.point(2, etag=old)
    assert changed.value.metadata == {
        "prompt": "lead.extract",
        "etag": old,
        "current_etag": (await at.get()).prompt.etag,
    }
    for wish in (at.point(3), at.get(version=3), at.get(label="canary"), at.roll_back()):
        with pytest.raises(errors.PromptNotFound):
            await wish
    with pytest.raises(errors.InvalidField) as shipped:
        await at.point(2, label="shipped")
    assert shipped.value.metadata["field"] == "label"
    for caller in ("lead", "gateway"):
        with pytest.raises(errors.MethodNotAllowed):
            await (await desk(caches, caller=caller)).point(2, etag="x")
