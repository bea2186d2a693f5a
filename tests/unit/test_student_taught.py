"""The student that learns from labels: when it learns, what of, and what becomes of it when it is wrong."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kit.errors import StoreUnavailable
from services.cache import metrics, student_taught
from services.cache.canonical import State
from services.cache.labels import AUDIT, FEEDBACK, UPSTREAM, Label, MemoryLabelStore
from services.cache.student_model import Example, Learned, learn
from services.cache.student_taught import FRESH_LEAST, TaughtStudent
from services.cache.student_train import TrainingFailed
from services.cache.student_watch import PROBATION

SCHEMA = {
    "properties": {
        "intent": {
            "anyOf": [
                {"properties": {"value": {"enum": ["buy", "sell"]}, "words": {}, "confidence": {}}},
                {"type": "null"},
            ]
        }
    }
}
BUY = "want to buy a house"
BUYS = ("buy", "purchase", "find", "get", "look for", "search for")
SELLS = ("sell", "list", "part with", "get rid of", "unload", "put up")
OPENINGS = ("want to", "looking to", "hoping to", "we would like to", "ready to", "thinking about how to", "need to")
THINGS = ("a house", "a home", "a condo", "property", "a townhouse", "something")
SAYINGS = [
    (side, f"{opening} {verb} {thing}")
    for opening in OPENINGS
    for thing in THINGS
    for side, verbs in (("buy", BUYS), ("sell", SELLS))
    for verb in verbs
]


def label(said: str, side: str, **changed: Any) -> Label:
    given: dict[str, Any] = {
        "tenant_id": "loc_1",
        "prompt": "lead.extract",
        "prompt_version": 1,
        "schema_hash": "0" * 32,
        "state": {"asked": "", "known": {}, "opening": False},
        "masked": said,
        "analysis": {"intent": {"value": side, "words": said, "confidence": 0.9}},
        "source": UPSTREAM,
        "key_id": f"key of {said}",
    }
    return Label(**(given | changed))


class Trainer:
    """Learns in this process, and remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[Sequence[Example]] = []
        self.broken = False

    async def __call__(self, examples: Sequence[Example], *, target: float, quality: bool) -> Learned | None:
        self.given.append(examples)
        if self.broken:
            raise TrainingFailed("ended with code 1")
        return learn(examples, target=target)


@pytest.fixture
def store() -> MemoryLabelStore:
    return MemoryLabelStore()


@pytest.fixture
def trainer() -> Trainer:
    return Trainer()


@pytest.fixture
def student(store: MemoryLabelStore, trainer: Trainer) -> TaughtStudent:
    return TaughtStudent(store, train=trainer)


async def guess(student: TaughtStudent, said: str = BUY, *, version: str = "lead.extract@1", tenant: str = "loc_1"):
    return await student.guess(version, SCHEMA, State(), said, tenant_id=tenant)


async def tell(store: MemoryLabelStore, sayings: Sequence[tuple[str, str]] = SAYINGS, **changed: Any) -> None:
    for side, said in sayings:
        await store.record(label(said, side, **changed))


async def taught(student: TaughtStudent, store: MemoryLabelStore) -> None:
    await tell(store)
    await guess(student)
    await student.learn()


async def test_what_claude_said_of_others_answers_the_next_one_who_says_the_like(student, store):
    assert await guess(student) is None
    await taught(student, store)
    found = await guess(student, "hoping to purchase property")
    assert json.loads(found.analysis)["intent"]["value"] == "buy"
    assert found.version == f"light-{len(SAYINGS)}" and found.stands_for == 1.0


async def test_another_tenant_and_another_version_of_the_prompt_learn_for_themselves(student, store):
    await taught(student, store)
    assert await guess(student, tenant="loc_2") is None
    assert await guess(student, version="lead.extract@2") is None
    await student.learn()
    assert await guess(student, tenant="loc_2") is None
    assert await guess(student, version="lead.extract@2") is None


async def test_it_learns_again_only_when_enough_is_new(student, store, trainer):
    await taught(student, store)
    await student.learn()
    assert len(trainer.given) == 1
    await tell(store, [("buy", f"{said} now") for _, said in SAYINGS[: FRESH_LEAST - 1]])
    await student.learn()
    assert len(trainer.given) == 1
    await tell(store, [("buy", f"{said} soon") for _, said in SAYINGS[:30]])
    await student.learn()
    assert len(trainer.given) == 2


async def test_an_audit_counts_for_the_answers_that_nobody_checked(student, store, trainer):
    await tell(store)
    await tell(store, [("buy", BUY)], source=AUDIT, stands_for=20.0)
    await guess(student)
    await student.learn()
    weights = {each.masked: each.weight for each in trainer.given[0]}
    assert (weights[BUY], weights["want to sell a house"]) == (20.0, 1.0)


