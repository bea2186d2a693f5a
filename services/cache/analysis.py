"""Hold an analysis to the masked text that it speaks of, and compare two of them. Pure.

What the schema leaves open is decided by the text: a reference must stand in it, any
other words must be quoted from it, and a number is a confidence. So an answer that
carries anything from elsewhere, another person's words above all, is a bad one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from kit.spans import REF, Masked, Place
from services.cache.schema import conforms, is_of


class NotOfTheText(Exception):
    """An analysis names or quotes what its text does not hold."""


def check(content: str, schema: Mapping[str, Any], masked: Masked) -> str:
    """Return an analysis as it may be served, its numbers rounded to two places.

    Args:
        content: JSON.
        schema: What it must be of.
        masked: What it is an analysis of.

    Raises:
        NotOfTheText: It is not of the schema, or holds a reference, words or a number
            that do not come from the text.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise NotOfTheText("NOT_JSON") from None
    if not conforms(value, schema):
        raise NotOfTheText("NOT_OF_THE_SCHEMA")
    refs = {span.ref for span in masked.spans}
    for part, is_choice in _parts(value, schema):
        if isinstance(part, str):
            if REF.fullmatch(part):
                if part not in refs:
                    raise NotOfTheText("UNKNOWN_REFERENCE")
            elif not is_choice and part and masked.quote(part) is None:
                raise NotOfTheText("NO_QUOTE")
        elif isinstance(part, int | float) and not isinstance(part, bool) and not 0 <= part <= 1:
            raise NotOfTheText("NO_CONFIDENCE")
    return orjson.dumps(_rounded(value)).decode()


def quotes(content: str, schema: Mapping[str, Any], masked: Masked) -> dict[str, Place]:
    """Return the words that a checked analysis quotes, and where the person wrote them."""
    found: dict[str, Place] = {}
    for part, is_choice in _parts(orjson.loads(content), schema):
        if isinstance(part, str) and not is_choice and part and (place := masked.quote(part)) is not None:
            found[part] = place
    return found


def substance(content: str, schema: Mapping[str, Any]) -> Any:
    """Return what an analysis says, without the words it quotes and how sure it is, to be compared."""
    return _substance(orjson.loads(content), schema)


def _option(value: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one of several schemas that a value is of, which is of one of them."""
    if "anyOf" not in schema:
        return schema
    fitting: list[Mapping[str, Any]] = [each for each in schema["anyOf"] if is_of(value, each.get("type"))]
    if len(fitting) == 1:
        return fitting[0]
    return next((each for each in fitting if conforms(value, each)), schema)


def _parts(value: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Return every single value but null, and whether the schema named it beforehand."""
    if value is None:  # most of an analysis
        return
    schema = _option(value, schema)
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _parts(each, schema["properties"][name])
    elif isinstance(value, list):
        for each in value:
            yield from _parts(each, schema["items"])
    else:
        yield value, "enum" in schema or "const" in schema


def _substance(value: Any, schema: Mapping[str, Any]) -> Any:
    schema = _option(value, schema)
    if isinstance(value, dict):
        parts = {name: _substance(each, schema["properties"][name]) for name, each in value.items()}
        return {name: each for name, each in parts.items() if each is not _OPEN}
    if isinstance(value, list):
        return [_substance(each, schema["items"]) for each in value]
    if "enum" in schema or "const" in schema or isinstance(value, bool):
        return value
    is_words = isinstance(value, str) and not REF.fullmatch(value)
    return _OPEN if is_words or isinstance(value, int | float) else value


_OPEN: Any = object()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 2) if isinstance(value, float) else value
