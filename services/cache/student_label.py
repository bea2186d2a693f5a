"""Make an analysis something that many texts can share, and back into one of a certain text. Pure.

Two people who say the same in other words get the same analysis but for the words it
quotes and how sure the model felt. A label is the analysis without those: no quote,
and only whether it was hedged. What names or quotes a thing that only this text says
is no label; a student could not give it to anybody else.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from kit.spans import REF

HEDGED_BELOW: Final = 0.7
"""A confidence below means that the person hedged (the prompts say so)."""
HEDGED: Final = 0.6
SURE: Final = 0.9
WORDS: Final = "words"
"""The member of a finding that quotes."""


class _OneOff(Exception):
    """Holds something that no other text says."""


def label_of(analysis: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """Return the label of an analysis; None when no other text could share it.

    >>> schema = {"properties": {"intent": {"anyOf": [{"properties": {"value": {"enum": ["buy"]}}}, {"type": "null"}]}}}
    >>> label_of({"intent": {"value": "buy", "words": "want to buy", "confidence": 0.95}}, schema)
    '{"intent":{"confidence":0.9,"value":"buy","words":""}}'
    """
    try:
        return orjson.dumps(_shared(analysis, schema), option=orjson.OPT_SORT_KEYS).decode()
    except _OneOff:
        return None


def render(label: str, masked: str) -> str | None:
    """Return the analysis of a text that a label makes; None when it names what the text does not hold.

    A finding quotes the reference that it names, else the whole text: what exactly in
    it says so, a student cannot tell.

    >>> render('{"intent":{"confidence":0.9,"value":"buy","words":""}}', "want to buy")
    '{"intent":{"confidence":0.9,"value":"buy","words":"want to buy"}}'
    >>> render('{"area":{"confidence":0.9,"value":"PLACE_1","words":""}}', "want to buy") is None
    True
    """
    try:
        return orjson.dumps(_filled(orjson.loads(label), masked, set(REF.findall(masked)))).decode()
    except _OneOff:
        return None


def _shared(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        parts = _properties(value, schema)
        return {name: "" if name == WORDS else _shared(each, parts.get(name, {})) for name, each in value.items()}
    if isinstance(value, list):
        return [_shared(each, schema.get("items", {})) for each in value]
    if value is None or isinstance(value, bool) or "enum" in schema or "const" in schema:
        return value
    if isinstance(value, int | float):
        return HEDGED if value < HEDGED_BELOW else SURE
    if not REF.fullmatch(value):
        raise _OneOff
    return value


def _properties(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    options = [schema, *schema.get("anyOf", ())]
    return next((each["properties"] for each in options if value.keys() <= each.get("properties", {}).keys()), {})


def _filled(value: Any, masked: str, refs: set[str]) -> Any:
    if isinstance(value, list):
        return [_filled(each, masked, refs) for each in value]
    if isinstance(value, dict):
        filled = {name: _filled(each, masked, refs) for name, each in value.items()}
        if filled.get(WORDS) == "":
            named = filled.get("value")
            filled[WORDS] = named if isinstance(named, str) and named in refs else masked
        return filled
    if isinstance(value, str) and REF.fullmatch(value) and value not in refs:
        raise _OneOff
    return value
