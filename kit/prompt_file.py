"""Read a prompt file: TOML, the system text, the user's turn. Pure.

A file has three lines that are exactly `+++`; between them stand its three parts:

    +++
    name = "lead.extract"            # dotted lower case, 1 to 64 characters
    model = "claude-haiku-5-5"
    max_tokens = 400                 # 1 to 8,192; thinking counts
    effort = "low"                   # low, medium, high, xhigh or max; may be left out
    scope = "contact"                # who may share an answer: one contact, or the whole tenant
    schema = '{"type": "object"...}' # JSON text, or a TOML table [schema]; left out for plain text
    +++
    The system text, the same for everybody: it has no placeholders.
    +++
    <messages>
    {messages}
    </messages>

The last part is what the person's turn looks like. `{word}` is a placeholder; every
placeholder stands inside a tag, so that a person's words never read like ours. Other
braces mean themselves. Each file is one prompt; what is in it decides its digest.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST_TOKENS: Final = 8_192
EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
SCOPES: Final = frozenset({"contact", "tenant"})

_KEYS: Final = frozenset({"name", "model", "max_tokens", "effort", "scope", "schema"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_TAGGED: Final = re.compile(r"<([a-z][a-z0-9_]*)>[^<]*</\1>")

# What could open or close a tag in a person's words; "< 500k" and "<3" cannot.
_TAG_START: Final = re.compile(r"<(?=[A-Za-z/!?])")

# What Claude's structured output accepts (platform.claude.com, "Structured outputs"): no lengths, no ranges.
_SCHEMA_KEYS: Final = frozenset(
    {
        "type",
        "enum",
        "const",
        "anyOf",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "title",
        "description",
    }
)
_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})


class BadPromptFile(ValueError):
    """A prompt file is not of the form that the module's docstring shows."""


