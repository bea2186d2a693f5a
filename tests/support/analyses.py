"""A prompt for analyses, what Claude may say to it, and how a bot asks."""

import json
from typing import Any

from porchlight.cache.v1 import cache_service_pb2 as pb

from kit.rpc import client

PROMPT = """+++
name = "lead.extract"
model = "claude-haiku-5-5"
max_tokens = 400
effort = "low"
scope = "tenant"
schema = '''{"type": "object", "additionalProperties": false, "required": ["intent", "price"], "properties": {
  "intent": {"anyOf": [{"type": "object", "additionalProperties": false, "required": ["value", "words", "confidence"],
    "properties": {"value": {"type": "string", "enum": ["buy", "sell"]}, "words": {"type": "string"},
      "confidence": {"type": "number"}}}, {"type": "null"}]},
  "price": {"anyOf": [{"type": "string", "enum": ["MONEY_1", "MONEY_2"]}, {"type": "null"}]}}}'''
+++
You say what a masked text means.
+++
<known>{known}</known><asked>{asked}</asked><turn>{turn}</turn>
<messages>
{messages}
</messages>
"""


def analysis(value: str = "buy", words: str = "want to buy", sure: float = 0.9, price: str | None = None) -> str:
    return json.dumps({"intent": {"value": value, "words": words, "confidence": sure}, "price": price})


async def analyze(
    stub: Any,
    *texts: str,
    contact: str = "c_1",
    tenant: str = "loc_1",
    own: tuple[tuple[int, str], ...] = (),
    **state: Any,
) -> pb.AnalyzeResponse:
    request = pb.AnalyzeRequest(
        tenant_id=tenant,
        contact_id=contact,
        prompt="lead.extract",
        texts=texts,
        state=pb.DialogueState(**state),
        own_values=[pb.OwnValue(kind=kind, value=value) for kind, value in own],  # type: ignore[arg-type]
    )
    response: pb.AnalyzeResponse = await client.call(stub.Analyze, request, seconds=10.0)
    return response
