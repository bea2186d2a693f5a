"""The Handoff Safety Bench: every probe can fail, and says when there is nothing to probe."""

import pytest

from bench.handoff_safety import probes
from bench.handoff_safety.probes import Adapter, Answer, NotOffered, Outcome, run_all


class Careless(Adapter):
    """Does whatever anybody asks, as often as they ask."""

    def __init__(self) -> None:
        self._owner = "lead"

    async def converse(self):
        self._owner = "lead"
        return "c_1"

    async def owner(self, conversation):
        return self._owner

    async def ask(self, conversation, source, target, *, request="", caller=""):
        self._owner = target
        return Answer(moved=True)

    async def ask_the_dead(self, conversation):
        self._owner = "buyer"

    async def share(self, conversations):
        return {each: ["one", "two"] for each in conversations}

    async def say_at_once(self, texts):
        return texts, 1

    async def play_ping_pong(self, conversation):
        return 10_007, "an error"

    async def copies(self, conversation, count):
        return count, count

    async def reuse(self, conversation):
        return Answer(moved=True)

    async def storm(self, count):
        return 3, 4, 4

    async def replay_ticket(self, count):
        return count

    async def forge_tickets(self):
        return {"altered": "bad_signature", "expired": ""}

    async def write_late(self, conversation):
        return True, "buyer"

    async def change_capsule(self):
        return ""

    async def explain(self):
        return 10, 9

    async def take_over(self, conversation):
        return False, "lead"

    async def freeze_store(self, seconds):
        return [0.1, 2.0], 5, 1

    async def change_policy(self):
        return 0.5, 1

    async def die_after_effect(self, people):
        return [1] * (people - 1) + [2]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "RECOVERY_SECONDS", 0.0)


async def test_careless_system_fails_every_probe() -> None:
    findings = await run_all(Careless())
    assert len(findings) == len(probes.PROBES)
    assert [each.probe for each in findings if each.outcome is not Outcome.FAILS] == []


async def test_what_a_system_has_not_is_not_offered_and_says_why() -> None:
    class Lacking(Careless):
        async def explain(self):
            raise NotOffered("keeps no reasons")

    (finding,) = await run_all(Lacking(), only="replay")
    assert (finding.outcome, finding.seen) == (Outcome.NOT_OFFERED, "keeps no reasons")


async def test_answer_that_comes_too_late_is_no_answer() -> None:
    class Slow(Careless):
        async def freeze_store(self, seconds):
            return [0.1, 9.0], 5, 0

    (finding,) = await run_all(Slow(), only="frozen")
    assert finding.outcome is Outcome.FAILS
