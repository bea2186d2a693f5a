"""Takes single values out of a CRM's payload, whatever is there. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kit.errors import InvalidField

Payload = Mapping[str, Any]

TEXT_MOST: Final = 10_000
"""What a bot takes of one message; more is cut, since the person cannot be asked to write it again."""

_ID_MOST: Final = 64
_VALUE_MOST: Final = 200
_TAGS_MOST: Final = 50
_AHEAD_MOST: Final = timedelta(minutes=5)


def identifier(payload: Payload, *names: str) -> str | None:
    """Return the first of these fields that holds an id; None when none does.

    Raises:
        InvalidField: The field that is there cannot be an id.
    """
    for name in names:
        value = at(payload, name)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > _ID_MOST or not value.isprintable() or value != value.strip():
            limit = f"1 to {_ID_MOST} printable characters"
            raise InvalidField(f"{name} is no id: {limit}", field=name, limit=limit)
        return value
    return None


def required(payload: Payload, *names: str) -> str:
    """Return an id that must be there.

    Raises:
        InvalidField: It is missing, or cannot be an id.
    """
    if (value := identifier(payload, *names)) is None:
        raise InvalidField(
            f"{names[0]} is missing",
            field=names[0],
            limit=f"1 to {_ID_MOST} printable characters",
        )
    return value


def word(payload: Payload, *names: str) -> str | None:
    """Return the first of these fields that holds a text that is not empty, cut at 200 characters."""
    for name in names:
        value = at(payload, name)
        if isinstance(value, str) and value.strip():
            return value.strip()[:_VALUE_MOST]
    return None


def at(payload: Payload, path: str) -> Any:
    """Return what is at a dotted path; None when nothing is.

    >>> at({"contact": {"id": "c_1"}}, "contact.id")
    'c_1'
    """
    value: Any = payload
    for step in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value


def moment(payload: Payload, *names: str, now: datetime | None) -> datetime | None:
    """Return the first of these fields that is a time; None when none is, or when it lies ahead of a given `now`.

    A time without an offset is UTC, as the CRM's are.
    """
    for name in names:
        value = at(payload, name)
        if not isinstance(value, str):
            continue
        try:
            time = datetime.fromisoformat(value)
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
        return None if now is not None and time > now + _AHEAD_MOST else time
    return None


def profile(payload: Payload) -> dict[str, Any]:
    """Return what is said about a contact, in our words and within bounds. Absent is left out, so it erases nothing."""
    found: dict[str, Any] = {}
    for ours, theirs in (
        ("first_name", ("firstName", "first_name")),
        ("phone", ("phone",)),
        ("email", ("email",)),
        ("timezone", ("timezone",)),
    ):
        if (value := word(payload, *theirs)) is not None:
            found[ours] = value
    tags = payload.get("tags")
    if isinstance(tags, str):
        tags = tags.split(",")
    if isinstance(tags, list):
        found["tags"] = [tag.strip()[:_VALUE_MOST] for tag in tags if isinstance(tag, str) and tag.strip()][:_TAGS_MOST]
    return found


def dnd(payload: Payload) -> bool | None:
    """Say whether the contact may not be texted; None when the payload does not say.

    "active" means that do-not-disturb is on. `dnd` may be false while texts are
    blocked in `dndSettings`, so false alone, without the settings, says nothing.
    """
    status = at(payload, "dndSettings.SMS.status") or at(payload, "dndSettings.sms.status")
    if payload.get("dnd") is True or status in ("active", "permanent"):
        return True
    return False if status == "inactive" else None
