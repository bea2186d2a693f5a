"""The Handoff Safety Bench: what holds when handoffs go wrong, in this system and in others.

    python -m bench.handoff_safety [--system porchlight] [--probe limit] [--write]

`--write` replaces this bench's part of bench/RESULTS.md. How to add a system: README.md here.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg

from bench.handoff_safety import porchlight
from bench.handoff_safety.probes import PROBES, run_all
from bench.measure import machine
from bench.walk import write
from tests.support.stores import Cluster, running_cluster

HERE = Path(__file__).parent
SECTION = "Handoff Safety Bench"
OTHERS = ("langgraph",)
"""Folders with an `adapter` and an environment of their own."""

Report = Mapping[str, Any]
"""Name, version, findings."""


async def probe_ours(cluster: Cluster, folder: Path, only: str) -> Report:
    """Put the probes to Porchlight."""
    async with porchlight.running(cluster, folder) as system:
        findings = [asdict(each) | {"outcome": each.outcome.value} for each in await run_all(system, only=only)]
        return {"name": system.name, "version": system.version, "findings": findings}


def probe_other(name: str, cluster: Cluster, only: str) -> Report:
    """Put the probes to another system, in its own environment, over a database of its own in the same Postgres."""
    asyncio.run(_create_database(cluster.admin_url, name))
    url = cluster.admin_url.rpartition("/")[0] + f"/{name}"
    python = str(HERE / name / ".venv" / "bin" / "python")
    command = [python, "-m", "bench.handoff_safety.run", f"bench.handoff_safety.{name}.adapter", url, str(cluster.pid)]
    ran = subprocess.run([*command, only], stdout=subprocess.PIPE, check=True, timeout=900)
    report: Report = json.loads(ran.stdout)
    return report


async def _create_database(admin_url: str, name: str) -> None:
    connection = await asyncpg.connect(admin_url)
    await connection.execute(f"create database {name}")
    await connection.close()


def table(reports: Sequence[Report]) -> str:
    """Write the findings side by side."""
    lines = [f"Machine: {machine()}. Date: {date.today()}. Run: `make bench-handoff-safety`.", ""]
    lines += [f"- {each['name']}: {each['version']}" for each in reports]
    lines += [
        "",
        f"| probe | guarantee | {' | '.join(each['name'] for each in reports)} |",
        "|---" * (2 + len(reports)) + "|",
    ]
    found = [{each["probe"]: each for each in report["findings"]} for report in reports]
    for promise, guarantee, _ in PROBES:
        if promise in found[0]:
            cells = (f"**{each[promise]['outcome']}**: {each[promise]['seen']}" for each in found)
            lines.append(f"| {promise} | {guarantee} | {' | '.join(cells)} |")
    counts = (_counts(report) for report in reports)
    lines.append(f"| holds / fails / not offered | | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


def _counts(report: Report) -> str:
    outcomes = [each["outcome"] for each in report["findings"]]
    return " / ".join(str(outcomes.count(kind)) for kind in ("HOLDS", "FAILS", "NOT OFFERED"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write; ends with 1 when a promise of ours does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", choices=("porchlight", *OTHERS), help="only this one")
    parser.add_argument("--probe", default="", help="only probes with this in their function's name")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    reports = []
    with tempfile.TemporaryDirectory() as path, running_cluster(Path(path) / "stores", durable=True) as cluster:
        for name in ("porchlight", *OTHERS):
            if options.system not in (None, name):
                continue
            if name in OTHERS:
                reports.append(probe_other(name, cluster, options.probe))
            else:
                reports.append(asyncio.run(probe_ours(cluster, Path(path), options.probe)))
    made = table(reports)
    print(made)
    if options.write:
        write(SECTION, made)
    ours = [each for report in reports if report["name"] == "Porchlight" for each in report["findings"]]
    sys.exit(any(each["outcome"] != "HOLDS" for each in ours))


if __name__ == "__main__":
    main()
