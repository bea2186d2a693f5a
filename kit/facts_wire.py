"""Facts as protobuf, with their limits; services and bots meet here."""

from porchlight.bot.v1 import bot_service_pb2 as pb

from kit import checks
from kit.errors import InvalidField
from kit.lane import Fact

FACTS_MOST = 64


def fact_to_proto(fact: Fact) -> pb.Fact:
    """Say a fact on the wire."""
    message = pb.Fact(
        name=fact.name,
        words=fact.words,
        message_id=fact.message_id,
        extractor=fact.extractor,
        confidence=fact.confidence,
        bot=fact.bot,
        private_to=fact.private_to or "",
    )
    # bool first: it is an int to Python.
    if isinstance(fact.value, bool):
        message.boolean_value = fact.value
    elif isinstance(fact.value, int):
        message.integer_value = fact.value
    else:
        message.text_value = fact.value
    if fact.learn_time is not None:
        message.learn_time.FromDatetime(fact.learn_time)
    return message


def fact_from_proto(message: pb.Fact, *, field: str) -> Fact:
    """Read a fact from the wire. `learn_time` and `bot` are the database's to set and are not read.

    Raises:
        InvalidField: A part is missing or over its limit; the name begins with `field`.
    """
    value: str | int | bool
    match message.WhichOneof("value"):
        case "text_value":
            value = checks.text(f"{field}.text_value", message.text_value, shortest=1, longest=500)
        case "integer_value":
            value = message.integer_value
        case "boolean_value":
            value = message.boolean_value
        case _:
            raise InvalidField(f"{field} has no value; one of its kinds must be set", field=field, limit="one value")
    return Fact(
        name=checks.identifier(f"{field}.name", message.name),
        value=value,
        words=checks.text(f"{field}.words", message.words, longest=500),
        message_id=checks.text(f"{field}.message_id", message.message_id, longest=64),
        extractor=checks.identifier(f"{field}.extractor", message.extractor),
        confidence=checks.number(f"{field}.confidence", message.confidence, low=0.0, high=1.0),
        private_to=checks.text(f"{field}.private_to", message.private_to, longest=32) or None,
    )
