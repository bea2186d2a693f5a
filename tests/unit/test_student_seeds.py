"""The labels that ship: that they mean what the prompts mean, and what a student without labels of its own does with them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cache_seed
from bench.homes import FILES
from migrations.prompts import read_prompt_files
from services.cache.canonical import State
from services.cache.labels import UPSTREAM, Label, MemoryLabelStore
from services.cache.prompts import make_prompt
from services.cache.schema import conforms
from services.cache.student_label import render
from services.cache.student_model import Example, Learned, learn
from services.cache.student_seeds import FOLDER, BadSeed, beside, digest, read, seeds
from services.cache.student_taught import FRESH_LEAST, TaughtStudent

ROOT = Path(__file__).parents[2]
PROMPTS = {each.name: make_prompt(1, each.body) for each in read_prompt_files(ROOT)}
SEEDED = sorted({".".join(path.name.split(".")[:2]) for path in FOLDER.glob("*.txt")})
INTENTS = {"type": "object", "properties": {"intent": {"anyOf": [{"type": "null"}, {
    "properties": {"value": {"enum": ["buy", "sell"]}, "words": {}, "confidence": {}}}]}}}  # fmt: skip
VERBS = {"buy": ("buy", "find", "get", "look for", "own"), "sell": ("sell", "list", "put up", "part with", "offer")}
OPENINGS = ("want to", "need to", "ready to", "time to", "plan to", "going to", "have to", "hope to")
THINGS = ("house", "condo", "townhouse", "place", "duplex", "something")
START = State(asked="intent")


def few(weight: float = 1.0) -> list[Example]:
    """What would ship for a prompt with one slot."""
    return [
        Example(
            state=START,
            masked=(said := f"{opening} {verb} {thing}"),
            label=json.dumps({"intent": {"confidence": 0.9, "value": side, "words": ""}}, separators=(",", ":")),
            group=said,
            weight=weight,
        )
        for opening in OPENINGS
        for side, verbs in VERBS.items()
        for verb in verbs
        for thing in THINGS
    ]


async def here(examples: Sequence[Example], *, target: float, quality: bool) -> Learned | None:
    return learn(examples, target=target)


@pytest.fixture
def store() -> MemoryLabelStore:
    return MemoryLabelStore()


def cold(store: MemoryLabelStore, shipped: Sequence[Example]) -> TaughtStudent:
    return TaughtStudent(store, train=here, seeds=lambda version: shipped if version == "lead.extract@1" else ())


async def guess(student: TaughtStudent, said: str, *, version: str = "lead.extract@1", tenant: str = "loc_1"):
    return await student.guess(version, INTENTS, START, said, tenant_id=tenant)


async def own(store: MemoryLabelStore, count: int, *, side: str) -> None:
    for each in few()[:count]:
        await store.record(
            Label(
                tenant_id="loc_1", prompt="lead.extract", prompt_version=1, schema_hash="0" * 32,
                state={"asked": "intent", "known": {}, "opening": False}, masked=each.masked,
                analysis={"intent": {"value": side, "words": each.masked, "confidence": 0.9}},
                source=UPSTREAM, key_id=f"key of {each.masked}",
            )
        )  # fmt: skip


@pytest.mark.parametrize("name", SEEDED)
def test_every_way_says_what_the_prompt_as_it_is_now_can_say_of_it(name):
    prompt = PROMPTS[name]
    found = seeds(prompt)
    assert found, f"read {FOLDER / name} beside the prompt again, and write into its files: prompt {digest(prompt)}"
    assert len({each.masked for each in found}) > 500
    for each in found:
        said = render(each.label, each.masked) if each.label else None
        assert not each.label or (said and conforms(json.loads(said), prompt.schema)), each


def test_the_bots_are_seeded_in_both_languages():
    names = {f"{bot}.extract.{language}.txt" for bot in ("lead", "buyer", "seller") for language in ("en", "es")}
    assert {path.name for path in FOLDER.iterdir()} == names


@pytest.mark.parametrize("change", [{"system": "Say whether they rent."}, {"schema_hash": "0" * 32}, {"name": "x.y"}])
def test_of_a_prompt_that_says_something_else_nothing_ships(change):
    assert seeds(replace(PROMPTS["lead.extract"], **change)) == []


def test_of_a_prompt_that_nobody_knows_nothing_ships():
    assert seeds(None) == []


def test_a_way_stands_in_its_states_and_for_one_request():
    text = "@ -/- area/buy+ | timeline/sell intent/-\n= intent=~buy\nmaybe buying"
    found = read(text, PROMPTS["lead.extract"].schema)
    states = [(each.state.asked, each.state.known.get("intent"), each.state.opening) for each in found]
    assert states == [("", None, False), ("area", "buy", True), ("intent", None, False)]
    assert sum(each.weight for each in found) == 1
    assert json.loads(found[0].label)["intent"] == {"value": "buy", "words": "", "confidence": 0.6}


@pytest.mark.parametrize(
    "line", ["= intent=rent\nhello", "= area=PLACE_1\nanywhere", "= intent=buy area=PLACE_2\nin Kent"]
)
def test_what_a_text_cannot_say_is_refused(line):
    with pytest.raises(BadSeed, match="line 3"):
        read(f"@ -/-\n{line}", PROMPTS["lead.extract"].schema)


def test_labels_of_a_tenant_take_the_place_of_what_ships():
    shipped = few()
    mine = [replace(each, label="{}") for each in shipped[:120]]
    left = beside(shipped, mine)
    assert len(left) == len(shipped) - 120
    assert {round(each.weight, 2) for each in left} == {round(1 - 120 / len(shipped), 2)}
    assert beside(shipped, shipped) == []


async def test_a_tenant_without_labels_is_answered_from_what_ships_and_every_answer_is_checked(store):
    student = cold(store, few())
    assert await guess(student, "want to buy condo") is None
    await student.learn()
    found = await guess(student, "going to buy condo or townhouse")
    assert json.loads(found.analysis)["intent"]["value"] == "buy"
    assert (found.version, found.stands_for) == ("light-seed", 1)


async def test_what_is_only_like_it_or_asked_elsewhere_is_left_to_claude(store):
    student = cold(store, few())
    await guess(student, "hello")
    await student.learn()
    assert await guess(student, "what is the weather like") is None
    assert (
        await student.guess("lead.extract@1", INTENTS, State(asked="area"), "want to buy condo", tenant_id="loc_1")
        is None
    )


async def test_another_version_of_the_prompt_begins_with_nothing(store):
    student = cold(store, few())
    await guess(student, "hello", version="lead.extract@2")
    await student.learn()
    assert await guess(student, "want to buy condo", version="lead.extract@2") is None


async def test_who_ships_wrong_answers_keeps_quiet_until_those_who_were_asked_taught_it(store):
    student = cold(store, few())
    await guess(student, "hello")
    await student.learn()
    for _ in range(2):
        found = await guess(student, "want to buy condo")
        student.audited("lead.extract@1", found, tenant_id="loc_1", wrong=True)
    await student.learn()
    assert await guess(student, "want to buy condo") is None
    await own(store, FRESH_LEAST, side="sell")
    await student.learn()
    found = await guess(student, "want to buy condo")
    assert found is None or json.loads(found.analysis)["intent"]["value"] == "sell"


def test_a_value_that_no_label_was_ever_silent_of_is_not_left_out():
    """Three bedrooms in Ballard are no answer that says Ballard alone."""
    area, nothing = (json.dumps({"area": value}) for value in ("PLACE_1", None))
    told = [
        Example(state=START, masked=said, label=label, group=said)
        for n in range(40)
        for label, said in (
            *((area, f"{word} PLACE_1 number{n}") for word in ("in", "near", "by", "around")),
            *((nothing, f"{word} day number{n}") for word in ("nice", "good", "bad", "some")),
        )
    ]
    student = learn(told, target=0.01)
    assert student.answer(START, "near PLACE_1").label == area
    assert student.answer(START, "near PLACE_1, COUNT_1") is None


def test_a_label_that_names_what_the_text_does_not_hold_is_none_and_nothing_takes_its_share():
    labels = (json.dumps({"area": "PLACE_1"}), json.dumps({"area": None}))
    told = [
        Example(state=START, masked=said, label=label, group=said)
        for n in range(60)
        for label, said in ((labels[0], f"maybe PLACE_1 number{n}"), (labels[1], f"nothing number{n}"))
    ]
    found = learn(told, target=0.01).score(START, "maybe")
    assert found.label == labels[1] and found.score < 0.6


def test_what_no_label_can_say_is_never_an_answer():
    told = few() + [
        Example(state=START, masked=f"{opening} {noun}", label="", group=f"{opening} {noun}")
        for opening in OPENINGS
        for noun in ("sunnyvale", "downtown", "eastside", "portland", "oakland", "concord", "fresno", "vallejo")
    ]
    assert learn(told, target=0.01).answer(START, "want to sunnyvale") is None


@pytest.mark.parametrize("name", SEEDED)
def test_the_bench_asks_what_people_say_in_the_conversations(name):
    said = {each.masked for each in cache_seed.of_the_conversations(PROMPTS[name])}
    assert len(said) > 20


def test_of_a_property_dialogue_the_bench_asks_what_our_slots_hold_or_nothing_does(tmp_path):
    def turn(speaker: str, text: str, *actions: tuple[str, str]) -> dict[str, object]:
        acts = [{"act": act, "slot": slot} for act, slot in actions]
        return {"speaker": speaker, "utterance": text, "homes": {"actions": acts}}

    turns = [
        turn("USER", "I need a flat to rent", ("INFORM_INTENT", "intent")),
        turn("SYSTEM", "Where?", ("REQUEST", "area")),
        turn("USER", "in Kent", ("INFORM", "area")),
        turn("SYSTEM", "How many bedrooms?", ("REQUEST", "number_of_beds")),
        turn("USER", "just one", ("INFORM", "number_of_beds")),
        turn("SYSTEM", "How about this one?", ("OFFER", "property_name")),
        turn("USER", "sounds nice", ("SELECT", "")),
    ]
    for name in FILES:
        (tmp_path / name).write_text(json.dumps({"turns": turns}) + "\n" if name == FILES[0] else "")
    found = cache_seed.of_the_dialogues(PROMPTS["buyer.extract"], tmp_path)
    assert [(each.state.asked, each.masked) for each in found] == [
        ("area", "in PLACE_1"),
        ("bedrooms_min", "just one"),
        ("", "sounds nice"),
    ]
    labels = [json.loads(each.label) if each.label else None for each in found]
    assert (labels[0]["area"]["value"], labels[1]) == ("PLACE_1", None)
    assert set(labels[2].values()) == {None}
