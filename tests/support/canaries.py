"""People whose every word can be told apart write at once: does a byte of one reach another?

`python -m tests.support.canaries --contacts 10000 --seed 7` runs stores and two cache
services of its own, prints what was looked at, and exits with 1 when anything leaked.

Each contact has a canary in name, phone, address and text, and a twin of the same id
in another tenant. Claude is one that tells: it puts what it was asked, and what it was
asked before, into its answers wherever there is room. A fifth of the callers hang up.
Looked at is every answer, every request to Claude, every entry that a process or
Redis keeps, and every row of the database.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog
from porchlight.cache.v1 import cache_service_pb2 as pb
from redis.asyncio import Redis

from kit.errors import PorchlightError
from kit.rpc import client
from migrations.prompts import load_prompts
from services.cache.canonical import Key
from services.cache.entry import Entry, pack, unpack
from services.cache.tier_memory import MemoryTier
from services.cache.tier_redis import INDEX, PREFIX
from tests.support.caches import Caches
from tests.support.claude_script import ScriptedClaude, message, scripted_claude
from tests.support.stores import create_database, drop_database, running_cluster, running_valkey

TENANTS: Final = ("loc_1", "loc_2", "loc_3")
AT_ONCE: Final = 60
# Letters alone, since numbers are masked before anything else.
WORD: Final = re.compile(r"zq([a-p]{5})[nsw]", re.IGNORECASE)
LETTERS: Final = "abcdefghijklmnop"
PHONE: Final = re.compile(r"207\)?[ .-]?555[ .-]?(\d{4})(?!\d)")
# Not the fraction of a moment.
HOUSE: Final = re.compile(r"(?<![\w.])9(\d{5})7(?!\w)")

EXTRACT: Final = """+++
name = "lead.extract"
model = "claude-haiku-5-5"
max_tokens = 400
scope = "tenant"
schema = '''{"type": "object", "additionalProperties": false, "required": ["intent", "words", "value"], "properties": {
  "intent": {"anyOf": [{"type": "string", "enum": ["buy", "sell"]}, {"type": "null"}]},
  "words": {"type": "string"}, "value": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}'''
+++
You say what a masked text means.
+++
<known>{known}</known><asked>{asked}</asked><turn>{turn}</turn>
<messages>
{messages}
</messages>
"""
NOTE: Final = """+++
name = "lead.note"
model = "claude-haiku-5-5"
max_tokens = 400
scope = "contact"
+++
You write a note on what a person wrote.
+++
<messages>{messages}</messages>
"""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A contact; the number is in every canary."""

    number: int
    tenant_id: str

    @property
    def contact_id(self) -> str:
        """The same for the twins of other tenants."""
        return f"c_{self.number // len(TENANTS)}"

    @property
    def letters(self) -> str:
        return "q" + f"{self.number:05x}".translate(str.maketrans("0123456789abcdef", LETTERS))

    @property
    def name(self) -> str:
        return f"Z{self.letters}n"

    @property
    def phone(self) -> str:
        return f"(207) 555-{self.number % 10_000:04d}"

    @property
    def address(self) -> str:
        return f"9{self.number % 100_000:05d}7 Z{self.letters}s Street"

    def texts(self, luck: random.Random) -> list[str]:
        """Return what they write: of themselves, of anybody, or both."""
        word = f"z{self.letters}w"
        return [
            luck.choice(
                (
                    f"I want to buy a house, my wife is {word}",
                    f"This is {self.name}, I want to sell my house",
                    f"call me at {self.phone}, I want to sell",
                    f"we live at {self.address} and want to sell",
                    f"{self.name} here, {self.address}, {self.phone}, {word}, {luck.choice(('buy', 'sell'))}",
                    f"my code is {word}",
                    "I want to buy a house",
                    "looking to sell my home under 650k in Ballard",
                    f"under {luck.randint(200, 900)}k with 3 bedrooms",
                )
            )
            for _ in range(luck.randint(1, 2))
        ]


_DIGITS: Final = str.maketrans(LETTERS, "0123456789abcdef")


def owners(text: str) -> set[int]:
    """Return the numbers of everybody whose canaries stand in a text."""
    words = {int(found.lower().translate(_DIGITS), 16) for found in WORD.findall(text)}
    return words | {int(found) for pattern in (PHONE, HOUSE) for found in pattern.findall(text)}


