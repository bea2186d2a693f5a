"""What the stand-in answers, from the request alone: fills any JSON schema by reading the person's words. Pure."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox import claude_lexicon as lexicon
from sandbox.claude_choices import BOTH, UNKNOWN, choices
from sandbox.claude_lexicon import Reading
from sandbox.claude_reply import reply_text
from sandbox.claude_topics import asked_about, intents, topic_of, yes_or_no

CHARS_PER_TOKEN = 3.6
Schema = Mapping[str, Any]


def count_tokens(text: str) -> int:
    """Count tokens as the stand-in bills them: characters / 3.6, rounded up.

    The API's tokenizer is not public; 3.6 is near what English prose costs on the 5.x generation.

    >>> count_tokens("x" * 36), count_tokens("")
    (10, 0)
    """
    return math.ceil(len(text) / CHARS_PER_TOKEN)


# --- the prompt --------------------------------------------------------------------------------------------------

TAGGED = re.compile(
    r"<(?P<tag>messages?|text|person|user_message|inbound|customer_message|lead_message)\b[^>]*>(?P<text>.*?)</(?P=tag)>",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt taken apart: the person's words, what stands around them, and the question that was asked before."""

    words: str
    around: str
    question: str


def plain(content: object) -> str:
    """Join the text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, Sequence) else ()
    return "\n".join(
        str(block.get("text", "")) for block in blocks if isinstance(block, Mapping) and block.get("type") == "text"
    )


def read_prompt(body: Mapping[str, Any]) -> Prompt:
    """Find the person's words in the last user message: inside the last kind of tag named for a message, else all of it."""
    system = plain(body.get("system") or "")
    turns = [(str(turn["role"]), plain(turn["content"])) for turn in body["messages"]]
    last = next((text for role, text in reversed(turns) if role == "user"), "")
    tagged = list(TAGGED.finditer(last))
    if tagged:
        # <messages> may hold one <message> each; the outer tag's text is then a list of inner tags.
        inner = "\n".join(match["text"] for match in tagged)
        nested = [match["text"] for match in TAGGED.finditer(inner)]
        words = "\n".join(
            re.sub(r"^\s*[-*]\s+", "", each.strip()) for each in (nested or [match["text"] for match in tagged])
        )
        around = TAGGED.sub("", last)
    else:
        words, around = last, ""
    earlier = "\n".join(text for _, text in turns[:-1])
    return Prompt(
        words=words.strip(), around="\n".join((system, earlier, around)), question=_question_before(turns, around)
    )


def _question_before(turns: Sequence[tuple[str, str]], around: str) -> str:
    said = [text for role, text in turns[:-1] if role == "assistant"]
    asked = re.findall(r"<(?:asked|question|last_question|open_question)>(.*?)</", around, re.DOTALL)
    lines = re.findall(r"(?:^|\n)\s*(?:we|bot|agent|assistant|us)\s*(?:asked)?\s*:\s*(.+?\?)", around, re.IGNORECASE)
    questions = [question for text in (*lines, *said, *asked) for question in re.findall(r"[^.!?\n]+\?|^[^?]+$", text)]
    return questions[-1].strip() if questions else ""


# --- schemas -----------------------------------------------------------------------------------------------------

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
    readings: list[Reading] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.prompt.words


def fill(schema: Schema, prompt: Prompt, *, seed: int = 0) -> tuple[Any, list[Reading]]:
    """Fill a schema from a prompt; the result is valid against the subset of JSON Schema that the API takes."""
    filling = Filling(prompt=prompt, definitions=schema.get("$defs", schema.get("definitions", {})), seed=seed)
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
    if names and all(SPAN.fullmatch(each) for each in names):
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


def _chosen(names: Sequence[str], name: str, description: str, filling: Filling) -> Reading | None:
    found = choices(filling.text, names, name=name, description=description)
    both = next((each for each in names if each.lower().replace("-", "_") in BOTH), None)
    wants = intents(filling.text)
    if both is not None and len(wants) == 2:
        return Reading(value=both, words=wants["sell"].words, sure=min(each.sure for each in wants.values()))
    if not found and {"true", "false"} != set(names):
        said = _bare_answer(name, description, filling)
        found = choices(said.words, names, name=name, description=description) if said else []
        lowered = {each.lower(): each for each in names}
        if {"yes", "no"} <= set(lowered) and (answer := yes_or_no(filling.text, f"{name} {description}")):
            return Reading(value=lowered["yes" if answer.value else "no"], words=answer.words)
    if not found:
        return None
    # Widest first: who wants to sell and then buy is a seller first (decisions.md 17).
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


