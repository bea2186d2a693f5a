"""Masking once what many write gives what masking anew gives, and keeps nobody's words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.spans import Masked, OwnValue, SpanKind, mask
from services.cache.masks import Masks

TEXTS = (
    "I want to buy a house in Ballard",
    "yes",
    "Will you sell it, Maria?",
    "under 650k, call 206-555-0142",
    "  two \n spaces  ",
    "ＷＩＬＬ is here",
    "my place on 12 Maple St",
    "purchase a home, Al",
)
VALUES = (
    "Maria Gomez",
    "Will",
    "Al",
    "Home",
    "12 Maple St",
    "206-555-0142",
    "+1 (206) 555-0142",
    "a@b.co",
    "-",
    "Maple",
)
OWN = st.builds(OwnValue, kind=st.sampled_from((SpanKind.NAME, SpanKind.ADDRESS)), value=st.sampled_from(VALUES))


@given(st.lists(st.tuples(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=2), st.lists(OWN, max_size=2))))
def test_what_is_known_again_is_what_masking_anew_gives(said):
    masks = Masks()
    for texts, own in said:
        assert masks.mask(texts, own) == mask(texts, own)


def test_same_words_of_another_contact_are_masked_once(monkeypatch: pytest.MonkeyPatch):
    masked: list[Any] = []

    def noted(*said: Any) -> Masked:
        masked.append(said)
        return mask(*said)

    monkeypatch.setattr("services.cache.masks.mask", noted)
    masks = Masks()
    for name in ("Maria Gomez", "Ben Ng"):
        masks.mask(["I want to buy"], [OwnValue(kind=SpanKind.NAME, value=name)])
    assert len(masked) == 1
    masks.mask(["I want to buy"], [OwnValue(kind=SpanKind.NAME, value="Want")])
    assert len(masked) == 2


@pytest.mark.parametrize("said", ["Zacherl here, sell", "call 206-555-0142", "zacherl@example.com please"])
def test_nothing_of_a_person_stays(said: str):
    masks = Masks()
    masks.mask([said], [])
    kept = repr(masks._known.get(masks._name([said]))).lower()
    assert not any(part in kept for part in ("zacherl", "5550142", "555-0142"))
