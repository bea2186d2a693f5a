"""The student behind the cache service: it answers from what Claude once said, and Claude is asked about that."""

import itertools
import json
from pathlib import Path

import pytest
from porchlight.cache.v1 import cache_service_pb2 as pb
from prometheus_client import REGISTRY

from kit.pg.pool import open_pool
from kit.prompt_file import parse
from kit.spans import mask
from services.cache import metrics, student_seeds, student_taught
from services.cache.labels import Label
from services.cache.labels_pg import PgLabelStore
from services.cache.prompts import make_prompt
from tests.support.analyses import PROMPT, analysis, analyze
from tests.support.caches import Caches
from tests.support.claude_script import ScriptedClaude, message
from tests.support.look import rows, until
from tests.support.stores import Database

WISHES = {
    "buy": ("find", "get", "look for", "search for", "own", "view"),
    "sell": ("sell", "list", "part with", "get rid of", "offer", "put up"),
}
OPENINGS = ("we might", "ready to", "thinking about how to", "need to", "time to", "my plan is to", "how do i")
THINGS = ("a house", "a condo", "some land", "a townhouse", "something", "two houses")


@pytest.fixture
def claude(claude: ScriptedClaude) -> ScriptedClaude:
    claude.body = message(analysis(words=""))
    return claude


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student_taught, "LOOK_SECONDS", 0.05)


@pytest.fixture
async def labelled(database: Database) -> None:
    """As if Claude had answered some hundred people."""
    pool = await open_pool(database.url("cache"), name="test")
    store = PgLabelStore(pool)
    for side, opening, thing in itertools.product(WISHES, OPENINGS, THINGS):
        for verb in WISHES[side]:
            masked = mask([f"{opening} {verb} {thing}"]).text
            label = Label(
                tenant_id="loc_1",
                prompt="lead.extract",
                prompt_version=1,
                schema_hash="0" * 32,
                state={"asked": "intent", "known": {}, "opening": False},
                masked=masked,
                analysis=json.loads(analysis(side, masked)),
                source="upstream",
                key_id=f"key of {masked}",
            )
            await store.record(label)
    await pool.close()


async def has_learned() -> bool:
    of = {"tenant_id": "loc_1", "prompt_version": "lead.extract@1"}
    return REGISTRY.get_sample_value("porchlight_cache_student_threshold", of) is not None


async def test_student_answers_what_claude_said_of_others_and_is_checked_and_stopped_when_it_is_wrong(
    caches: Caches, claude: ScriptedClaude, database: Database, labelled: None
):
    stub = await caches.start(anthropic_base_url=claude.url, student="light")
    metrics.STUDENT_THRESHOLD.clear()

    async def audits() -> list[int]:
        kept = await rows(
            database.admin_url, "select wrong_times from porchlight.analysis_label where source = 'audit'"
        )
        return sorted(row["wrong_times"] for row in kept)

    async def audited(expected: list[int]) -> None:
        async def seen() -> bool:
            return await audits() == expected

        await until(seen)

    assert (await analyze(stub, "what is new", asked="intent")).tier == pb.TIER_UPSTREAM
    await until(has_learned, seconds=100.0)  # a process of its own learns, and has to start first
    answer = await analyze(stub, "ready to find a house or a condo", asked="intent")
    assert answer.tier == pb.TIER_STUDENT
    assert json.loads(answer.analysis)["intent"]["value"] == "buy"
    assert answer.model.startswith("light-") and 0.9 < answer.score <= 1 and answer.cost_microusd == 0
    assert (await analyze(stub, "thinking about how to list a condo", asked="timeline")).tier == pb.TIER_UPSTREAM
    await audited([0])

    claude.body = message(analysis("sell", words=""))
    for opening, expected in (("we might get", [0, 1]), ("need to get", [0, 1, 1])):
        answer = await analyze(stub, f"{opening} a condo or a house", asked="intent")
        assert answer.tier == pb.TIER_STUDENT
        await audited(expected)
    assert (await analyze(stub, "time to get a condo or a house", asked="intent")).tier == pb.TIER_UPSTREAM


async def test_a_tenant_whom_nobody_wrote_to_yet_is_answered_from_the_labels_that_ship(
    caches: Caches, claude: ScriptedClaude, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    prompt = make_prompt(1, parse(PROMPT).body)
    ways = [
        line
        for side, verbs in WISHES.items()
        for line in (f"= intent={side}", *(" ".join(said) for said in itertools.product(OPENINGS, verbs, THINGS)))
    ]
    monkeypatch.setattr(student_seeds, "FOLDER", tmp_path)
    header = ["# Written for a test.", f"prompt {student_seeds.digest(prompt)}", "@ intent/-"]
    (tmp_path / "lead.extract.en.txt").write_text("\n".join([*header, *ways]))
    stub = await caches.start(anthropic_base_url=claude.url, student="light")

    metrics.STUDENT_THRESHOLD.clear()
    assert (await analyze(stub, "what is new", asked="intent")).tier == pb.TIER_UPSTREAM
    await until(has_learned, seconds=60.0)
    answer = await analyze(stub, "ready to find a house or a condo", asked="intent")
    assert (answer.tier, answer.model) == (pb.TIER_STUDENT, "light-seed")
    assert (await analyze(stub, "what is the weather like", asked="intent")).tier == pb.TIER_UPSTREAM


async def test_student_that_is_off_is_not_asked(caches: Caches, claude: ScriptedClaude, labelled: None):
    stub = await caches.start(anthropic_base_url=claude.url, student="off")
    answers = [await analyze(stub, f"ready to find a house {said}", asked="intent") for said in ("now", "soon")]
    assert [each.tier for each in answers] == [pb.TIER_UPSTREAM] * 2
