"""The vendor's own description of its interface, as far as it is needed to hold something against it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SPEC = Path(__file__).parents[2] / ".." / "shared" / "ghl" / "normalized"


def vendors(name: str) -> dict[str, Any]:
    """Return a description, such as `contacts`; skips the test when it is not here."""
    if not SPEC.is_dir():
        pytest.skip("../shared/ghl is not here")
    return json.loads((SPEC / f"{name}.json").read_text(encoding="utf-8"))


def misfits(value: Any, schema: Any, spec: Any, place: str) -> Iterator[str]:
    """Find where a value does not fit an OpenAPI schema: types, required names, choices."""
    while "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    for part in schema.get("allOf", ()):
        yield from misfits(value, part, spec, place)
    if "anyOf" in schema and all([*misfits(value, part, spec, place)] for part in schema["anyOf"]):
        yield f"{place}: fits none of the alternatives"
    if not _is_a(value, schema):
        yield f"{place}: {schema['type']} expected"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is not one of the choices"
    yield from _misfits_inside(value, schema, spec, place)


def _misfits_inside(value: Any, schema: Any, spec: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{place}.{name}: missing"
        for name, sub in schema.get("properties", {}).items():
            if name in value:
                yield from misfits(value[name], sub, spec, f"{place}.{name}")
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            yield from misfits(each, schema["items"], spec, f"{place}[{number}]")


def _is_a(value: Any, schema: Any) -> bool:
    kinds: dict[str, Any] = {
        "string": str,
        "boolean": bool,
        "array": list,
        "object": dict,
        "number": (int, float),
        "integer": int,
    }
    kind = schema.get("type")
    # A numeric field's value is an "object" there, with 100 for an example.
    if kind == "object" and isinstance(schema.get("example"), int):
        kind = "number"
    return kind not in kinds or isinstance(value, kinds[kind])
