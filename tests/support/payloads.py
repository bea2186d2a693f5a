"""The CRM's 67 documented example payloads, and what each is to us."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.lane import EventKind

WEBHOOK_EVENTS = Path(__file__).parents[3] / "shared" / "ghl" / "webhook-events.json"
MISSING = f"needs {WEBHOOK_EVENTS}: the CRM's documented payloads are not part of this repository"

IN, OUT, OTHER = EventKind.MESSAGE_IN, EventKind.MESSAGE_OUT, EventKind.OTHER
NO_TYPE, UNUSED, UNKNOWN = "NO_TYPE", "UNUSED_TYPE", "UNKNOWN_TYPE"

# One entry for each example, in the file's order: the kind it is stored as, or why it is not stored.
EXPECTED: dict[str, list[EventKind | str]] = {
    "AppInstall": [EventKind.INSTALL] * 3,
    "AppUninstall": [EventKind.UNINSTALL] * 2,
    "AppointmentCreate": [EventKind.APPOINTMENT],
    # Their examples say AppointmentCreate.
    "AppointmentDelete": [EventKind.APPOINTMENT],
    "AppointmentUpdate": [EventKind.APPOINTMENT],
    "AssociationCreate": [NO_TYPE],
    "AssociationDelete": [NO_TYPE],
    "AssociationUpdate": [NO_TYPE],
    "CampaignStatusUpdate": [OTHER],
    "ContactCreate": [EventKind.CONTACT_UPSERT],
    "ContactDelete": [EventKind.CONTACT_DELETE],
    "ContactDndUpdate": [EventKind.DND],
    "ContactTagUpdate": [EventKind.TAGS],
    "ContactUpdate": [EventKind.CONTACT_UPSERT],
    "ConversationUnreadWebhook": [OTHER],
    # A text; a call whose type says OutboundMessage; a voicemail; an e-mail.
    "InboundMessage": [IN, OTHER, OTHER, IN],
    "InvoiceCreate": [NO_TYPE],
    "InvoiceDelete": [NO_TYPE],
    "InvoicePaid": [NO_TYPE],
    "InvoicePartiallyPaid": [NO_TYPE],
    "InvoiceSent": [NO_TYPE],
    "InvoiceUpdate": [NO_TYPE],
    "InvoiceVoid": [NO_TYPE],
    "LCEmailStats": [UNUSED],
    "LocationCreate": [UNUSED],
    "LocationUpdate": [UNUSED],
    "NoteCreate": [OTHER],
    "NoteDelete": [OTHER],
    "NoteUpdate": [OTHER],
    "ObjectSchemaCreate": [NO_TYPE],
    "ObjectSchemaUpdate": [NO_TYPE],
    "OpportunityAssignedToUpdate": [EventKind.OPPORTUNITY],
    "OpportunityCreate": [EventKind.OPPORTUNITY],
    "OpportunityDelete": [EventKind.OPPORTUNITY],
    "OpportunityMonetaryValueUpdate": [EventKind.OPPORTUNITY],
    "OpportunityStageUpdate": [EventKind.OPPORTUNITY],
    "OpportunityStatusUpdate": [EventKind.OPPORTUNITY],
    "OpportunityUpdate": [EventKind.OPPORTUNITY],
    "OrderCreate": [OTHER],
    "OrderStatusUpdate": [OTHER],
    # A text that says direction inbound; a call; a voicemail; an e-mail without a user.
    "OutboundMessage": [OUT, OTHER, OTHER, OUT],
    "PlanChange": [UNUSED],
    # Documented without an example.
    "PriceCreate": [],
    "PriceDelete": [],
    "PriceUpdate": [],
    "ProductCreate": [NO_TYPE],
    "ProductDelete": [NO_TYPE],
    "ProductUpdate": [NO_TYPE],
    # Has a channel where others have a type.
    "ProviderOutboundMessage": [UNUSED, UNUSED],
    "RecordCreate": [NO_TYPE],
    "RecordDelete": [NO_TYPE],
    "RecordUpdate": [NO_TYPE],
    "RelationCreate": [NO_TYPE],
    "RelationDelete": [NO_TYPE],
    "TaskComplete": [OTHER],
    "TaskCreate": [OTHER],
    "TaskDelete": [OTHER],
    # The first is its schema: type "string".
    "UserCreate": [UNKNOWN, UNUSED, UNUSED],
}


def documented() -> Iterator[tuple[str, int, dict[str, Any], EventKind | str]]:
    """Yield event, number of the example, payload and what is expected of it; skips without the file."""
    if not WEBHOOK_EVENTS.exists():
        pytest.skip(MISSING)
    for event, page in json.loads(WEBHOOK_EVENTS.read_text(encoding="utf-8")).items():
        for number, example in enumerate(page["examples"]):
            yield event, number, example["payload"], EXPECTED[event][number]
