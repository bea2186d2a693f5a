"""Fills any JSON schema by reading the person's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox import claude_lexicon as lexicon
from sandbox.claude_choices import BOTH, UNKNOWN, choices
from sandbox.claude_lexicon import Reading
from sandbox.claude_masked import REF, Unmasked, unmask
from sandbox.claude_prompt import Prompt
from sandbox.claude_reply import reply_text
from sandbox.claude_topics import asked_about, intents, place_of, side_of, topic_of, yes_or_no

Schema = Mapping[str, Any]

WORDS = re.compile(r"(?:^|_)(?:words|quote|evidence|span_text|verbatim|exact_text|source_text)$")
SURE = re.compile(r"(?:^|_)(?:confidence|certainty|probability|score)$")
VALUE = re.compile(r"^(?:value|label|choice|answer)$|_value$|^value_")
REPLY = re.compile(r"^(?:reply|response|answer_text|message|text|sms|body|reply_text|draft)$")
SPAN = re.compile(r"\b[A-Z]{2,}_\d+\b")
SPAN_KINDS = (("MONEY|PRICE|AMOUNT", "price|budget|money"), ("DATE|TIME|DURATION", "time|date|when"), ("PLACE|AREA|LOC|ZIP|CITY", "area|place|location|zip"),
              ("COUNT|NUMBER|NUM", "bed|bath|count|number"), ("NAME|PERSON", "name"), ("PHONE", "phone"), ("ADDRESS|STREET", "address"))  # fmt: skip


@dataclass
class Filling:
    """What has been read so far while one schema is filled."""

    prompt: Prompt
    definitions: Mapping[str, Any]
    seed: int
    sides: set[str] = field(default_factory=set)
    readings: list[Reading] = field(default_factory=list)
    unmasked: Unmasked = field(default_factory=lambda: Unmasked(text="", refs={}))

    @property
    def text(self) -> str:
        return self.prompt.words


def fill(schema: Schema, prompt: Prompt, *, seed: int = 0) -> tuple[Any, list[Reading]]:
    """Fill a schema from a prompt; the result is valid against the subset of JSON Schema that the API takes."""
    unmasked = unmask(prompt.words)
    filling = Filling(
        prompt=replace(prompt, words=unmasked.text),
        definitions=schema.get("$defs", schema.get("definitions", {})),
        seed=seed,
        unmasked=unmasked,
    )
    for name, sub in _resolve(schema, filling).get("properties", {}).items():
        topic, side = topic_of(name), side_of(str(sub.get("description", "")))
        if topic and topic[0] == "area" and side:
            filling.sides.add(side)
    value, _ = _any(schema, "", filling)
    return value, filling.readings


def _resolve(schema: Schema, filling: Filling) -> Schema:
    merged = dict(schema)
    while "$ref" in merged:
        target = filling.definitions.get(str(merged.pop("$ref")).rsplit("/", 1)[-1], {})
        merged = {**target, **merged}
    for part in merged.pop("allOf", ()):
        merged = {**_resolve(part, filling), **merged}
    return merged


def _types(schema: Schema) -> list[str]:
    kinds = schema.get("type", ())
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _any(schema: Schema, name: str, filling: Filling) -> tuple[Any, Reading | None]:
    """Fill one schema. The reading is None when nothing in the text stood behind the value."""
    schema = _resolve(schema, filling)
    if "const" in schema:
        return schema["const"], None
    options = [
        _resolve({"description": schema.get("description", ""), **option}, filling)
        for option in schema.get("anyOf", schema.get("oneOf", ()))
    ]
    if options:
        return _first_found(options, name, filling)
    kinds = _types(schema)
    if "null" in kinds and len(kinds) > 1 and "enum" not in schema:
        rest = [{**schema, "type": kind} for kind in kinds if kind != "null"]
        return _first_found([*rest, {"type": "null"}], name, filling)
    if "enum" in schema:
        return _choice(schema, name, filling)
    if "object" in kinds or "properties" in schema:
        return _object(schema, name, filling)
    if "array" in kinds:
        return _array(schema, name, filling)
    return _leaf(schema, kinds[0] if kinds else "string", name, filling)


def _first_found(options: Sequence[Schema], name: str, filling: Filling) -> tuple[Any, Reading | None]:
    results = [(option, *_any(option, name, filling)) for option in options if _types(option) != ["null"]]
    for _, value, reading in results:
        if reading is not None:
            return value, reading
    if any(_types(option) == ["null"] for option in options):
        return None, None
    return (results[0][1], None) if results else (None, None)


def _choice(schema: Schema, name: str, filling: Filling) -> tuple[Any, Reading | None]:
    values = [value for value in schema["enum"] if value is not None]
    names = [str(value) for value in values]
    description = str(schema.get("description", ""))
    refs = [each for each in names if REF.fullmatch(each)]
    if refs and filling.unmasked.refs:
        reading = _masked(names, refs, name, description, filling)
    elif names and all(SPAN.fullmatch(each) for each in names):
        reading = _span(name, description, filling, names)
    else:
        reading = _chosen(names, name, description, filling)
    if reading is not None:
        filling.readings.append(reading)
        return values[names.index(str(reading.value))], reading
    if None in schema["enum"]:
        return None, None
    unknown = next((value for value in values if str(value).lower().replace("-", "_") in UNKNOWN), None)
    return (unknown if unknown is not None else values[-1]), None


def _masked(names: Sequence[str], refs: list[str], name: str, description: str, filling: Filling) -> Reading | None:
    """Choose between references, or between them and plain choices, by what the values say that stand in for them."""
    plain = [each for each in names if each not in refs]
    found = _chosen(plain, name, description, filling) if plain else _read(name, description, filling, boolean=False)
    if found is None:
        return None
    ref = filling.unmasked.ref_of(found.value, found.words, refs)
    if ref is None:
        return found if str(found.value) in plain else None
    return replace(found, value=ref)


def _chosen(names: Sequence[str], name: str, description: str, filling: Filling) -> Reading | None:
    found = choices(filling.text, names, name=name, description=description)
    both = next((each for each in names if each.lower().replace("-", "_") in BOTH), None)
    wants = intents(filling.text)
    if (
        both is not None
        and len(wants) < 2
        and (said := re.match(r"\W*(?:maybe )?(both|las dos|los dos)\b", filling.text, re.I))
    ):
        return Reading(value=both, words=said[1], sure=0.9)
    if both is not None and len(wants) == 2:
        return Reading(value=both, words=wants["sell"].words, sure=min(each.sure for each in wants.values()))
    if not found and {"true", "false"} != set(names):
        answered = _bare_answer(name, description, filling)
        found = choices(answered.words, names, name=name, description=description) if answered else []
        lowered = {each.lower(): each for each in names}
        if {"yes", "no"} <= set(lowered) and (answer := yes_or_no(filling.text, f"{name} {description}")):
            return Reading(value=lowered["yes" if answer.value else "no"], words=answer.words)
    if not found:
        return None
    # Widest first: who wants to sell and then buy is a seller first, since a home to sell decides what can be bought.
    best = max(found, key=lambda pair: (pair[1].sure, pair[0].lower().startswith("sell")))
    return Reading(value=best[0], words=best[1].words, sure=best[1].sure)


def _span(name: str, description: str, filling: Filling, allowed: Sequence[str] | None = None) -> Reading | None:
    wanted = f"{name} {description}".lower()
    kinds = "|".join(kind for kind, means in SPAN_KINDS if re.search(means, wanted)) or "[A-Z]+"
    for found in SPAN.finditer(filling.text):
        if re.match(rf"(?:{kinds})_", found.group()) and (allowed is None or found.group() in allowed):
            return Reading(value=found.group(), words=found.group())
    return None


def _bare_answer(name: str, description: str, filling: Filling) -> Reading | None:
    """Read a short reply by the question that it answers: "Capitol Hill" after "Where are you looking?"."""
    asked, wanted = asked_about(filling.prompt.question), topic_of(name, description)
    text = filling.text.strip(" .!")
    side, known = side_of(description), intents(filling.prompt.known)
    if wanted and wanted[0] == "area" and side and len(known) == 1 and side not in known:
        return None
    if not asked or not wanted or asked[0].split("_")[0] != wanted[0].split("_")[0] or not text or len(text) > 60:
        return None
    if lexicon.NOPE.match(text) or "?" in text:
        return None
    if wanted[0] in ("price", "price_max") and (figure := re.search(r"\d[\d,]*", text)):
        amount = int(figure.group().replace(",", ""))
        # Nobody offers 450 dollars for a home: a bare figure below 10,000 means thousands.
        return Reading(value=amount * 1_000 if amount < 10_000 else amount, words=figure.group(), sure=0.85)
    if wanted[0] in ("bedrooms", "bathrooms", "stories", "months", "days", "weeks"):
        figure = re.search(rf"\b{lexicon.COUNT}\b", text, re.IGNORECASE)
        return (
            Reading(value=int(lexicon.to_number(figure.group())), words=figure.group(), sure=0.85) if figure else None
        )
    if wanted[0] in ("area", "name", "timeline", "reason", "address", "condition"):
        return Reading(value=text, words=text, sure=0.8)
    return None


def _read(name: str, description: str, filling: Filling, *, boolean: bool) -> Reading | None:
    wanted = f"{name.replace('_', ' ')} {name} {description}"
    if boolean:
        if found := yes_or_no(filling.text, wanted):
            return found
        question = filling.prompt.question
        for pattern, value in ((lexicon.YES, True), (lexicon.NOPE, False)):
            said = pattern.match(filling.text)
            if said and question and yes_or_no(question, wanted):
                return Reading(value=value, words=said.group().strip(), sure=0.9)
        return None
    if re.search(r"(?:^|_)(?:span|ref|reference)s?$", name) or "span reference" in description.lower():
        return _span(name, description, filling)
    topic = topic_of(name, description)
    side = side_of(description)
    if topic and topic[0] == "area" and side:
        otherwise = side if filling.sides == {side} else "buy"
        return place_of(filling.text, side, filling.prompt.known, otherwise=otherwise) or _bare_answer(
            name, description, filling
        )
    return (topic[1](filling.text) if topic else None) or _bare_answer(name, description, filling)


def _leaf(schema: Schema, kind: str, name: str, filling: Filling) -> tuple[Any, Reading | None]:
    description = str(schema.get("description", ""))
    if kind == "null":
        return None, None
    if kind == "string" and REPLY.search(name):
        text = reply_text(filling.prompt.words, f"{filling.prompt.around}\n{description}", seed=filling.seed)
        return text, Reading(value=text, words=filling.text[:500])
    if kind == "string" and re.search(r"summary|gist|recap", name):
        gist = re.sub(r"\s+", " ", filling.text)[:300]
        return gist, Reading(value=gist, words=filling.text[:500]) if gist else None
    reading = _read(name, description, filling, boolean=kind == "boolean")
    value = _as(kind, reading.value, name) if reading else None
    if kind == "string" and isinstance(value, str):
        value = filling.unmasked.quoted(value)
    if reading is None or value is None:
        return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(kind), None
    filling.readings.append(reading)
    return value, reading


def _as(kind: str, value: lexicon.Value, name: str) -> lexicon.Value | None:
    """Give a reading in the schema's type; None when it does not fit."""
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "string":
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, str):
        return int(value) if value.isdigit() else None
    scaled = float(value) * (100 if "cents" in name.lower() else 1)
    return int(scaled) if kind == "integer" or scaled.is_integer() else scaled


