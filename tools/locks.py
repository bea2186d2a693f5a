"""Check, without any network, that the locks pin and hash what pyproject.toml asks for."""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^ ;\\]+)")


def problems(wanted: Iterable[str], lock: str) -> list[str]:
    """List what is wrong with a lock: not pinned, pinned outside its range, without hashes, or naming a host."""
    found = []
    entries = re.split(r"\n(?=\S)", lock.strip())
    pins: dict[str, Version] = {}
    for entry in entries:
        pin = PIN.match(entry)
        if pin is None or "--hash=sha256:" not in entry:
            found.append(f"not a pin with hashes: {entry.splitlines()[0]}")
        else:
            pins[canonicalize_name(pin["name"])] = Version(pin["version"])
    if "://" in lock:
        found.append("names a host")
    for text in wanted:
        requirement = Requirement(text)
        version = pins.get(canonicalize_name(requirement.name))
        if version is None:
            found.append(f"lacks {requirement.name}")
        elif version not in requirement.specifier:
            found.append(f"has {requirement.name} {version}, wanted {requirement.specifier}")
    return found


def main() -> int:
    """Check both locks; 1 when something is wrong."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime = [*project["dependencies"], *extras["build"]]
    wrong = 0
    for name, wanted in (
        ("requirements.lock", runtime),
        ("requirements-dev.lock", [*runtime, *extras["dev"], *extras["quality"]]),
    ):
        for problem in problems(wanted, (ROOT / name).read_text()):
            sys.stderr.write(f"{name}: {problem}\n")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
