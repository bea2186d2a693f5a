"""One contract for the board that keeps replicas under the model's limits: the memory twin and Valkey."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kit.errors import BudgetExhausted
from services.cache.limiter import Board, Limiter, MemoryBoard, Sheet
from services.cache.limiter_redis import PREFIX, RedisBoard
from services.cache.limits import NOTHING, Priority, Use
from services.cache.link_redis import Link

MODEL = "claude-haiku-5-5"
ONE = Use(requests=1, input_tokens=10, output_tokens=5)
LIMIT = Use(requests=3, input_tokens=100, output_tokens=100)


@pytest.fixture
def memory_board() -> Board:
    return MemoryBoard()


@pytest.fixture
async def redis_board(valkey: str) -> AsyncIterator[Board]:
    link = Link(valkey, seconds=10)
    yield RedisBoard(link)
    await link.close()


@pytest.fixture(params=["memory", "redis"])
def board(request: pytest.FixtureRequest) -> Board:
    chosen: Board = request.getfixturevalue(f"{request.param}_board")
    return chosen


def a_sheet(
    replica: str = "a", number: int = 1, *, used: Use = NOTHING, wanted: Use = ONE, limit: Use = LIMIT
) -> Sheet:
    return Sheet(model=MODEL, replica=replica, number=number, used=used, wanted=wanted, limit=limit)


async def test_what_others_use_counts(board: Board):
    assert await board.write(a_sheet("a", used=ONE + ONE, wanted=NOTHING)) == ""
    assert await board.write(a_sheet("b")) == ""
    assert await board.write(a_sheet("c")) == "requests"


@pytest.mark.parametrize("name", ["requests", "input_tokens", "output_tokens"])
async def test_limit_that_is_met_is_named(board: Board, name: str):
    full = Use(**{name: getattr(LIMIT, name)})
    await board.write(a_sheet("a", used=full, wanted=NOTHING))
    assert await board.write(a_sheet("b")) == name


async def test_zero_is_no_limit(board: Board):
    assert await board.write(a_sheet(wanted=Use(requests=10_000, output_tokens=10_000_000), limit=Use())) == ""


async def test_same_sheet_twice_counts_once_and_gets_the_same_answer(board: Board):
    full = a_sheet("a", wanted=Use(requests=3))
    assert [await board.write(full) for _ in range(2)] == ["", ""]
    refused = a_sheet("b")
    assert [await board.write(refused) for _ in range(2)] == ["requests", "requests"]


async def test_sheet_that_comes_late_changes_nothing_and_grants_nothing(board: Board):
    await board.write(a_sheet("a", 2, used=Use(requests=3), wanted=NOTHING))
    assert await board.write(a_sheet("a", 1, used=NOTHING)) != ""
    assert await board.write(a_sheet("b")) == "requests"


async def test_refused_wish_leaves_what_was_used(board: Board):
    assert await board.write(a_sheet("a", used=ONE, wanted=Use(requests=9))) == "requests"
    assert await board.write(a_sheet("b", wanted=Use(requests=2))) == ""


async def test_newer_sheet_takes_the_place_of_the_last(board: Board):
    await board.write(a_sheet("a", 1, used=Use(requests=3), wanted=NOTHING))
    await board.write(a_sheet("a", 2, used=Use(requests=1), wanted=NOTHING))
    assert await board.write(a_sheet("b", wanted=Use(requests=2))) == ""


async def test_models_have_limits_of_their_own(board: Board):
    await board.write(a_sheet("a", wanted=Use(requests=3)))
    assert await board.write(replace(a_sheet("b"), model="claude-sonnet-5-5")) == ""


async def test_memory_forgets_a_replica_that_is_silent():
    now = 0.0
    board = MemoryBoard(lambda: now)
    await board.write(a_sheet("a", wanted=Use(requests=3)))
    now = 75.0
    assert await board.write(a_sheet("b")) == ""


async def test_redis_forgets_a_replica_that_is_silent(redis_board: RedisBoard, valkey: str):
    link = Link(valkey, seconds=10)
    await redis_board.write(a_sheet("a", wanted=Use(requests=3)))
    field = await link.redis.hget(PREFIX + MODEL, "a")
    assert isinstance(field, bytes)
    number, until, *rest = field.split()
    assert 70_000 < int(until) - await _server_ms(link) <= 75_000
    await link.redis.hset(PREFIX + MODEL, "a", b" ".join([number, b"1", *rest]))
    assert await redis_board.write(a_sheet("b")) == ""
    assert 0 < await link.redis.pttl(PREFIX + MODEL) <= 75_000
    await link.close()


async def _server_ms(link: Link) -> int:
    seconds, micros = await link.redis.time()
    return int(seconds * 1000 + micros // 1000)


async def test_replicas_together_stay_under_the_limit_and_use_all_of_it(board: Board):
    limiters = [Limiter(board, limit=Use(requests=10), replicas=3, replica=name) for name in "abc"]
    granted = 0
    for number in range(30):
        granted += not await _refused(limiters[number % 3], str(number))
    assert granted == 10


async def test_board_that_forgot_everything_knows_it_again_after_a_beat(board: Board, valkey: str):
    first, second = (Limiter(board, limit=Use(requests=3), replicas=2, replica=name) for name in "ab")
    for number in range(3):
        await first.take(MODEL, str(number), ONE, Priority.LIVE)
    if isinstance(board, RedisBoard):
        link = Link(valkey, seconds=10)
        await link.redis.flushall()
        await link.close()
    await first.beat()
    assert await _refused(second)


async def test_replica_without_a_board_keeps_to_its_share():
    board = MemoryBoard()
    limiter = Limiter(board, limit=Use(requests=9), replicas=3, replica="a")
    board.lost = True
    for number in range(3):
        await limiter.take(MODEL, str(number), ONE, Priority.LIVE)
    assert await _refused(limiter)
    board.lost = False
    await limiter.take(MODEL, "more", ONE, Priority.LIVE)


async def test_limit_of_the_model_counts_where_it_is_stricter():
    limiter = Limiter(MemoryBoard(), limit=Use(requests=9), replicas=1, replica="a")
    limiter.learn(MODEL, Use(requests=1))
    await limiter.take(MODEL, "one", ONE, Priority.LIVE)
    assert await _refused(limiter)
    limiter.learn(MODEL, Use(requests=10_000))
    assert limiter.limit_of(MODEL) == Use(requests=9)


async def _refused(limiter: Limiter, call_id: str = "refused?") -> bool:
    try:
        await limiter.take(MODEL, call_id, ONE, Priority.LIVE)
    except BudgetExhausted:
        return True
    return False
