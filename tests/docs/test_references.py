"""What pages and comments refer to is there: links, files, make's targets, settings."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.system import ROOT

FOLDERS = "bench|compose|docs|kit|migrations|protos|sandbox|services|tests|tools"
SOURCES = (".html", ".md", ".proto", ".py", ".sql", ".toml", ".yml")
# What is generated or installed says nothing of its own; tests name files that they make.
LEFT_OUT = {".venv", "gen", "build", "tests"}


def texts(*endings: str) -> Iterator[tuple[Path, str]]:
    """Yield the project's pages and sources by their endings, and the Makefile."""
    for path in (*ROOT.glob("*"), *(path for name in FOLDERS.split("|") for path in (ROOT / name).rglob("*"))):
        named = path.relative_to(ROOT)
        if (path.suffix in endings or path.name == "Makefile") and not LEFT_OUT & set(named.parts[:-1]):
            yield named, path.read_text(encoding="utf-8")


def named(pattern: str, *endings: str) -> set[tuple[str, str]]:
    """Return what the pattern's group finds, each with the file that names it."""
    return {(str(path), match[1]) for path, text in texts(*endings) for match in re.finditer(pattern, text)}


def is_there(page: str, path: str) -> bool:
    """Say whether a file is there, seen from the top or from the page; the beginning of a name will do (adr/0009)."""
    places = (ROOT / path, ROOT / Path(page).parent / path)
    return any(place.exists() or any(place.parent.glob(f"{place.name}*")) for place in places)


def test_every_link_of_a_page_leads_to_a_file() -> None:
    links = named(r"\]\((?!http)([^)#]+)", ".md")
    assert len(links) > 15
    assert {link for link in links if not is_there(*link)} == set()


def test_every_file_that_pages_and_comments_name_is_there() -> None:
    files = named(rf"(?<![\w./<-])((?:{FOLDERS})/[\w/-]*\w(?:\.\w+)?)(?![\w*<{{/-])", *SOURCES)
    assert len(files) > 100
    assert {file for file in files if not is_there(*file)} == set()


def test_every_target_of_make_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {each for each in named(r"`make ([\w-]+)", *SOURCES) if each[1] not in targets} == set()


def test_every_setting_that_a_page_names_is_one() -> None:
    known = set(re.findall(r"PORCHLIGHT_\w+", (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")))
    asked = {each for each in named(r"\b(PORCHLIGHT_(?!TEST_)\w+)", ".md") if each[0] != "CHANGELOG.md"}
    assert {each for each in asked if each[1] not in known} == set()
