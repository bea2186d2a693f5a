"""First texts and what a good assistant does with them; a bot that always answers "ok" fails nearly all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from kit.bot.spec import BotSpec, Move, MoveKind, Reading, Value
from tests.support.bots import BOTS, a_situation


@dataclass(frozen=True, kw_only=True)
class Story:
    """One text to one bot: what must be learned, and the move."""

    bot: str
    text: str
    learned: Mapping[str, Value] = field(default_factory=dict)
    known: Mapping[str, Value] = field(default_factory=dict)
    asked: str = ""
    target: str = ""
    question: str = ""
    silent: bool = False


BUYING, SELLING = {"intent": "buy"}, {"intent": "sell"}
STORIES = (
    Story(bot="lead", text="I need to sell my house ASAP", learned=SELLING, target="seller"),
    Story(bot="lead", text="I want to buy a house", learned=BUYING, target="buyer"),
    Story(bot="lead", text="looking to purchase property", learned=BUYING, target="buyer"),
    Story(bot="lead", text="My rent is due Monday, looking to buy", learned=BUYING, target="buyer"),
    Story(bot="lead", text="I want to sell my condo and buy a house", learned={"intent": "both"}, target="seller"),
    Story(bot="lead", text="I do not want to sell, just curious", question="intent"),
    Story(bot="lead", text="I listened to your show", question="intent"),
    Story(bot="lead", text="hi", question="intent"),
    Story(bot="lead", text="leave me alone", silent=True),
    Story(bot="buyer", text="400-500k", known=BUYING, learned={"price_max_usd": 500_000}, question="area"),
    Story(bot="buyer", text="$1.2 million", known=BUYING, learned={"price_max_usd": 1_200_000}, question="area"),
    Story(bot="buyer", text="not pre-approved", known=BUYING, learned={"financing": "not_yet"}, question="area"),
    Story(bot="buyer", text="Ballard", known=BUYING, asked="area", learned={"area": "Ballard"}, question="price_max_usd"),
    Story(bot="buyer", text="I meant sell", known=BUYING, learned=SELLING, target="lead"),
    Story(bot="seller", text="great condition, no work needed", learned={"condition": "excellent"}, question="address_area"),
    Story(bot="seller", text="sorry, I meant I want to buy", known=SELLING, learned=BUYING, target="lead"),
    Story(bot="seller", text="I want to look at homes to buy now", known=SELLING, target="buyer"),
    Story(bot="seller", text="98107", known=SELLING, asked="address_area", learned={"address_area": "98107"}, question="area_sqft"),
)  # fmt: skip


def is_served(story: Story, spec: BotSpec) -> bool:
    situation = a_situation(spec, story.text, known=story.known, asked=story.asked)
    found = {fact.name: fact.value for fact in situation.learned}
    move = spec.decide(situation)
    moved = (move.target, move.question) == (story.target, story.question)
    return (
        moved and dict(story.learned).items() <= found.items() and (move.kind is MoveKind.STAY_SILENT) is story.silent
    )


@pytest.mark.parametrize("story", STORIES, ids=lambda story: f"{story.bot}: {story.text}")
def test_text_is_served(story):
    assert is_served(story, BOTS[story.bot])


def test_bot_that_always_answers_ok_serves_none_of_them():
    def ok(bot: str) -> BotSpec:
        return BotSpec(
            name=bot,
            slots=BOTS[bot].slots,
            read=lambda heard: Reading(),
            decide=lambda situation: Move(kind=MoveKind.ANSWER, reply="ok"),
        )

    assert [story.text for story in STORIES if is_served(story, ok(story.bot))] == []
