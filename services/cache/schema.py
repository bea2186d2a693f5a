"""Check a JSON value against the part of JSON Schema that prompts may use. Pure.

Claude is asked to keep to the schema and mostly does; what does not is never served.
`kit/prompt_file.py` refuses prompts whose schema uses any other keyword, and closes
every object and array, so nothing in an answer goes unchecked.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

# bool is an int in Python and not in JSON; the parser already refuses NaN, not an overflowing 1e999.
_IS: Final = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def conforms(value: Any, schema: Mapping[str, Any]) -> bool:
    """Say whether a value is of a schema.

    >>> conforms({"intent": "sell"}, {"type": "object", "properties": {"intent": {"enum": ["buy", "sell"]}},
    ...                               "required": ["intent"], "additionalProperties": False})
    True
    """
    if not is_of(value, schema.get("type")):
        return False
    if "enum" in schema and not any(_same(value, each) for each in schema["enum"]):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if "anyOf" in schema and not any(conforms(value, each) for each in schema["anyOf"]):
        return False
    if isinstance(value, dict) and "properties" in schema:
        return _object_conforms(value, schema)
    if isinstance(value, list) and "items" in schema:
        return all(conforms(each, schema["items"]) for each in value)
    return True


def is_of(value: Any, types: str | Sequence[str] | None) -> bool:
    """Say whether a value is of a schema's type, or of one of its types; without any it is."""
    if isinstance(types, str):
        return bool(_IS[types](value))
    return types is None or any(_IS[name](value) for name in types)


def _object_conforms(value: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    properties = schema["properties"]
    return (
        all(name in value for name in schema.get("required", ()))
        and all(name in properties for name in value)
        and all(conforms(each, properties[name]) for name, each in value.items())
    )


def _same(value: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)
