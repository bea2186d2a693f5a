"""Which prompts may take the place of the one that came with the release."""

from dataclasses import replace
from typing import Any

import pytest

from kit.prompt_file import parse
from services.cache.prompt_rules import UnfitPrompt, check_fit

SHIPPED = parse("""+++
name = "lead.extract"
model = "claude-haiku-5-5"
max_tokens = 400
scope = "contact"
schema = '{"type": "object", "additionalProperties": false, "required": ["a", "b"], "properties": {"a": {"anyOf": [{"type": "string", "enum": ["buy", "sell"], "description": "Which side."}, {"type": "null"}]}, "b": {"type": "array", "items": {"type": "integer"}}, "description": {"type": "string"}}}'
+++
SYSTEM
+++
<messages>{messages}</messages><known>{known}</known>
""")


def schema(**changed: Any) -> dict[str, Any]:
    assert SHIPPED.schema is not None
    return {**SHIPPED.schema, **changed}


def with_a(part: Any) -> dict[str, Any]:
    return schema(properties={**schema()["properties"], "a": part})


@pytest.mark.parametrize(
    "prompt",
    [
        SHIPPED,
        replace(SHIPPED, system="You read otherwise.", max_tokens=800, effort="high", model="claude-sonnet-5-5"),
        replace(SHIPPED, user="<known>{known}</known> and <messages>{messages}</messages>"),
        replace(SHIPPED, schema=schema(required=["b", "a"], description="What was said.", title="Said")),
        replace(
            SHIPPED,
            schema=with_a(
                {"anyOf": [{"type": "string", "enum": ["buy", "sell"], "description": "The side."}, {"type": "null"}]}
            ),
        ),
    ],
)
def test_what_the_model_is_told_may_change(prompt: Any):
    check_fit(prompt, SHIPPED)


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        (replace(SHIPPED, user="<messages>{messages}</messages>"), "placeholders"),
        (replace(SHIPPED, user=SHIPPED.user + "<more>{more}</more>"), "placeholders"),
        (replace(SHIPPED, scope="tenant"), "scope"),
        (replace(SHIPPED, schema=None), "schema"),
        (replace(SHIPPED, schema=schema(required=["a"])), "schema"),
        (replace(SHIPPED, schema=with_a({"type": "string", "enum": ["buy", "sell"]})), "schema"),
        (
            replace(SHIPPED, schema=with_a({"anyOf": [{"type": "string", "enum": ["buy", "rent"]}, {"type": "null"}]})),
            "schema",
        ),
        (replace(SHIPPED, schema=schema(properties={"a": schema()["properties"]["a"]}, required=["a"])), "schema"),
        (
            replace(
                SHIPPED,
                schema=schema(properties={n: p for n, p in schema()["properties"].items() if n != "description"}),
            ),
            "schema",
        ),
        (replace(SHIPPED, model="claude-of-tomorrow"), "price"),
    ],
)
def test_what_the_code_relies_on_may_not(prompt: Any, why: str):
    with pytest.raises(UnfitPrompt, match=why):
        check_fit(prompt, SHIPPED)


def test_scope_may_become_narrower():
    check_fit(replace(SHIPPED, scope="contact"), replace(SHIPPED, scope="tenant"))


def test_new_name_is_free_but_for_its_model():
    check_fit(replace(SHIPPED, name="lead.other", scope="tenant", schema=None), None)
    with pytest.raises(UnfitPrompt):
        check_fit(replace(SHIPPED, name="lead.other", model="claude-of-tomorrow"), None)
