"""Sets custom fields of HighLevel contacts, whose ids differ in every location.

A field is named by its key, `contact.porchlight_score`; its id is looked up in the
location once and kept. A location without the field is told so once in the log.

Source: HighLevel's API documentation, GET /locations/{id}/customFields.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit.log import get_logger
from services.gateway.crm import Fields, SendResult, SendStatus
from services.gateway.crm_calls import BROKEN, CALL_SECONDS, CONTACTS_VERSION, TOKEN_WAIT_SECONDS, Calls, an_id

LOOK_UP_SECONDS: Final = 2.0
PUT_SECONDS: Final = CALL_SECONDS + TOKEN_WAIT_SECONDS
"""For listing the fields and setting them: together no more than any other sending takes of a delivery's lease."""
LOOK_AGAIN_SECONDS: Final = 600.0
"""When a location that lacks a field is asked again: somebody may have made it meanwhile."""
_NUMBERS: Final = frozenset({"NUMERICAL", "MONETORY"})
"""Types of fields that take a number, as the CRM spells them."""

log = get_logger()


@dataclass(kw_only=True)
class _Location:
    """What is known of a location's custom fields."""

    time: float
    """When it was asked, on the monotonic clock."""
    fields: Mapping[str, tuple[str, str]]
    """Key to id and type."""
    reported: set[str] = field(default_factory=set)


class CustomFields:
    """The custom fields of all locations that were asked for."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._locations: dict[str, _Location] = {}

    async def put(self, fields: Fields) -> SendResult:
        """See `Crm.set_fields`."""
        try:
            async with asyncio.timeout(PUT_SECONDS):
                return await self._put(fields)
        except TimeoutError:
            return SendResult(status=SendStatus.UNKNOWN, cause="CRM_TIMEOUT")

    async def _put(self, fields: Fields) -> SendResult:
        try:
            location = await self._location(fields)
        except BROKEN:
            return SendResult(status=SendStatus.NOT_SENT, cause="CRM_FIELDS_NOT_LISTED")
        missing = fields.values.keys() - location.fields.keys()
        for key in sorted(missing - location.reported):
            location.reported.add(key)
            log.warning("field.missing", tenant_id=fields.tenant_id, field_key=key)
        cause = "FIELDS_MISSING" if missing else ""
        values = [_value(*location.fields[key], value) for key, value in fields.values.items() if key not in missing]
        if not values:
            return SendResult(status=SendStatus.SKIPPED, cause=cause)
        sent = await self._calls.change(
            fields.tenant_id,
            "PUT",
            f"/contacts/{fields.contact_id}",
            {"customFields": values},
            version=CONTACTS_VERSION,
            id_at=("contact.id",),
        )
        # No id: it names the contact, and an outbox row's id names what was sent.
        return SendResult(status=SendStatus.SENT, cause=cause) if sent.status is SendStatus.SENT else sent

    async def _location(self, fields: Fields) -> _Location:
        known = self._locations.get(fields.tenant_id)
        now = self._calls.monotonic()
        if known is not None and (fields.values.keys() <= known.fields.keys() or now < known.time + LOOK_AGAIN_SECONDS):
            return known
        async with asyncio.timeout(LOOK_UP_SECONDS):
            path = f"/locations/{fields.tenant_id}/customFields"
            page = await self._calls.get(fields.tenant_id, path, {"model": "contact"}, version=CONTACTS_VERSION)
        listed = page.get("customFields")
        if not isinstance(listed, list):
            raise ValueError("no customFields in the answer")
        found = _Location(
            time=now,
            fields={
                key: (field_id, str(each.get("dataType")))
                for each in listed
                if isinstance(each, dict) and (key := an_id(each, "fieldKey")) and (field_id := an_id(each, "id"))
            },
            reported=known.reported if known is not None else set(),
        )
        self._locations[fields.tenant_id] = found
        return found


def _value(field_id: str, kind: str, value: str | int | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        said: str | int = "yes" if value else "no"
    else:
        said = value if kind in _NUMBERS else str(value)
    return {"id": field_id, "field_value": said}
