"""What gets into a log line, and what a reader that is gone does to the process."""

import ast
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest

from kit import events, log

LEVELS = {"debug", "info", "warning", "error", "critical"}
CANARY = "Zanzibar-555-0199"


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(end)


def printed(program: str) -> list[dict]:
    """Run a program after `configure`, and return its lines."""
    setup = "import logging\nfrom kit import log\nlog.configure('lead', level='info', fmt='json')\n"
    done = subprocess.run(
        [sys.executable, "-c", setup + program + "\nlog.finish()"], capture_output=True, check=True, timeout=30
    )
    assert done.stderr == b""
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_a_listed_key_is_kept():
    assert log.keep_allowed(None, "info", {"event": "turn.completed", "bot": "lead"})["bot"] == "lead"


def test_a_key_that_is_not_listed_is_dropped_and_counted():
    line = log.keep_allowed(None, "info", {"event": "turn.completed", "text": CANARY, "phone": CANARY})
    assert line == {"event": "turn.completed", "log_key_dropped": 2}


def test_an_exception_is_described_without_its_text():
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        described = log.describe(error)
    assert described["error"] == "ValueError"
    assert CANARY not in str(described)
    assert "test_log.py" in str(described["trace"])


def test_a_line_says_who_when_and_how_bad():
    (line,) = printed("log.get_logger().warning('turn.completed', bot='lead', move='ask')")
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "turn.completed", "level": "warning", "service": "lead", "bot": "lead", "move": "ask"}


def test_lines_below_the_level_are_not_written():
    assert printed("log.get_logger().debug('turn.completed')") == []


def test_what_libraries_log_loses_its_text():
    (line,) = printed(f"logging.getLogger('grpc').error('Unexpected %s', {CANARY!r})")
    assert line["event"] == "library.reported"
    assert line["logger"] == "grpc"
    assert CANARY not in str(line)


def test_exceptions_of_libraries_lose_their_text():
    program = f"try:\n    raise KeyError({CANARY!r})\nexcept KeyError:\n    logging.getLogger('asyncio').exception('x')"
    (line,) = printed(program)
    assert line["error"] == "KeyError"
    assert CANARY not in str(line)


def test_console_format_is_for_people():
    program = (
        "from kit import log; log.configure('lead', level='info', fmt='console');"
        f"log.get_logger().info('turn.completed', bot='lead', text={CANARY!r}); log.finish()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=30)
    assert b"turn.completed" in done.stdout
    assert CANARY.encode() not in done.stdout


@pytest.mark.parametrize(
    ("value", "written"),
    [("__import__('decimal').Decimal('0.7')", "0.7"), ("2**70", str(2**70)), (r"'\ud800'", r"'\ud800'")],
)
def test_values_that_json_cannot_hold_are_written_as_text(value, written):
    (line,) = printed(f"log.get_logger().info('turn.completed', cause={value})")
    assert line["cause"] == written


def test_a_reader_that_does_not_read_never_stops_the_writer(pipe):
    sink = log.Sink(pipe[1], most_lines=100)
    before = log.LOG_LINES_DROPPED._value.get()
    for _ in range(5_000):
        sink.write(b"x" * 1_000)
    sink.finish(0.01)
    assert log.LOG_LINES_DROPPED._value.get() > before


def test_a_reader_that_is_gone_never_stops_the_writer(pipe):
    os.close(pipe[0])
    sink = log.Sink(pipe[1])
    for _ in range(100):
        sink.write(b"line\n")
    sink.finish(5)
    assert sink._done == 100


def test_finish_returns_when_everything_is_written(pipe):
    sink = log.Sink(pipe[1])
    sink.write(b"one\n")
    sink.write(b"two\n")
    sink.finish(5)
    assert os.read(pipe[0], 100) == b"one\ntwo\n"


def test_lines_of_several_threads_all_arrive(pipe):
    sink = log.Sink(pipe[1])
    threads = [threading.Thread(target=lambda: [sink.write(b"x\n") for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    received = b""
    while received.count(b"\n") < 400:
        received += os.read(pipe[0], 4096)
    assert received == b"x\n" * 400


def test_a_process_without_stdout_goes_on():
    program = (
        "from kit import log; log.configure('x', level='info', fmt='json'); log.get_logger().info('process.ready')"
    )
    done = subprocess.run(["sh", "-c", f'exec "{sys.executable}" -c "{program}" >&-'], check=False, timeout=30)
    assert done.returncode == 0


def logged() -> list[tuple[str, str, set[str]]]:
    """Every log call in our own code: where, the event, its keys."""
    root = Path(__file__).parents[2]
    found = []
    for path in sorted(path for folder in ("kit", "services", "sandbox") for path in (root / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            event = node.args[0]
            if node.func.attr not in LEVELS or not isinstance(event, ast.Constant) or not isinstance(event.value, str):
                continue
            keys = {keyword.arg for keyword in node.keywords if keyword.arg}
            found.append((f"{path.relative_to(root)}:{node.lineno}", event.value, keys))
    return found


def test_every_event_that_the_code_logs_is_listed():
    assert len(logged()) > 10
    assert [(where, event) for where, event, _ in logged() if event not in events.EVENTS] == []


def test_every_key_that_the_code_logs_is_listed():
    assert [(where, keys - set(events.KEYS)) for where, _, keys in logged() if not keys <= set(events.KEYS)] == []


def test_every_event_is_a_noun_and_a_past_participle():
    assert [name for name in events.EVENTS if name.count(".") != 1 or name != name.lower()] == []


def test_every_event_and_key_has_a_meaning():
    assert [name for name, meaning in (events.EVENTS | events.KEYS).items() if not meaning] == []


@pytest.mark.parametrize("key", ["text", "message", "name", "phone", "email", "address1", "body", "exception", "words"])
def test_keys_that_hold_a_persons_data_are_not_listed(key):
    assert key not in events.KEYS


def test_library_lines_below_warning_are_left_out():
    assert printed("logging.getLogger('grpc').info('hello')") == []
