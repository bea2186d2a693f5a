"""Every direct dependency says what it is for, and nothing else does."""

import re
import tomllib

from tests.support.system import ROOT


def test_every_dependency_has_its_line_and_every_line_its_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    names = {match[0] for each in asked if (match := re.match(r"[A-Za-z0-9-]+", each))}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([a-z0-9-]+)", page, flags=re.MULTILINE)) - {"package"} == names
