"""The README's terminal session runs as written, against a running system."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import ROOT, System

pytestmark = pytest.mark.asyncio(loop_scope="session")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def session() -> list[tuple[str, list[str]]]:
    """Return the commands of the console blocks with the output that the page shows."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def shown(expected: list[str], output: str) -> bool:
    """Say whether the output has the shown lines in order; `...` stands for any lines."""
    place = 0
    for line in (line.strip() for line in expected):
        if line == "...":
            continue
        found = output.find(line, place)
        if found < 0:
            return False
        place = found + len(line)
    return True


async def test_terminal_session_of_the_readme_runs_as_written(system: System) -> None:
    """Method: one bash, ports and state directory replaced by those of the running system."""
    tools = Path(sys.executable).parent
    if not all(shutil.which(name, path=f"{tools}:{os.environ['PATH']}") for name in ("grpcurl", "buf", "curl")):
        pytest.skip("grpcurl, buf or curl is not on this machine")
    places = {"127.0.0.1:8090": system.phone_page.removeprefix("http://"), ".venv/bin/": f"{tools}/"}
    places |= {
        f"127.0.0.1:{port}": system.target(name)
        for name, port in (("lead", 50051), ("buyer", 50052), ("seller", 50053), ("handoff", 50054), ("gateway", 50056))
    }
    steps = session()
    assert len(steps) > 8
    script = "\n".join(f"{command}\necho '@@@'" for command, _ in steps)
    script = re.sub("|".join(re.escape(place) for place in places), lambda match: places[match[0]], script)
    env = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "PORCHLIGHT_STATE_DIR": str(system.state_dir)}
    done = subprocess.run(
        ["bash", "-c", script], env=env, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    outputs = done.stdout.split("@@@\n")
    # grpcurl writes errors to stderr; the page shows one, as a terminal does.
    for (command, expected), output in zip(steps, outputs, strict=False):
        seen = output + (done.stderr if expected and expected[0] == "ERROR:" else "")
        assert shown(expected, seen), f"$ {command}\n{seen}\n{done.stderr}"