@dataclass
class Findings:
    """What was looked at, and what leaked."""

    looked: Counter[str] = field(default_factory=Counter)
    with_canary: Counter[str] = field(default_factory=Counter)
    """How many of them held somebody's canary: their own, or nothing would have been tried."""
    leaks: list[str] = field(default_factory=list)

    def look(self, where: str, text: str, allowed: Collection[int]) -> None:
        """Look at a text in which only canaries of `allowed` may be found, and of one person only."""
        found = owners(text)
        self.looked[where] += 1
        self.with_canary[where] += bool(found)
        if len(found) > 1 or not found <= set(allowed):
            self.leaks.append(f"{where}: {sorted(found)} in {text[:300]!r}")


class Telltale:
    """A Claude that says what it was told, and what it was told before."""

    def __init__(self, claude: ScriptedClaude, luck: random.Random) -> None:
        self._claude = claude
        self._luck = luck

    async def answer(self) -> None:
        """Choose the next answer."""
        asked = self._claude.requests
        now = asked[-1]
        before = self._luck.choice(asked)
        said = re.search(r"<messages>\s*(.*?)\s*</messages>", now["messages"][0]["content"], re.DOTALL)
        masked = said[1] if said else ""
        if "output_config" not in now:
            self._claude.body = message(f"They wrote: {masked}")
            return
        other = re.search(r"<messages>\s*(.*?)\s*</messages>", before["messages"][0]["content"], re.DOTALL)
        words = self._luck.choice((masked, masked, masked.split(",")[0], other[1] if other else "", "want to sell"))
        refs = re.findall(r"[A-Z]+_\d+", masked)
        value = self._luck.choice((None, *refs, "PHONE_1", "(207) 555-0000"))
        intent = self._luck.choice(("buy", "sell", None))
        self._claude.body = message(json.dumps({"intent": intent, "words": words, "value": value}))


@asynccontextmanager
async def remembered() -> AsyncIterator[list[tuple[str, bytes]]]:
    """Note everything that any process's memory is given to keep."""
    kept: list[tuple[str, bytes]] = []
    put = MemoryTier.put

    async def note(self: MemoryTier[Entry], key_id: str, data: Entry, *, life_seconds: float, owner: str = "") -> None:
        kept.append((key_id, pack(data)))
        await put(self, key_id, data, life_seconds=life_seconds, owner=owner)

    MemoryTier.put = note  # type: ignore[assignment, method-assign]
    try:
        yield kept
    finally:
        MemoryTier.put = put  # type: ignore[method-assign]