def _object(schema: Schema, name: str, filling: Filling) -> tuple[dict[str, Any], Reading | None]:
    """Fill an object: first what is read from the text, then words and confidence, which speak of their siblings."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    filled: dict[str, Any] = {}
    readings: dict[str, Reading | None] = {}
    later = [key for key, sub in properties.items() if _speaks_of_siblings(key, sub, filling)]
    described = str(schema.get("description", ""))
    for key, sub in properties.items():
        if key in later:
            continue
        asks = name if VALUE.search(key) and name else key
        value, reading = _any({"description": described, **sub} if asks == name else sub, asks, filling)
        if key in required or reading is not None:
            filled[key], readings[key] = value, reading
    for key in later:
        value, reading = _about_siblings(key, properties[key], readings, filling)
        if key in required or reading is not None:
            filled[key] = value
    first = next((reading for reading in readings.values() if reading is not None), None)
    return {key: filled[key] for key in properties if key in filled}, first


def _speaks_of_siblings(key: str, schema: Schema, filling: Filling) -> bool:
    """Say whether a property holds the words of another one, or how sure that one is."""
    schema = _resolve(schema, filling)
    if "enum" in schema or "const" in schema:
        return False
    kinds = set(_kinds(schema, filling)) - {"null"}
    if WORDS.search(key):
        quotes = _types(_resolve(schema.get("items", {}), filling)) == ["string"]
        return kinds == {"string"} or (kinds == {"array"} and quotes and "enum" not in schema["items"])
    return bool(SURE.search(key)) and bool(kinds) and kinds <= {"integer", "number"}


def _kinds(schema: Schema, filling: Filling) -> list[str]:
    options = [_resolve(option, filling) for option in schema.get("anyOf", ())]
    if any("enum" in option or "const" in option for option in options):
        return []
    return _types(schema) or [kind for option in options for kind in _types(option)]


def _about_siblings(
    key: str, schema: Schema, readings: Mapping[str, Reading | None], filling: Filling
) -> tuple[Any, Reading | None]:
    base = re.sub(rf"(?:{WORDS.pattern})|(?:{SURE.pattern})", "", key)
    known = [reading for reading in readings.values() if reading is not None]
    about = readings.get(base) if base in readings else (known[0] if known else None)
    schema = _resolve(schema, filling)
    kinds = _kinds(schema, filling)
    if "array" in kinds:
        words = [filling.unmasked.quoted(about.words)] if about and about.words else []
        return (words or [""] if schema.get("minItems") else words), about
    if "string" in kinds:
        if about is None or not about.words:
            return (None if "null" in kinds else ""), None
        return filling.unmasked.quoted(about.words), about
    sure = about.sure if about else 0.2
    return (sure if "number" in kinds else round(sure * 100)), about


def _array(schema: Schema, name: str, filling: Filling) -> tuple[list[Any], Reading | None]:
    items = _resolve(schema.get("items", {"type": "string"}), filling)
    properties: Mapping[str, Schema] = items.get("properties", {})
    key = next((each for each in NAMING if each in properties and _names_things(properties[each], filling)), None)
    results: list[tuple[Any, Reading]] = []
    if "enum" in items:
        names = [str(value) for value in items["enum"]]
        text = f"{schema.get('description', '')} {items.get('description', '')}"
        results = [
            (items["enum"][names.index(value)], reading)
            for value, reading in choices(filling.text, names, name=name, description=text)
        ]
    elif key is not None:
        results = _named_items(items, key, filling)
    else:
        value, reading = _any({"description": schema.get("description", ""), **items}, name, filling)
        results = [(value, reading)] if reading is not None else []
    filling.readings.extend(reading for _, reading in results)
    if not results and schema.get("minItems"):
        results = [(_any(items, name, filling)[0], Reading(value="", words="", sure=0.2))]
    return [value for value, _ in results], (results[0][1] if results else None)


NAMING = ("name", "fact", "key", "field", "slot", "label")
NAMES = (
    "intent",
    "area",
    "price_min_usd",
    "price_max_usd",
    "bedrooms",
    "bathrooms",
    "timeline",
    "pre_approved",
    "address",
    "reason",
)


def _names_things(schema: Schema, filling: Filling) -> bool:
    schema = _resolve(schema, filling)
    choices_of_words = all(isinstance(each, str) for each in schema.get("enum", ()))
    return "const" not in schema and choices_of_words and (_types(schema) == ["string"] or "enum" in schema)


def _named_items(items: Schema, key: str, filling: Filling) -> list[tuple[Any, Reading]]:
    """Make one item for every name that the text says something about: a list of facts."""
    naming = _resolve(items["properties"][key], filling)
    allowed = [str(each) for each in naming.get("enum", ())] or _names_in(filling.prompt.around) or NAMES
    made: list[tuple[Any, Reading]] = []
    for each in allowed:
        description = _described(each, f"{naming.get('description', '')}\n{filling.prompt.around}")
        reading = _read(each, description, filling, boolean=True) if _is_yes_or_no(each) else None
        reading = reading or _read(each, description, filling, boolean=False)
        if reading is not None:
            made.append((_item(items, key, each, reading, filling), reading))
    return made


def _is_yes_or_no(name: str) -> bool:
    return topic_of(name) is None or re.match(r"(?:is|has|wants|needs|pre_?approved|cash|owns)_?", name) is not None


def _item(items: Schema, key: str, name: str, reading: Reading, filling: Filling) -> dict[str, Any]:
    item: dict[str, Any] = {}
    required = set(items.get("required", ()))
    for prop, sub in items["properties"].items():
        schema = _resolve(sub, filling)
        kinds = _kinds(schema, filling)
        if prop == key:
            item[prop] = name
        elif _speaks_of_siblings(prop, schema, filling):
            item[prop] = _about_siblings(prop, schema, {"value": reading}, filling)[0]
        elif VALUE.search(prop) and _is_plain(schema, kinds):
            fitting = next((kind for kind in _kinds_for(reading.value, prop) if kind in kinds), None)
            value = _as(fitting, reading.value, name) if fitting else None
            if value is not None or prop in required:
                item[prop] = value if value is not None or "null" in kinds else _leaf({}, kinds[0], "", filling)[0]
        elif prop in required:
            item[prop] = _any(schema, prop, filling)[0]
    return item


def _is_plain(schema: Schema, kinds: Sequence[str]) -> bool:
    return bool(kinds) and not {"object", "array"} & set(kinds) and "enum" not in schema and "const" not in schema


def _kinds_for(value: lexicon.Value, prop: str) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("boolean",) if prop.startswith("text") else ("boolean", "string")
    if isinstance(value, str) or prop == "value":
        return ("string",) if isinstance(value, str) else ("integer", "number", "string")
    return ("integer", "number")


def _names_in(text: str) -> list[str]:
    """Find the fact names that a prompt lists: lines such as "- price_max_usd: what they can pay at most"."""
    return re.findall(r"(?m)^\s*[-*]\s*`?([a-z][a-z0-9_]{2,40})`?\s*[:(–—-]", text)


def _described(name: str, text: str) -> str:
    found = re.search(rf"`?\b{re.escape(name)}\b`?\s*[:=(–—-]\s*([^\n;]+)", text)
    return found[1] if found else ""
