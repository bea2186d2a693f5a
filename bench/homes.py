"""Property dialogues of the Schema-Guided Dialogue set, as a bot meets them: a turn, where the dialogue stands, the truth.

Source: Rastogi et al., "Towards Scalable Multi-domain Conversational Agents", AAAI 2020 (CC BY-SA 4.0); only dialogues
with the service Homes_1. The files are not part of this project (`DATA`).
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kit.spans import mask
from services.cache.canonical import State

DATA: Final = Path(__file__).parents[2] / "shared" / "data" / "sgd_homes"
FILES: Final = ("train.jsonl", "dev.jsonl")
ELSEWHERE: Final = "OTHER"
"""The intent of a turn that speaks of another service: nothing of it is in the student's world."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a person wrote, and what annotators say of it."""

    text: str
    masked: str
    state: State
    """What our side asked last, as its acts, and the intent of the last turn; both are known before the text is read."""
    intent: str
    acts: tuple[str, ...]
    """Types of acts; with the intent 24 different analyses."""
    filled: tuple[str, ...]
    """Slots that are filled after this turn."""
    outcome: str
    """What our side looked up before it answered: nothing, something, or in vain."""
    plan: str
    """What our side did next, as its acts; empty when nothing of Homes."""

    @property
    def label(self) -> str:
        """The analysis, in one word."""
        return "|".join((self.intent, *self.acts))


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """One person's."""

    dialogue_id: str
    turns: tuple[Turn, ...] = field(repr=False)
    """Those about homes."""
    elsewhere: tuple[Turn, ...] = field(repr=False)
    """Those about anything else."""


def read(folder: Path = DATA) -> list[Dialogue]:
    """Read all dialogues, in the order of the files."""
    return [_dialogue(json.loads(line)) for name in FILES for line in (folder / name).open(encoding="utf-8")]


def in_a_day(dialogues: Sequence[Dialogue], *, seed: int) -> list[tuple[float, Dialogue, Turn]]:
    """Let people arrive at random over 24 hours and write once a minute or so; returns seconds, oldest first."""
    rng = random.Random(seed)
    found = []
    for dialogue in dialogues:
        at = rng.uniform(0, 86_000)
        for turn in dialogue.turns:
            found.append((at, dialogue, turn))
            at += rng.expovariate(1 / 60)
    return sorted(found, key=lambda each: each[0])


def _dialogue(raw: Mapping[str, Any]) -> Dialogue:
    homes, elsewhere = [], []
    asked, intent = "", ""
    turns = raw["turns"]
    for number, said in enumerate(turns):
        frame = said.get("homes")
        if said["speaker"] == "SYSTEM":
            asked = _acts(frame["actions"]) if frame else ""
            continue
        state = State(asked=asked, known={"intent": intent} if intent else {})
        following = turns[number + 1].get("homes") if number + 1 < len(turns) else None
        turn = _turn(said["utterance"], state, frame, following)
        (homes if frame else elsewhere).append(turn)
        intent = frame["state"]["active_intent"] if frame else intent
    return Dialogue(dialogue_id=raw["dialogue_id"], turns=tuple(homes), elsewhere=tuple(elsewhere))


def _turn(text: str, state: State, frame: Mapping[str, Any] | None, following: Mapping[str, Any] | None) -> Turn:
    now = frame["state"] if frame else {"active_intent": ELSEWHERE, "slot_values": {}}
    return Turn(
        text=text,
        masked=mask((text,)).text,
        state=state,
        intent=now["active_intent"],
        acts=tuple(sorted({each["act"] for each in frame["actions"]})) if frame else (),
        filled=tuple(sorted(now["slot_values"])),
        outcome=_outcome(following),
        plan=_acts(following["actions"]) if following else "",
    )


def _acts(actions: Iterable[Mapping[str, Any]]) -> str:
    """Name acts, with the slot where it says what the act is about."""
    named = {each["act"] + (f":{each['slot']}" if each["act"] == "REQUEST" else "") for each in actions}
    return "+".join(sorted(named))


def _outcome(following: Mapping[str, Any] | None) -> str:
    if following is None or "service_call" not in following:
        return "nothing"
    return "something" if following.get("service_results") else "in vain"
