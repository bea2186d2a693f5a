"""Remove the mechanisms behind the guarantees one at a time, and see that their tests notice.

`python -m tools.mechanisms` copies the tree, runs the named tests as they are, then
each mechanism's tests without that mechanism, then all of them again. A mechanism
whose removal no named test notices fails the run. `--write` puts the table into
docs/guarantees.md; names on the command line choose mechanisms.
"""

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.mechanism_table import MECHANISMS, Mechanism

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- tools.mechanisms begins -->", "<!-- tools.mechanisms ends -->"
SECONDS_PER_RUN: Final = 300
# A mutant that does not even run is noticed by everything and shows nothing.
BROKEN: Final = re.compile(r"SyntaxError|NameError|UndefinedColumn|UndefinedTable|UndefinedFunction|ImportError")
_FUNCTION = r"create (?:or replace )?function {name}\(.*?\n(?:end )?\$\$;"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the tests of one mechanism did without it."""

    mechanism: Mechanism
    missed: tuple[str, ...]
    why: str
    seconds: float


def place(root: Path, mechanism: Mechanism) -> tuple[Path, int, int]:
    """Find a mechanism's text: the file, and where it begins and ends there.

    For an SQL function the last migration that defines it counts.

    Raises:
        LookupError: The text does not stand there exactly once.
    """
    if not mechanism.function:
        path = root / mechanism.file
        found, offset = path.read_text(encoding="utf-8"), 0
    else:
        pattern = re.compile(_FUNCTION.format(name=mechanism.function), re.DOTALL)
        defined = [
            (path, match)
            for path in sorted((root / "migrations" / "sql").glob("*.sql"))
            for match in pattern.finditer(path.read_text(encoding="utf-8"))
        ]
        if not defined:
            raise LookupError(f"{mechanism.name}: no migration defines {mechanism.function}")
        path, match = defined[-1]
        found, offset = match[0], match.start()
    if found.count(mechanism.text) != 1:
        where = mechanism.function or mechanism.file
        raise LookupError(f"{mechanism.name}: its text stands {found.count(mechanism.text)} times in {where}")
    begin = offset + found.index(mechanism.text)
    return path, begin, begin + len(mechanism.text)


def without(root: Path, mechanism: Mechanism) -> tuple[Path, str]:
    """Return the file of a mechanism, and its content with the mechanism taken out."""
    path, begin, end = place(root, mechanism)
    content = path.read_text(encoding="utf-8")
    return path, content[:begin] + mechanism.instead + content[end:]


def copy_tree(target: Path) -> None:
    """Copy what git knows or could know of the tree, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - git is a prerequisite
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, dict[str, str], str]:
    """Run tests in a tree; return the exit code, each failure with its reason, and all that was printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", "--no-header", *tests],
        cwd=tree, capture_output=True, text=True, timeout=SECONDS_PER_RUN,
        env={**os.environ, "COLUMNS": "400"}, check=False,
    )  # fmt: skip
    failures: dict[str, str] = {}
    for line in ended.stdout.splitlines():
        if match := re.match(r"(?:FAILED|ERROR) (\S+?::\w+)(?:\[.*?\])?(?: - (.*))?$", line):
            failures.setdefault(match[1], match[2] or "")
    return ended.returncode, failures, ended.stdout


def look(tree: Path, mechanism: Mechanism) -> Seen:
    """Take one mechanism out of the tree, run its tests, and put it back."""
    began = time.monotonic()
    path, mutated = without(tree, mechanism)
    original = path.read_text(encoding="utf-8")
    path.write_text(mutated, encoding="utf-8")
    try:
        _, failures, printed = run_tests(tree, mechanism.tests)
    finally:
        path.write_text(original, encoding="utf-8")
    why = next((reason for test in mechanism.tests if (reason := failures.get(_plain(test), ""))), "")
    missed = tuple(test for test in mechanism.tests if _plain(test) not in failures)
    if BROKEN.search(printed):
        missed, why = mechanism.tests, f"the mutant does not run: {why}"
    return Seen(mechanism=mechanism, missed=missed, why=why, seconds=time.monotonic() - began)


def _plain(test: str) -> str:
    return test.partition("[")[0]


def report(seen: Sequence[Seen]) -> str:
    """Write the table of a run, in Markdown."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    lines = [
        f"{len(seen)} mechanisms, {sum(not each.missed for each in seen)} noticed when they were gone; "
        f"the same tests pass with all of them in place. {today}.",
        "",
        "| guarantee | taken out | noticed by | it said |",
        "|---|---|---|---|",
    ]
    for each in seen:
        tests = "<br>".join(f"`{test.rpartition('::')[2]}`" for test in each.mechanism.tests)
        said = each.why.replace("|", "\\|")[:110]
        lines.append(f"| {each.mechanism.guarantee} | {each.mechanism.name} | {tests} | `{said}` |")
    return "\n".join(lines)


def main() -> int:
    """Run; 1 when a mechanism was not missed or a test fails with all of them in place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="parts of mechanisms' names; all when there is none")
    parser.add_argument("--write", action="store_true", help="put the table into docs/guarantees.md")
    asked = parser.parse_args()
    chosen = [each for each in MECHANISMS if not asked.names or any(name in each.name for name in asked.names)]
    tests = sorted({test for each in chosen for test in each.tests})
    with tempfile.TemporaryDirectory(prefix="porchlight-mechanisms-") as directory:
        tree = Path(directory)
        copy_tree(tree)
        if not _all_pass(tree, tests, "before"):
            return 1
        seen = []
        for each in chosen:
            seen.append(look(tree, each))
            mark = "NOT NOTICED by " + ", ".join(seen[-1].missed) if seen[-1].missed else "noticed"
            sys.stdout.write(
                f"{mark:12} {each.guarantee:4} {each.name} ({seen[-1].seconds:.0f} s) {seen[-1].why[:150]}\n"
            )
            sys.stdout.flush()
        if not _all_pass(tree, tests, "after"):
            return 1
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        head, tail = page.partition(BEGIN)[0], page.partition(END)[2]
        PAGE.write_text(f"{head}{BEGIN}\n{report(seen)}\n{END}{tail}", encoding="utf-8")
    return int(any(each.missed for each in seen))


def _all_pass(tree: Path, tests: Sequence[str], when: str) -> bool:
    code, _, printed = run_tests(tree, tests)
    sys.stdout.write(f"{when}: {printed.strip().splitlines()[-1]}\n")
    if code:
        sys.stdout.write(printed)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
