"""What the Messages API refuses, and in which words. Pure.

The rules are those of the vendor's pages of November 2026 for the 5.5 generation; each message is worded as the API
words it where the wording is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Model:
    """What one model takes.

    Attributes:
        default_effort: The effort of a request that names none.
        may_disable: Whether thinking can be switched off.
        between_tools: Whether the model takes `between_tools`, in place of switching off.
        least_cached_tokens: The shortest prefix that the prompt cache keeps. Of the 4.5 generation; nothing newer
            was found in print.
    """

    default_effort: str
    least_cached_tokens: int = 4_096
    may_disable: bool = False
    between_tools: bool = False


MODELS: dict[str, Model] = {
    "claude-haiku-5-5": Model(default_effort="medium", may_disable=True),
    "claude-sonnet-5-5": Model(default_effort="high", between_tools=True, least_cached_tokens=1_024),
    "claude-opus-5-5": Model(default_effort="medium"),
    "claude-fable-5-2": Model(default_effort="high"),
}
MAX_OUTPUT = 128_000
MOST_BREAKPOINTS = 4
TTLS = ("5m", "1h")
# The first is what the SDK sends since 2.0; it knows no sampling parameters at all. The second takes their defaults.
VERSIONS = ("2026-10-21", "2023-06-01")
SAMPLING = ("temperature", "top_p", "top_k")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
FIELDS = frozenset(
    """model max_tokens messages system metadata stop_sequences stream tools tool_choice thinking
    output_config service_tier speed container inference_geo
    cache_control diagnostics user_profile_id""".split()
)
BLOCKS = frozenset(
    "text image document search_result thinking redacted_thinking tool_use tool_result server_tool_use".split()
)
# Constraints that the grammar behind structured outputs does not know; the SDK's own transform takes them out.
UNKNOWN_KEYWORDS: dict[str, tuple[str, ...]] = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems", "contains"),
    "object": ("minProperties", "maxProperties", "patternProperties", "propertyNames"),
}


class Refused(Exception):
    """The API answers with an error.

    Attributes:
        status: The HTTP status.
        kind: The `error.type`.
    """

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


def check_headers(headers: Mapping[str, str]) -> str:
    """Refuse a request without a key or a version; gives the version.

    The SDK sends its key as a bearer token, older clients as `x-api-key`; both are good.

    Raises:
        Refused: With status 401 or 400.
    """
    bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
    if not headers.get("x-api-key", "").strip() and not bearer:
        raise Refused("x-api-key header is required", status=401, kind="authentication_error")
    if not headers.get("anthropic-version", "").strip():
        raise Refused("anthropic-version: header is required")
    if headers["anthropic-version"] not in VERSIONS:
        raise Refused(f"anthropic-version: {headers['anthropic-version']!r} is not a valid version")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("content-type: must be application/json")
    return headers["anthropic-version"]


def check(body: object, *, version: str = VERSIONS[0]) -> tuple[Mapping[str, Any], Model, str, bool]:
    """Check a request as the API does.

    Returns:
        The body, its model, the effort, and whether the model thinks first.

    Raises:
        Refused: As the API would refuse it.
    """
    if not isinstance(body, dict):
        raise Refused("The request body must be a JSON object")
    for name in body:
        if name not in FIELDS and (name not in SAMPLING or version == VERSIONS[0]):
            raise Refused(f"{name}: Extra inputs are not permitted")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise Refused(f"{name}: Field required")
    model = MODELS.get(body["model"]) if isinstance(body["model"], str) else None
    if model is None:
        raise Refused(f"model: {body['model']}", status=404, kind="not_found_error")
    if not isinstance(body.get("stream", False), bool):
        raise Refused("stream: Input should be a valid boolean")
    _check_max_tokens(body["max_tokens"], str(body["model"]))
    _check_sampling(body)
    _check_messages(body)
    effort = _check_output(body.get("output_config"), model)
    return body, model, effort, _check_thinking(body.get("thinking"), model, effort)


def _check_max_tokens(value: object, model: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("max_tokens: Input should be a valid integer")
    if value < 1:
        raise Refused("max_tokens: Input should be greater than or equal to 1")
    if value > MAX_OUTPUT:
        raise Refused(
            f"max_tokens: {value} > {MAX_OUTPUT}, which is the maximum allowed number of output tokens for {model}"
        )


def _check_sampling(body: Mapping[str, Any]) -> None:
    for name in ("temperature", "top_p"):
        if body.get(name) is not None and body[name] != 1:
            raise Refused(f"`{name}` is deprecated for this model.")
    if body.get("top_k") is not None:
        raise Refused("`top_k` is deprecated for this model.")
    choice = body.get("tool_choice")
    if choice is not None:
        kind = choice.get("type") if isinstance(choice, dict) else None
        if kind in ("any", "tool"):
            raise Refused('tool_choice: type "tool" and "any" are not supported for this model.')
        if kind not in ("auto", "none"):
            raise Refused("tool_choice: Input should be a valid dictionary with a known type")
        if not body.get("tools"):
            raise Refused("tool_choice: may only be specified while providing tools")


def _check_messages(body: Mapping[str, Any]) -> None:
    messages = body["messages"]
    if not isinstance(messages, list):
        raise Refused("messages: Input should be a valid list")
    if not messages:
        raise Refused("messages: at least one message is required")
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise Refused(f"messages.{place}: Input should be a valid dictionary")
        if message.get("role") not in ("user", "assistant", "system"):
            raise Refused(f"messages.{place}.role: Input should be 'user', 'assistant' or 'system'")
        if set(message) - {"role", "content"}:
            raise Refused(
                f"messages.{place}.{sorted(set(message) - {'role', 'content'})[0]}: Extra inputs are not permitted"
            )
        _check_content(message.get("content"), f"messages.{place}.content")
    if messages[0]["role"] != "user":
        raise Refused('messages: first message must use the "user" role')
    if messages[-1]["role"] == "assistant":
        raise Refused(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if body.get("system") not in (None, ""):
        _check_content(body["system"], "system")
    _check_breakpoints(body)


def _check_breakpoints(body: Mapping[str, Any]) -> None:
    contents = [body.get("system"), *(message["content"] for message in body["messages"])]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    marked = [block["cache_control"] for block in blocks if block.get("cache_control") is not None]
    if len(marked) > MOST_BREAKPOINTS:
        raise Refused(
            f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marked)}."
        )
    for control in marked:
        if not isinstance(control, dict) or control.get("type") != "ephemeral" or control.get("ttl", "5m") not in TTLS:
            raise Refused("cache_control: Input should be {'type': 'ephemeral'} with a ttl of '5m' or '1h'")


def _check_content(content: object, place: str) -> None:
    if isinstance(content, str):
        if not content:
            raise Refused(f"{place}: must be non-empty")
        return
    if not isinstance(content, list):
        raise Refused(f"{place}: Input should be a valid string or list")
    if not content:
        raise Refused(f"{place}: must be non-empty")
    for number, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in BLOCKS:
            raise Refused(
                f"{place}.{number}: Input tag {kind!r} found using 'type' does not match any of the expected tags"
            )
        if kind == "text":
            if not isinstance(block.get("text"), str):
                raise Refused(f"{place}.{number}.text.text: Field required")
            if not block["text"].strip():
                raise Refused("messages: text content blocks must contain non-whitespace text")


def _check_thinking(thinking: object, model: Model, effort: str) -> bool:
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if thinking is None:
        return True
    if kind == "enabled":
        raise Refused(
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if kind == "disabled":
        if not model.may_disable:
            raise Refused('"thinking.type.disabled" is not supported for this model.')
        if effort in ("xhigh", "max"):
            raise Refused(f'"thinking.type.disabled" is not supported with "output_config.effort" {effort!r}.')
        return False
    if kind == "between_tools":
        if not model.between_tools:
            raise Refused('"thinking.type.between_tools" is not supported for this model.')
        return False
    if kind != "adaptive":
        raise Refused(
            "thinking: Input tag does not match any of the expected tags: 'adaptive', 'between_tools', 'disabled', 'enabled'"
        )
    return True


def _check_output(config: object, model: Model) -> str:
    if config is None:
        return model.default_effort
    if not isinstance(config, dict):
        raise Refused("output_config: Input should be a valid dictionary")
    for name in config:
        if name not in ("effort", "format"):
            raise Refused(f"output_config.{name}: Extra inputs are not permitted")
    effort = config.get("effort") or model.default_effort
    if effort not in EFFORTS:
        raise Refused("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    wanted = config.get("format")
    if wanted is not None:
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            raise Refused("output_config.format: Input tag does not match any of the expected tags: 'json_schema'")
        if not isinstance(wanted.get("schema"), dict):
            raise Refused("output_config.format.json_schema.schema: Field required")
        for fault in _schema_faults(wanted["schema"], wanted["schema"].get("$defs", {}), ()):
            raise Refused(f"output_config.format.schema: {fault}")
    return str(effort)


def _schema_faults(schema: object, definitions: Mapping[str, Any], above: Sequence[str]) -> Iterator[str]:
    """Find what structured outputs do not take; the first one is what the API reports."""
    if not isinstance(schema, dict):
        yield "a schema must be an object"
        return
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        if name not in definitions:
            yield f"unresolvable reference {schema['$ref']!r}"
        elif name in above:
            yield "recursive schemas are not supported"
        else:
            yield from _schema_faults(definitions[name], definitions, (*above, name))
        return
    kinds = schema.get("type", ())
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        unknown = [word for word in UNKNOWN_KEYWORDS.get(kind, ()) if word in schema]
        if unknown:
            yield f"For '{kind}' type, properties {', '.join(unknown)} are not supported"
        if kind == "array" and schema.get("minItems", 0) not in (0, 1):
            yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        if kind == "object" and schema.get("additionalProperties") is not False:
            yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if not ({"type", "anyOf", "allOf", "enum", "const"} & set(schema)):
        yield "a schema needs one of 'type', 'anyOf', 'allOf', 'enum', 'const'"
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("allOf", ())]
    if "items" in schema:
        below.append(schema["items"])
    for sub in below:
        yield from _schema_faults(sub, definitions, above)
