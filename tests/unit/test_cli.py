"""The console script's commands that need no running system."""

from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from porchlight.cache.v1 import cache_service_pb2 as cache_pb
from porchlight.ops.v1 import ops_service_pb2 as ops_pb

from kit import tickets
from sandbox import keys
from sandbox.cache_desk import spend_lines, stats_lines
from sandbox.cli import main
from sandbox.lanes import as_lines


def test_lanes_line_up_under_their_titles():
    lane = ops_pb.Lane(tenant_id="loc_1", contact_id="c_81", owner="seller", waiting_messages=2, attempts=1)
    lane.wait_time.CopyFrom(Timestamp(seconds=1_795_000_000))
    title, row = as_lines([lane])
    assert row.split() == ["loc_1/c_81", "seller", "2026-11-18", "11:06:40", "2", "0", "1"]
    assert title.index("owner") == row.index("seller")


def test_no_lanes_say_that_nothing_waits():
    assert as_lines([]) == ["nothing waits"]


def test_statistics_say_shares_and_money_and_how_sure_the_wrong_ones_are():
    stats = cache_pb.GetStatsResponse(
        tiers=[
            cache_pb.TierStats(prompt_version="lead.extract@1", tier=cache_pb.TIER_L1, answers=3, saved_microusd=45),
            cache_pb.TierStats(prompt_version="lead.extract@1", tier=cache_pb.TIER_UPSTREAM, answers=1),
        ],
        answers=4,
        hits=3,
        upstream_calls=1,
        cost_microusd=1_000_015,
        saved_microusd=45,
        feedback=cache_pb.WrongShare(judged=2, wrong=1, share=0.5, low=0.095, high=0.905),
    )
    _, near, asked, hits, money, wrong = stats_lines(stats)
    assert near.split() == ["lead.extract@1", "L1", "3", "75.0%", "0.000045", "0", "0", "0", "0"]
    assert asked.split()[:4] == ["lead.extract@1", "UPSTREAM", "1", "25.0%"]
    assert hits == "3 of 4 answers without Claude (75.0%), 1 calls to Claude"
    assert money == "spent $1.000015, saved $0.000045"
    assert wrong.endswith("by what people said: 1 of 2 (50.0%, 95 % interval 9.5% to 90.5%)")
    assert "wrong by audits: nobody looked" in wrong


def test_spend_ends_with_the_sum():
    line = cache_pb.Spend(
        day="2026-11-27", tenant_id="loc_1", prompt="lead.extract", model="m", calls=2, cost_microusd=30
    )
    assert spend_lines([line], 30)[-1] == "$0.000030 in all"
    assert spend_lines([], 0) == ["nothing was spent in that time"]


def test_token_that_was_never_made_is_refused_by_name(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_STATE_DIR", str(tmp_path))
    assert main(["token", "nobody"]) == 1
    assert "no token called nobody" in capsys.readouterr().err


def test_doctor_says_that_a_url_wins(monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_DATABASE_URL", "postgresql://x:secret@db/y")
    monkeypatch.setenv("PORCHLIGHT_REDIS_URL", "redis://:secret@r")
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "the server of PORCHLIGHT_DATABASE_URL" in printed
    assert "secret" not in printed


@pytest.mark.parametrize("command", ["up", "migrate"])
def test_misspelt_setting_or_missing_database_ends_with_1(command: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PORCHLIGHT_LAED_PORT", "1")
    assert main([command]) == 1
    assert "PORCHLIGHT_" in capsys.readouterr().err


def test_load_without_a_database_is_refused(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("PORCHLIGHT_DATABASE_URL", raising=False)
    assert main(["load", "listings", "homes.csv", "--source", "mls"]) == 1
    assert "no database" in capsys.readouterr().err


def test_second_ticket_key_is_good_beside_the_first_and_signs_once_it_is_put_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("PORCHLIGHT_STATE_DIR", str(tmp_path))
    keys.make_all(tmp_path, ["lead"])
    assert main(["ticket-key", "k2"]) == 0
    public = tickets.read_public_keys(tmp_path / "ticket.pub.json")
    assert list(public) == ["k1", "k2"]
    assert tickets.read_signing_key(tmp_path / "ticket.key", keys=public).key_id == "k1"
    (tmp_path / "ticket.k2.key").replace(tmp_path / "ticket.key")
    assert tickets.read_signing_key(tmp_path / "ticket.key", keys=public).key_id == "k2"


@pytest.mark.parametrize("name", ["k1", "../k2", ""])
def test_second_ticket_key_with_a_name_that_cannot_be_is_refused(name: str, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_STATE_DIR", str(tmp_path))
    keys.make_all(tmp_path, ["lead"])
    assert main(["ticket-key", name]) == 1
    assert "letters and digits" in capsys.readouterr().err