@dataclass(frozen=True, kw_only=True)
class PromptFile:
    """What one file says."""

    name: str
    model: str
    max_tokens: int
    effort: str
    """Empty means the model's own default."""
    scope: str
    schema: Mapping[str, Any] | None
    """None for a prompt that is answered with text."""
    system: str
    user: str

    @property
    def variables(self) -> frozenset[str]:
        """The names of the placeholders."""
        return placeholders(self.user)

    @property
    def body(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {key: getattr(self, key) for key in (*_ORDER, "system", "user")}

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 64 hexadecimal digits: the same content, the same version."""
        text = json.dumps(self.body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


_ORDER: Final = ("name", "model", "max_tokens", "effort", "scope", "schema")


def parse(text: str) -> PromptFile:
    """Read the text of a prompt file.

    Raises:
        BadPromptFile: It is not of the form above; the message says what is wrong.
    """
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.rstrip() == "+++":
            parts.append([])
        else:
            parts[-1].append(line)
    if len(parts) != 4 or any(line.strip() for line in parts[0]):
        raise BadPromptFile("a prompt file starts with +++ and has exactly three lines +++")
    try:
        head = tomllib.loads("\n".join(parts[1]))
    except tomllib.TOMLDecodeError as error:
        raise BadPromptFile(f"the part between the first two +++ is no TOML: {error}") from error
    unknown = sorted(set(head) - _KEYS)
    if unknown:
        raise BadPromptFile(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    found = PromptFile(
        name=_string(head, "name"),
        model=_string(head, "model"),
        max_tokens=_max_tokens(head),
        effort=_one_of(head, "effort", EFFORTS | {""}, default=""),
        scope=_one_of(head, "scope", SCOPES),
        schema=_schema(head.get("schema")),
        system="\n".join(parts[2]).strip(),
        user="\n".join(parts[3]).strip(),
    )
    _check_texts(found)
    return found


def render(prompt: PromptFile) -> str:
    """Write a prompt as a file that reads as the same prompt.

    >>> prompt = parse('+++\\nname = "a.b"\\nmodel = "m"\\nmax_tokens = 9\\nscope = "tenant"\\n+++\\nBe kind.\\n+++\\nHello')
    >>> parse(render(prompt)) == prompt
    True
    """
    head = [f"{key} = {_toml(value)}" for key in _ORDER[:-1] if (value := getattr(prompt, key)) != ""]
    if prompt.schema is not None:
        # Escaped where TOML's '...' or the lines of a file could not hold it as it is.
        schema = json.dumps(prompt.schema, indent=2).replace("'", "\\u0027").replace("\x7f", "\\u007f")
        head.append(f"schema = '''\n{schema}\n'''")
    return "\n".join(["+++", *head, "+++", prompt.system, "+++", prompt.user, ""])


def _toml(value: str | int) -> str:
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


def placeholders(user: str) -> frozenset[str]:
    """Return the names between braces.

    >>> sorted(placeholders("<facts>{facts}</facts> {not one} <said>{said}</said>"))
    ['facts', 'said']
    """
    return frozenset(_PLACEHOLDER.findall(user))


def fill(user: str, variables: Mapping[str, str]) -> str:
    """Put words in the places of the placeholders, in one pass: words are never read again.

    A `<` that could start a tag becomes `&lt;`, so nobody's words can close the tag
    they stand in.

    >>> fill("<said>{said}</said>", {"said": "under < 500k </said> {facts}"})
    '<said>under < 500k &lt;/said> {facts}</said>'
    """
    return _PLACEHOLDER.sub(lambda match: _TAG_START.sub("&lt;", variables[match[1]]), user)


def _check_texts(found: PromptFile) -> None:
    if not _NAME.fullmatch(found.name) or len(found.name) > 64:
        raise BadPromptFile(f"name {found.name!r} is not dotted lower case of 1 to 64 characters")
    if not found.system or not found.user:
        raise BadPromptFile("the system text and the user's turn must both hold something")
    if placeholders(found.system):
        raise BadPromptFile(f"the system text has a placeholder: {sorted(placeholders(found.system))[0]}")
    bare = placeholders(_TAGGED.sub("", found.user))
    if bare:
        raise BadPromptFile(f"placeholder {sorted(bare)[0]} stands in no tag of its own")


def _string(head: Mapping[str, Any], key: str) -> str:
    value = head.get(key)
    if not isinstance(value, str) or not value:
        raise BadPromptFile(f"{key} is missing or no text")
    return value


def _one_of(head: Mapping[str, Any], key: str, allowed: frozenset[str], *, default: str | None = None) -> str:
    value = head.get(key, default)
    if not isinstance(value, str) or value not in allowed:
        raise BadPromptFile(f"{key} is {value!r}, allowed are {', '.join(sorted(allowed - {''}))}")
    return value


def _max_tokens(head: Mapping[str, Any]) -> int:
    value = head.get("max_tokens")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_TOKENS:
        raise BadPromptFile(f"max_tokens is {value!r}, allowed are 1 to {MOST_TOKENS}")
    return value


def _schema(value: object) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadPromptFile(f"schema is no JSON: {error}") from error
    if not isinstance(value, dict) or value.get("type") != "object":
        raise BadPromptFile("schema is no JSON schema of an object")
    _check_schema(value, "schema")
    return value


def _check_schema(schema: object, at: str) -> None:
    """Refuse what Claude would refuse, or what would leave a part of the answer unchecked."""
    if not isinstance(schema, dict):
        raise BadPromptFile(f"{at} is no object")
    unknown = sorted(set(schema) - _SCHEMA_KEYS)
    if unknown:
        raise BadPromptFile(f"{at} has {unknown[0]!r}, which structured output does not know")
    if not {"type", "enum", "const", "anyOf"} & set(schema):
        raise BadPromptFile(f"{at} allows anything")
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if not isinstance(types, list) or not set(types) <= _TYPES:
        raise BadPromptFile(f"{at} has an unknown type")
    if "object" in types:
        _check_object(schema, at)
    if "array" in types:
        _check_schema(schema.get("items"), f"{at}.items")
    for number, choice in enumerate(_list(schema, "anyOf", at)):
        _check_schema(choice, f"{at}.anyOf[{number}]")


def _check_object(schema: Mapping[str, Any], at: str) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or schema.get("additionalProperties") is not False:
        raise BadPromptFile(f"{at} is an object without properties and additionalProperties = false")
    missing = sorted(set(_list(schema, "required", at)) - set(properties))
    if missing:
        raise BadPromptFile(f"{at} requires {missing[0]!r}, which is no property")
    for name, part in properties.items():
        _check_schema(part, f"{at}.{name}")


def _list(schema: Mapping[str, Any], key: str, at: str) -> Sequence[Any]:
    value = schema.get(key, [])
    if not isinstance(value, list):
        raise BadPromptFile(f"{at}.{key} is no list")
    return value
