from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.prompt_file import BadPromptFile, fill, parse, render

GOOD = """+++
name = "lead.extract"
model = "claude-haiku-5-5"
max_tokens = 400
effort = "low"
scope = "contact"
schema = '{"type": "object", "properties": {}, "additionalProperties": false}'
+++
Say what they want, as {"intent": ...}.
+++
<facts>{facts}</facts>
<messages>
{messages}
</messages>
"""


def changed(before: str, after: str) -> str:
    assert before in GOOD
    return GOOD.replace(before, after)


def test_file_is_read_into_its_three_parts():
    prompt = parse(GOOD)
    assert (prompt.name, prompt.model, prompt.max_tokens) == ("lead.extract", "claude-haiku-5-5", 400)
    assert (prompt.effort, prompt.scope) == ("low", "contact")
    assert prompt.system == 'Say what they want, as {"intent": ...}.'
    assert prompt.variables == {"facts", "messages"}
    assert prompt.user.startswith("<facts>") and prompt.user.endswith("</messages>")


def test_schema_may_be_a_toml_table_and_digests_do_not_care():
    table = changed(
        'schema = \'{"type": "object", "properties": {}, "additionalProperties": false}\'',
        '[schema]\ntype = "object"\nadditionalProperties = false\n[schema.properties]',
    )
    assert parse(table).digest == parse(GOOD).digest


def test_effort_and_schema_may_be_left_out():
    prompt = parse("\n".join(line for line in GOOD.split("\n") if not line.startswith(("effort", "schema"))))
    assert (prompt.effort, prompt.schema) == ("", None)


def test_any_change_of_content_is_another_digest():
    digests = [
        parse(text).digest
        for text in (
            GOOD,
            changed("400", "401"),
            changed('"low"', '"high"'),
            changed('"contact"', '"tenant"'),
            changed("Say", "Tell"),
            changed("<facts>", "<facts> "),
            changed("lead.extract", "lead.extract2"),
        )
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("+++\nname", "name", "exactly three lines"),
        ("</messages>\n", "</messages>\n+++\n", "exactly three lines"),
        ("max_tokens = 400", "max_tokens = ", "no TOML"),
        ("effort", "temperature", "unknown key 'temperature'"),
        ("lead.extract", "Lead Extract", "dotted lower case"),
        ("400", "0", "max_tokens"),
        ("400", "true", "max_tokens"),
        ('"low"', '"huge"', "effort"),
        ('"contact"', '"everybody"', "scope"),
        ('scope = "contact"\n', "", "scope"),
        ("Say what", "Say {messages} what", "placeholder"),
        ("<facts>{facts}</facts>", "{facts}", "facts stands in no tag"),
        ("</messages>", "</message>", "messages stands in no tag"),
        ('"type": "object", ', "", "no JSON schema of an object"),
        ("false}", "true}", "additionalProperties"),
        ('"properties": {}', '"properties": {"a": {}}', "allows anything"),
        ('"properties": {}', '"properties": {"a": {"type": "string", "maxLength": 3}}', "maxLength"),
        ('"properties": {}', '"properties": {"a": {"type": "array"}}', "schema.a.items"),
        ('"properties": {}', '"properties": {"a": {"type": "text"}}', "unknown type"),
        ('"properties": {}', '"properties": {}, "required": ["b"]', "requires 'b'"),
        ('"properties": {}, ', "", "without properties"),
    ],
)
def test_file_that_is_not_of_the_form_is_refused_with_the_reason(before, after, says):
    with pytest.raises(BadPromptFile, match=says):
        parse(changed(before, after))


@given(st.text())
def test_words_cannot_close_the_tag_they_stand_in(words):
    filled = fill("<messages>{messages}</messages>", {"messages": words})
    assert filled.count("</messages>") == 1
    assert filled.endswith("</messages>")


def test_words_that_look_like_a_placeholder_stay_words():
    assert fill("<a>{a}</a><b>{b}</b>", {"a": "{b}", "b": "secret"}) == "<a>{b}</a><b>secret</b>"


def test_every_prompt_of_the_house_is_of_the_form_and_has_a_price():
    from pathlib import Path

    from migrations.prompts import read_prompt_files
    from services.cache.pricing import PRICES

    root = Path(__file__).parent.parent.parent
    for prompt in read_prompt_files(root):
        assert prompt.model in PRICES, prompt.name


_LINE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30)
_TEXTS = st.lists(_LINE, min_size=1, max_size=4).map("\n".join).map(str.strip)


@given(system=_TEXTS, told=_TEXTS, effort=st.sampled_from(["", "low"]))
def test_prompt_that_is_written_as_a_file_is_read_as_the_same_prompt(system: str, told: str, effort: str):
    try:
        prompt = replace(parse(GOOD), system=system, effort=effort)
        prompt = replace(prompt, schema={**(prompt.schema or {}), "description": told + "\x7f'''\u2028"})
        read = parse(render(prompt))
    except BadPromptFile:
        assert "+++" in system or "{" in system or not system
        return
    assert (read, read.digest) == (prompt, prompt.digest)
