"""Points at which a process dies on purpose."""

import ast
import os
import signal

import pytest

from kit import crash
from tests.support.system import ROOT
from tests.support.traps import POINTS


@pytest.fixture
def kills(monkeypatch):
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    yield sent
    crash.arm("")


def test_unarmed_point_does_nothing(kills):
    crash.crash_point("gateway.after_claim")
    assert kills == []


def test_armed_point_kills_at_the_pass_that_was_asked_for(kills):
    crash.arm("gateway.after_claim:3, bot.other")
    for _ in range(2):
        crash.crash_point("gateway.after_claim")
    assert kills == []
    crash.crash_point("gateway.after_claim")
    assert kills == [(os.getpid(), signal.SIGKILL)]


@pytest.mark.parametrize("spec", ["name:0", "name:x", ":3", "name:-1"])
def test_spec_that_names_no_point_or_no_pass_is_refused(spec):
    with pytest.raises(ValueError, match="name:number"):
        crash.parse(spec)


def test_trap_catches_the_process_and_the_point_that_it_names_once(kills, tmp_path):
    crash.arm(str(tmp_path), process="seller")
    (tmp_path / "seller@bot.here").write_text("SIGSTOP")
    (tmp_path / "lead@bot.there").write_text("SIGKILL")
    for _ in range(2):
        crash.crash_point("bot.here")
        crash.crash_point("bot.there")
    assert kills == [(os.getpid(), signal.SIGSTOP)]
    assert [each.name for each in tmp_path.iterdir()] == ["lead@bot.there"]


def test_processes_are_killed_at_every_point_that_the_code_names():
    named = {
        node.args[0].value
        for folder in ("kit", "services")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "crash_point"
    }
    assert named == {point for _, point in POINTS}
