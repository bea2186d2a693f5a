"""Somebody is erased over all processes, and their words are looked for everywhere."""

import re
import subprocess

import pytest
from porchlight.contact.v1 import contact_service_pb2 as pb
from porchlight.contact.v1.contact_service_pb2_grpc import ContactServiceStub
from redis.asyncio import Redis

from kit.rpc.client import call
from services.cache.tier_redis import INDEX, PREFIX
from tests.support.system import TENANT, System, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

# In name, phone, address and text; a number is looked for in all the ways in which it is written.
CANARIES = ("qvxname", "qvxroad", "qvxtext", "5550188", "555-0188")


def found_in(said: str) -> set[str]:
    folded = said.lower()
    return {canary for canary in CANARIES if canary in folded or canary.encode().hex() in folded}


async def in_tables(system: System) -> dict[str, set[str]]:
    """Dump every table as text and return where which canary stands."""
    tables = await system.sql("select table_name from information_schema.tables where table_schema = 'porchlight'")
    found = {}
    for name in (row["table_name"] for row in tables):
        dump = await system.sql(f"select string_agg(t::text, ' ') as said from {name} t")
        if canaries := found_in(dump[0]["said"] or ""):
            found[name] = canaries
    return found


async def entries(system: System) -> dict[bytes, str]:
    """Return every key of Valkey with what it holds."""
    # The server writes its address into its own name.
    title = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(system.pid("valkey"))], capture_output=True, text=True, check=True
    ).stdout
    port = int(re.findall(r"(?:127\.0\.0\.1:|--port )(\d+)", title)[0])
    password = (system.state_dir / "valkey.password").read_text().strip()
    async with Redis(port=port, password=password) as client:
        return {key: repr(await _value(client, key)) async for key in client.scan_iter(count=1000)}


async def of_contacts(system: System) -> set[bytes]:
    """Return the keys of answers that belong to one contact each, and of the sets that name those."""
    held = await entries(system)
    named = "".join(value for key, value in held.items() if key.startswith(INDEX.encode()))
    return {
        key
        for key in held
        if key.startswith(INDEX.encode())
        or (key.startswith(PREFIX.encode()) and key.decode().removeprefix(PREFIX) in named)
    }


async def answered(system: System, contact: str, count: int) -> None:
    async def enough() -> bool:
        return len(await system.replies(contact)) >= count

    await until(f"{count} replies", enough)


async def _value(client: Redis, key: bytes) -> object:
    match await client.type(key):
        case b"string":
            return await client.get(key)
        case b"set":
            return await client.smembers(key)
        case b"hash":
            return await client.hgetall(key)
        case b"zset":
            return await client.zrange(key, 0, -1)
    return None


async def test_erased_person_stands_in_no_table_no_entry_and_no_log_and_stays_opted_out(system: System) -> None:
    """Goal: nothing but keyed hashes is left. Method: canaries; a talk with a handoff, STOP, the erasure, a new start."""
    before = await of_contacts(system)
    contact = await system.contact("Qvxname", "(206) 555-0188")
    owned = set[bytes]()
    sites = iter("abcdefgh")
    while not owned:
        # Another site each time: a text that no student answers, and a breaker that another story opened closes.
        site = next(sites, None)
        assert site, "the cache holds nothing of the contact, so nothing is tested here"
        answers = len(await system.replies(contact)) + 1
        said = f"I want to buy a house near 12 Qvxroad because of my qvxtext, call 206-555-0188, see www.{site}.example"
        await system.text(contact, said)
        await answered(system, contact, answers)
        owned = await of_contacts(system) - before
    answers = len(await system.replies(contact)) + 1
    await system.text(contact, "STOP")
    await answered(system, contact, answers)
    assert {"contact", "inbox"} <= set(await in_tables(system))

    async with system.channel("gateway") as channel:
        request = pb.DeleteContactRequest(tenant_id=TENANT, contact_id=contact)
        receipt = await call(ContactServiceStub(channel).DeleteContact, request, seconds=5)
    assert receipt.cache_cleared and receipt.opt_out_kept
    assert min(receipt.rows[name] for name in ("contact", "inbox", "turn", "fact", "handoff", "outbox")) > 0

    assert await in_tables(system) == {}
    assert await of_contacts(system) & owned == set()
    left = await entries(system)
    assert {key: value for key, value in left.items() if found_in(key.decode(errors="replace") + value)} == {}
    logs = "".join(path.read_text(errors="replace") for path in system.state_dir.glob("**/*.log"))
    assert found_in(logs + "\n".join(system.lines)) == set()

    await system.text(contact, "hello again")

    async def stored() -> list[str]:
        found = await system.sql("select outcome from inbox where contact_id = $1 and body = 'hello again'", contact)
        return [row["outcome"] for row in found]

    assert await until("the new text is stored", stored) == ["SUPPRESSED"]
