"""Whose every word can be told apart reaches nobody else; the same with 10,000 contacts: `make load-cache`."""

from pathlib import Path

from tests.support.canaries import Findings, Person, owners, run
from tests.support.stores import Database


async def test_nothing_of_a_contact_is_served_to_stored_for_or_sent_about_another(
    database: Database, valkey: str, tmp_path: Path
):
    findings = await run(database, valkey, tmp_path, contacts=60, seed=3)
    assert findings.leaks == []
    # Everybody's own canaries were there to be found.
    for where in ("served", "sent", "L1", "redis"):
        assert findings.with_canary[where] > 0, where
    assert findings.looked["row of answer"] > 0 and findings.looked["row of completion"] > 0


def test_canary_of_another_is_found_wherever_it_stands():
    one, other = Person(number=7, tenant_id="loc_2"), Person(number=4711, tenant_id="loc_3")
    for value in (other.name, other.phone, other.address, other.name.upper(), "2075554711"):
        assert owners(f"x {value} y") == {4711}
        findings = Findings()
        findings.look("served", f"{one.name} and {value}", (7, 4711))
        findings.look("served", value, (7,))
        assert len(findings.leaks) == 2