# --- objects and arrays -----------------------------------------------------------------------------------------------


def _object(schema: Schema, name: str, filling: Filling) -> tuple[dict[str, Any], Reading | None]:
    """Fill an object: first what is read from the text, then words and confidence, which speak of their siblings."""
    properties: Mapping[str, Schema] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    filled: dict[str, Any] = {}
    readings: dict[str, Reading | None] = {}
    later = [key for key in properties if WORDS.search(key) or SURE.search(key)]
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


def _about_siblings(
    key: str, schema: Schema, readings: Mapping[str, Reading | None], filling: Filling
) -> tuple[Any, Reading | None]:
    base = re.sub(
        r"_?(?:words|quote|evidence|span_text|verbatim|exact_text|source_text|confidence|certainty|probability|score)$",
        "",
        key,
    )
    known = [reading for reading in readings.values() if reading is not None]
    about = readings.get(base) if base in readings else (known[0] if known else None)
    schema = _resolve(schema, filling)
    kinds = _types(schema) or [kind for option in schema.get("anyOf", ()) for kind in _types(option)]
    if "array" in kinds:
        return [about.words] if about and about.words else [], about
    if "string" in kinds:
        if about is None or not about.words:
            return (None if "null" in kinds else ""), None
        return about.words, about
    sure = about.sure if about else 0.2
    if "integer" in kinds and "number" not in kinds:
        return round(sure * 100), about
    return sure, about


def _array(schema: Schema, name: str, filling: Filling) -> tuple[list[Any], Reading | None]:
    items = _resolve(schema.get("items", {"type": "string"}), filling)
    properties: Mapping[str, Schema] = items.get("properties", {})
    key = next((each for each in ("name", "fact", "key", "field", "slot", "label") if each in properties), None)
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
        kinds = _types(schema) or [kind for option in schema.get("anyOf", ()) for kind in _types(option)]
        if prop == key:
            item[prop] = name
        elif WORDS.search(prop) or SURE.search(prop):
            item[prop] = _about_siblings(prop, schema, {"value": reading}, filling)[0]
        elif VALUE.search(prop):
            fitting = next((kind for kind in _kinds_for(reading.value, prop) if kind in kinds), None)
            value = _as(fitting, reading.value, name) if fitting else None
            if value is not None or prop in required:
                item[prop] = value if value is not None or "null" in kinds else _leaf({}, kinds[0], "", filling)[0]
        elif prop in required:
            item[prop] = _any(schema, prop, filling)[0]
    return item


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


# --- the answer ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer before faults: what is said, what was thought, and what both cost in tokens."""

    text: str
    thinking: str
    input_tokens: int
    thinking_tokens: int


# How much a model thinks for each thing that it read, by effort; 1 at the least.
EFFORT = {"low": 1, "medium": 2, "high": 4, "xhigh": 8, "max": 16}


def answer(body: Mapping[str, Any], *, effort: str, thinks: bool) -> Answer:
    """Answer a valid request. The same body gets the same answer.

    Args:
        body: The request's JSON, already checked.
        effort: How hard to think, `low` to `max`.
        thinks: Whether this model thinks first under these settings.
    """
    prompt = read_prompt(body)
    seed = int.from_bytes(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()[:8])
    wanted = (body.get("output_config") or {}).get("format") or {}
    schema = wanted.get("schema")
    if schema is not None:
        value, readings = fill(schema, prompt, seed=seed)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    else:
        readings = list(intents(prompt.words).values())
        text = reply_text(prompt.words, prompt.around, seed=seed)
    thinking = (
        " ".join(f"“{reading.words}” says {reading.value}." for reading in readings) or "Nothing certain is said."
    )
    whole = plain(body.get("system") or "") + "".join(plain(turn["content"]) for turn in body["messages"])
    return Answer(
        text=text,
        thinking=thinking if thinks else "",
        input_tokens=max(1, count_tokens(whole + (json.dumps(schema) if schema is not None else ""))),
        thinking_tokens=count_tokens(thinking) * EFFORT[effort] if thinks else 0,
    )
