"""How many SMS a text takes, and what no text may hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import sms


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("é" * 160, 1),
        ("[" * 80, 1),
        ("[" * 81, 2),
        # 76 pairs fill 152 of 153 septets; the 77th pair is not cut in two.
        ("[" * 153, 3),
        ("x" + "[" * 76 + "x" * 153, 2),
        ("ç" * 70, 1),
        ("ç" * 71, 2),
        ("ç" * 134, 2),
        ("ç" * 135, 3),
        ("\U0001f3e0" * 35, 1),
        ("\U0001f3e0" * 36, 2),
        # 33 pairs fill 66 of 67 units.
        ("\U0001f3e0" * 67, 3),
    ],
)
def test_text_takes_as_many_parts_as_the_standard_says(text, count):
    assert sms.segments(text) == count


@given(st.text(max_size=400), st.characters())
def test_longer_text_never_takes_fewer_parts(text, more):
    assert sms.segments(text + more) >= sms.segments(text)


@given(st.text(max_size=300))
def test_plain_text_is_ascii_without_controls_and_is_plain_already(text):
    plain = sms.plain(text)
    assert plain.isascii()
    assert plain.isprintable()
    assert sms.plain(plain) == plain
    assert sms.segments(plain) <= len(plain) * 2 // 153 + 1


@given(st.text(st.characters(codec="ascii", exclude_characters="`{}"), max_size=300))
def test_plain_text_keeps_what_is_plain(text):
    assert sms.plain(text) == " ".join("".join(each if each.isprintable() else " " for each in text).split())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x" * 612, ()),
        ("x" * 613, ("TOO_LONG",)),
        ("ç" * 269, ("TOO_LONG",)),
        ("hello\x07", ("CONTROL_CHARACTER",)),
        ("pay\u200bment", ("CONTROL_CHARACTER",)),
        ("\u202eevil", ("CONTROL_CHARACTER",)),
        ("Hi {first_name}!", ("PLACEHOLDER",)),
        ("Hi [Name]!", ("PLACEHOLDER",)),
        ("Hi <name>", ("PLACEHOLDER",)),
        ("Built in None.", ("PLACEHOLDER",)),
        ("Hi %s", ("PLACEHOLDER",)),
        ("None of them has a view, line one.\nLine two.", ("PLACEHOLDER",)),
        ("Under < 500k (or so), see you.", ()),
    ],
)
def test_defect_is_named(text, found):
    assert sms.defects(text) == found


def test_other_channels_are_not_counted_in_parts():
    assert sms.defects("x" * 5_000, channel="Email") == ()
