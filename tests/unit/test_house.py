"""The rules of the house that no tool checks by itself, and that the tools which do can say no."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import locks, protos

ROOT = Path(__file__).parents[2]
PACKAGES = ("kit", "migrations", "sandbox", "services", "tools")
FORBIDDEN_WORDS = {"manager", "orchestrator", "helper", "helpers", "util", "utils", "common", "misc"}
LONGEST_FUNCTION, LONGEST_MODULE = 70, 500


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def parsed() -> Iterator[tuple[Path, ast.Module]]:
    for path in sources():
        yield path.relative_to(ROOT), ast.parse(path.read_text())


def test_no_function_is_longer_than_70_lines():
    functions = (
        (path, node)
        for path, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path, node in functions
        if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_no_module_is_longer_than_500_lines():
    long = [str(path.relative_to(ROOT)) for path in sources() if len(path.read_text().splitlines()) > LONGEST_MODULE]
    assert long == []


def test_package_files_hold_nothing_but_a_docstring():
    full = [
        str(path)
        for path, tree in parsed()
        if path.name == "__init__.py" and (len(tree.body) > 1 or (tree.body and not isinstance(tree.body[0], ast.Expr)))
    ]
    assert full == []


def test_names_hold_none_of_the_words_that_say_nothing():
    found = []
    for path, tree in parsed():
        names = [(1, part) for part in path.with_suffix("").parts]
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.append((node.lineno, node.name))
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.append((node.lineno, node.id))
        for line, name in names:
            words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
            if words & FORBIDDEN_WORDS:
                found.append(f"{path}:{line} {name}")
    assert found == []


def test_every_broad_except_says_what_it_protects():
    silent = []
    for path, tree in parsed():
        lines = (ROOT / path).read_text().splitlines()
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
            around = lines[node.lineno - 2 : node.lineno + 1]
            if broad and not any(re.search(r"#(?! noqa: \S+$)", line) for line in around):
                silent.append(f"{path}:{node.lineno}")
    assert silent == []


def contracts_of(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def copy_of_the_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "protos/gen/porchlight", folder / "porchlight")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


BROKEN = {
    "services/cache/canonical.py": ("import asyncio", "is pure, but reaches asyncio"),
    "services/handoff/policy.py": ("from kit import log", "is pure, but reaches"),
    "services/handoff/server.py": ("import asyncpg", "services.handoff.server imports asyncpg"),
    "services/handoff/arbiter.py": ("from services.cache import pricing", "services meet in protos"),
    "kit/clock.py": ("import services.handoff", "each knows only what is below"),
    "kit/log.py": ("import httpx2", "kit.log imports httpx2"),
    "services/cache/tiers.py": ("import redis", "services.cache.tiers imports redis"),
    "kit/tokens.py": ("import anthropic", "kit.tokens imports anthropic"),
}


@pytest.mark.parametrize("path", BROKEN)
def test_import_that_breaks_a_rule_is_found(copy_of_the_house: Path, path: str):
    line, complaint = BROKEN[path]
    module = copy_of_the_house / path
    before = module.read_text()
    try:
        module.write_text(f"{before}\n{line}\n")
        checked = contracts_of(copy_of_the_house)
    finally:
        module.write_text(before)
    assert checked.returncode == 1
    assert complaint in " ".join(checked.stdout.split())


def test_generated_file_that_was_edited_or_left_over_is_found(tmp_path: Path):
    fresh, committed = tmp_path / "fresh", tmp_path / "committed"
    for folder in (fresh, committed):
        (folder / "a").mkdir(parents=True)
        (folder / "a/x_pb2.py").write_text("1")
        (folder / "a/y_pb2.py").write_text("1")
    (committed / "a/x_pb2.py").write_text("2")
    (committed / "a/old_pb2.pyi").write_text("1")
    assert protos.differences(fresh, committed) == ["a/old_pb2.pyi", "a/x_pb2.py"]


@pytest.mark.parametrize(
    ("lock", "problem"),
    [
        ("grpcio==1.85.1 \\\n    --hash=sha256:00", "lacks redis"),
        ("grpcio==1.85.1 \\\n    --hash=sha256:00\nredis==7.0 \\\n    --hash=sha256:00", "has redis 7.0, wanted >=8.1"),
        ("grpcio==1.85.1\nredis==8.1 \\\n    --hash=sha256:00", "not a pin with hashes: grpcio==1.85.1"),
        ("-i https://x/y\nredis==8.1 \\\n    --hash=sha256:00", "names a host"),
    ],
)
def test_lock_that_does_not_hold_what_is_asked_for_is_found(lock: str, problem: str):
    assert problem in locks.problems(["grpcio>=1.85.1", "redis[hiredis]>=8.1"], lock)


def test_skip_of_a_test_that_needs_a_store_fails_the_run(pytester_folder: Path):
    (pytester_folder / "test_one.py").write_text("import pytest\ndef test_one(database):\n    pytest.skip('no')\n")
    ran = run_pytest(pytester_folder)
    assert ran.returncode == 1
    assert "skipped, but never may be" in ran.stdout


def test_flow_test_file_that_skips_itself_fails_the_run(pytester_folder: Path):
    (pytester_folder / "flow").mkdir()
    (pytester_folder / "flow/test_one.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    ran = run_pytest(pytester_folder)
    assert ran.returncode == 2
    assert "skipped, but never may be" in ran.stdout


def test_skip_of_what_comes_from_outside_is_listed_with_its_reason(pytester_folder: Path):
    (pytester_folder / "test_one.py").write_text(
        "import pytest\n@pytest.mark.outside\ndef test_one():\n    pytest.skip('no Chromium')\n"
    )
    ran = run_pytest(pytester_folder)
    assert ran.returncode == 0
    assert "no Chromium" in ran.stdout


@pytest.fixture
def pytester_folder() -> Iterator[Path]:
    """A folder of tests that sees our conftest.py."""
    folder = ROOT / "tests" / "unit" / f".tried-{os.getpid()}"  # with a dot: nobody else's run collects it
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run_pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


def test_no_two_flow_tests_text_as_the_same_person():
    """They share one system, where a number is one contact: the second test would meet the first one's talk."""
    texting = re.compile(r"(?:contact|begin)\([^)]*?\((\d{3})\) ?555-(\d{4})")
    numbers = [
        number for path in sorted((ROOT / "tests/flow").glob("*.py")) for number in texting.findall(path.read_text())
    ]
    assert len(numbers) > 10
    assert sorted(set(numbers)) == sorted(numbers)