async def test_what_a_person_objected_to_teaches_nothing_until_claude_was_asked_again(student, store, trainer):
    await tell(store)
    await tell(store, [("sell", BUY)], source=FEEDBACK, wrong=True)
    await guess(student)
    await student.learn()
    assert BUY not in {each.masked for each in trainer.given[0]}


async def test_who_was_found_wrong_twice_keeps_quiet_until_it_has_learned_anew(student, store):
    await taught(student, store)
    found = await guess(student)
    for wrong in (True, True):
        student.audited("lead.extract@1", found, tenant_id="loc_1", wrong=wrong)
    assert await guess(student) is None
    await tell(store, [(side, f"{said} now") for side, said in SAYINGS])
    await student.learn()
    assert await guess(student) is not None


async def test_guess_that_nobody_can_check_says_so_and_asks_for_no_audit(student, store):
    await taught(student, store)
    found = await student.guess("lead.extract@1", SCHEMA, State(), BUY, tenant_id="loc_1", loose=True)
    assert (found.loose, found.stands_for) == (True, 0.0)
    assert not (await guess(student)).loose


async def test_audits_of_an_earlier_version_say_nothing_of_this_one(student, store):
    await taught(student, store)
    earlier = replace(await guess(student), version="light-1")
    for _ in range(3):
        student.audited("lead.extract@1", earlier, tenant_id="loc_1", wrong=True)
    assert await guess(student) is not None


async def test_an_answer_that_it_never_heard_of_makes_every_guess_checked(student, store):
    await taught(student, store)
    found = await guess(student)
    for _ in range(PROBATION):
        student.audited("lead.extract@1", found, tenant_id="loc_1", wrong=False)
    assert (await guess(student)).stands_for == 0.0
    for _ in range(10):
        student.missed("lead.extract@1", {"intent": None}, tenant_id="loc_1")
    assert (await guess(student)).stands_for == 1.0


async def test_labels_that_do_not_answer_and_a_teacher_that_breaks_leave_it_as_it_was(student, store, trainer):
    await taught(student, store)
    before = await guess(student)
    store.lost = True
    with pytest.raises(StoreUnavailable):
        await student.learn()
    store.lost, trainer.broken = False, True
    await tell(store, [(side, f"{said} now") for side, said in SAYINGS])
    await student.learn()
    assert await guess(student) == before
    trainer.broken = False
    await student.learn()
    assert (await guess(student)).version != before.version


async def test_a_teacher_that_goes_on_breaking_is_asked_ever_more_seldom_and_as_often_as_ever_once_it_teaches(
    student, store, trainer
):
    trainer.broken = True
    await tell(store)
    await guess(student)
    asked = []
    for _ in range(16):
        await student.learn()
        asked.append(len(trainer.given))
    assert asked == [1, 2, 2, 3, 3, 3, 3, *[4] * 8, 5]
    trainer.broken = False
    for _ in range(16):
        await student.learn()
    assert len(trainer.given) == 6 and await guess(student) is not None
    trainer.broken = True
    await tell(store, [(side, f"{said} now") for side, said in SAYINGS])
    for _ in range(2):
        await student.learn()
    assert len(trainer.given) == 8


async def test_every_tenants_threshold_is_told_as_long_as_its_student_is_kept(store, trainer, monkeypatch):
    def told() -> list[float | None]:
        name = "porchlight_cache_student_threshold"
        of = [{"tenant_id": tenant, "prompt_version": "lead.extract@1"} for tenant in ("loc_1", "loc_2")]
        return [REGISTRY.get_sample_value(name, each) for each in of]

    mind = learn([Example(state=State(), masked=said, label=side, group=said) for side, said in SAYINGS], target=0.01)
    assert mind is not None

    async def train(examples: Sequence[Example], *, target: float, quality: bool) -> Learned | None:
        return replace(mind, threshold=0.9 if len(examples) == len(SAYINGS) else 0.8)

    monkeypatch.setattr(student_taught, "MOST_CLASSES", 2)
    metrics.STUDENT_THRESHOLD.clear()
    student = TaughtStudent(store, train=train)
    await tell(store)
    await tell(store, SAYINGS[1:], tenant_id="loc_2")
    for tenant in ("loc_1", "loc_2"):
        await guess(student, tenant=tenant)
    await student.learn()
    assert told() == [0.9, 0.8]
    await guess(student, tenant="loc_3")
    assert told() == [None, 0.8]