async def run(database: Any, valkey: str, folder: Path, *, contacts: int, seed: int) -> Findings:
    """Let everybody write, then look at everything."""
    luck, findings = random.Random(seed), Findings()
    people = [Person(number=number, tenant_id=TENANTS[number % len(TENANTS)]) for number in range(contacts)]
    prompts = folder / "services" / "lead" / "prompts"
    prompts.mkdir(parents=True)
    (prompts / "extract.md").write_text(EXTRACT)
    (prompts / "note.md").write_text(NOTE)
    await load_prompts(database.admin_url, folder)
    everybody = range(contacts)
    keys: dict[str, int] = {}
    """Key of an entry to the contact who was told that it is theirs alone."""
    async with remembered() as kept, scripted_claude() as claude, AsyncExitStack() as stack:
        telltale = Telltale(claude, luck)
        claude.wait = telltale.answer
        caches = Caches(stack, folder, database.url("cache"))
        stubs = [
            await caches.start(
                anthropic_base_url=claude.url,
                redis_url=valkey,
                claude_requests_per_minute=10**5,
                claude_input_tokens_per_minute=10**8,
                claude_output_tokens_per_minute=10**8,
                claude_daily_usd=10_000,
                claude_tenant_daily_usd=10_000,
            )
            for _ in range(2)
        ]
        room = asyncio.Semaphore(AT_ONCE)

        async def write(person: Person) -> None:
            async with room:
                for text in person.texts(luck):
                    await _one(luck.choice(stubs), person, text, luck, findings, keys)

        # Some twice, so that hits are looked at too.
        crowd = people + luck.sample(people, contacts // 3)
        luck.shuffle(crowd)
        await asyncio.gather(*(write(person) for person in crowd))
        await asyncio.sleep(1.0)  # what was begun for those who hung up
        for request in claude.requests:
            text = json.dumps(request)
            # Values that the CRM has are masked on the way to Claude, the person's own too.
            known = PHONE.search(text) or HOUSE.search(text) or re.search(r"zq[a-p]{5}[ns]", text, re.IGNORECASE)
            findings.look("sent", text, () if known else everybody)
    for key_id, data in kept:
        _look_at_entry("L1", key_id, data, findings, keys, everybody)
    await _look_at_redis(valkey, findings, keys, everybody)
    await _look_at_rows(database.admin_url, findings)
    return findings


async def _one(
    stub: Any, person: Person, text: str, luck: random.Random, findings: Findings, keys: dict[str, int]
) -> None:
    own = [
        pb.OwnValue(kind=pb.SPAN_KIND_NAME, value=person.name),
        pb.OwnValue(kind=pb.SPAN_KIND_PHONE, value=person.phone),
        pb.OwnValue(kind=pb.SPAN_KIND_ADDRESS, value=person.address),
    ]
    if luck.random() < 0.85:
        analyze = pb.AnalyzeRequest(
            tenant_id=person.tenant_id,
            contact_id=person.contact_id,
            prompt="lead.extract",
            texts=[text],
            own_values=own,
        )
        call = asyncio.ensure_future(client.call(stub.Analyze, analyze, seconds=30.0))
    else:
        # A prompt of the contact's own scope is given the words as they are; bots give it no values of the CRM's.
        words = re.sub(r"[0-9()]", "", text.replace(person.name, "").replace(person.address, ""))
        complete = pb.CompleteRequest(
            tenant_id=person.tenant_id,
            contact_id=person.contact_id,
            prompt="lead.note",
            variables={"messages": words},
        )
        call = asyncio.ensure_future(client.call(stub.Complete, complete, seconds=30.0))
    if luck.random() < 0.2:
        await asyncio.sleep(luck.random() * 0.03)
        call.cancel()
    try:
        answer = await call
    except (PorchlightError, asyncio.CancelledError) as refused:
        why = refused.metadata.get("defect", refused.reason) if isinstance(refused, PorchlightError) else "hung up"
        findings.looked[f"no answer: {why}"] += 1
        findings.look("errors", str(refused) + str(getattr(refused, "metadata", "")), ())
        return
    answer.ClearField("age")  # a number that can look like a house's
    findings.look("served", str(answer), (person.number,))
    if not getattr(answer, "shared", False) and keys.setdefault(answer.key_id, person.number) != person.number:
        findings.leaks.append(f"served: {person} and {keys[answer.key_id]} have one key")


def _look_at_entry(
    where: str, key_id: str, data: bytes, findings: Findings, keys: Mapping[str, int], everybody: range
) -> None:
    """Look at an entry: who was given its key may stand in it, and whoever hung up was given none."""
    text = data.decode(errors="replace")
    scope_id = json.loads(data[16:])["scope_id"]
    entry = unpack(data, Key(key_id=key_id, scope_id=scope_id))
    shared = json.loads(entry.basis)["scope"] == "tenant"
    findings.look(where, text, () if shared else (keys[key_id],) if key_id in keys else everybody)


async def _look_at_redis(url: str, findings: Findings, keys: Mapping[str, int], everybody: range) -> None:
    async with Redis.from_url(url) as redis:
        async for key in redis.scan_iter("*"):
            name = key.decode()
            findings.look("redis keys", name, ())
            if name.startswith(PREFIX) and isinstance(data := await redis.get(key), bytes):
                _look_at_entry("redis", name.removeprefix(PREFIX), data, findings, keys, everybody)
            elif name.startswith(INDEX):
                findings.look("redis indexes", str(await redis.smembers(key)), ())


async def _look_at_rows(url: str, findings: Findings) -> None:
    admin = await asyncpg.connect(url)
    try:
        for row in await admin.fetch("select tablename from pg_tables where schemaname = 'porchlight'"):
            table = row["tablename"]
            for each in await admin.fetch(f"select to_jsonb(t)::text as text from porchlight.{table} t"):
                findings.look(f"row of {table}", each["text"], ())
    finally:
        await admin.close()


def main(arguments: list[str] | None = None) -> int:
    """Run it with stores of its own; 1 when something leaked or nothing was looked at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    given = parser.parse_args(arguments)
    # A line for each call would be all that one sees.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.stdout.write(f"seed {given.seed}\n")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="porchlight-canaries-")))
        cluster = stack.enter_context(running_cluster(folder / "postgres"))
        valkey = stack.enter_context(running_valkey(folder / "valkey"))

        async def whole() -> Findings:
            database = await create_database(cluster)
            found = await run(database, valkey, folder / "run", contacts=given.contacts, seed=given.seed)
            await drop_database(database)
            return found

        (folder / "run").mkdir()
        findings = asyncio.run(whole())
    for where, count in sorted(findings.looked.items()):
        sys.stdout.write(f"{where:32} {count:8} looked at, {findings.with_canary[where]:8} with a canary\n")
    for leak in findings.leaks[:20]:
        sys.stdout.write(f"LEAK {leak}\n")
    sys.stdout.write(f"{given.contacts} contacts, {len(findings.leaks)} leaks\n")
    return 1 if findings.leaks or not findings.with_canary["served"] else 0


if __name__ == "__main__":
    sys.exit(main())
