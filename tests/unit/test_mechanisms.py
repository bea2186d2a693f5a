"""The table of mechanisms speaks of the source as it is."""

import re
from pathlib import Path

import pytest

from tools.mechanism_table import MECHANISMS, Mechanism
from tools.mechanisms import place, without

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda each: each.name)
def test_mechanism_stands_in_the_source_once_and_its_tests_exist(mechanism: Mechanism) -> None:
    place(ROOT, mechanism)
    assert mechanism.tests
    for test in mechanism.tests:
        path, _, name = test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_every_guarantee_that_has_a_mechanism_of_its_own_is_in_the_table() -> None:
    assert {each.guarantee for each in MECHANISMS} >= {f"G{number}" for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12)}


def test_last_definition_of_a_function_counts(tmp_path: Path) -> None:
    folder = tmp_path / "migrations" / "sql"
    folder.mkdir(parents=True)
    (folder / "0001_a.sql").write_text("create function f() returns int as $$\n  select 1;\n$$;\n")
    (folder / "0002_b.sql").write_text("create or replace function f() returns int as $$\n  select 1;\n$$;\n")
    mechanism = Mechanism(guarantee="G1", name="f", function="f", text="select 1;", instead="select 2;", tests=())
    path, content = without(tmp_path, mechanism)
    assert path.name == "0002_b.sql"
    assert "select 2;" in content


def test_mechanism_whose_text_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    gone = Mechanism(guarantee="G1", name="the check", file="a.py", text="if", instead="", tests=())
    with pytest.raises(LookupError, match=r"the check: its text stands 0 times in a\.py"):
        place(tmp_path, gone)
