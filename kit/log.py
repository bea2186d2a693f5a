"""Write log lines that cannot leak and cannot block.

One line is one JSON object. Keys that `kit/events.py` does not list are dropped;
libraries' own lines keep their origin and lose their text. Lines go through a
bounded buffer to a thread, because a pipe that nobody reads blocks its writer and
would stop the event loop with it.
"""

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Final

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from kit.events import KEYS
from kit.metrics import LOG_KEYS_DROPPED, LOG_LINES_DROPPED

# About 10 MB at the usual length; what is above is dropped and counted.
_MOST_LINES: Final = 20_000

Line = MutableMapping[str, Any]


class Sink:
    """A file for BytesLogger that never blocks: a thread does the writing."""

    def __init__(self, descriptor: int, *, most_lines: int = _MOST_LINES) -> None:
        self._descriptor = descriptor
        # Not a deque with an Event beside it: whoever writes would pay for the Event, which is Python.
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._most_lines = most_lines
        self._taken = 0
        self._done = 0
        threading.Thread(target=self._drain, name="log", daemon=True).start()

    def write(self, line: bytes) -> int:
        """Take a line, or drop it when the reader is too slow."""
        if self._lines.qsize() >= self._most_lines:
            LOG_LINES_DROPPED.inc()
        else:
            self._taken += 1
            self._lines.put(line)
        return len(line)

    def flush(self) -> None:
        """Do nothing: BytesLogger calls this after every line; see `finish`."""

    def finish(self, seconds: float) -> None:
        """Wait until all lines are written, but at most `seconds`."""
        end = time.monotonic() + seconds
        while self._done < self._taken and time.monotonic() < end:
            time.sleep(0.002)

    def _drain(self) -> None:
        while True:
            batch = [self._lines.get()]
            while not self._lines.empty():
                batch.append(self._lines.get())
            if not self._write_all(memoryview(b"".join(batch))):
                LOG_LINES_DROPPED.inc(len(batch))
            self._done += len(batch)

    def _write_all(self, data: memoryview) -> bool:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError:  # closed pipe, full disk: the process must go on without its log
                return False
        return True


class _LibraryHandler(logging.Handler):
    """Turns what libraries log into lines without their text, which may hold anything."""

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, object] = {"logger": record.name, "origin": f"{record.filename}:{record.lineno}"}
        if record.exc_info and record.exc_info[1] is not None:
            facts |= describe(record.exc_info[1])
        write = get_logger().warning if record.levelno >= logging.WARNING else get_logger().debug
        write("library.reported", **facts)


_sinks: Final[list[Sink]] = []


def configure(service: str, *, level: str, fmt: str) -> None:
    """Set up logging for this process; once, at its start.

    Args:
        service: The process's name; stands in every line.
        level: Least level that is written: debug, info, warning, error.
        fmt: json for machines, console for people.
    """
    if not _sinks:
        _sinks.append(Sink(_stdout()))
    render: list[Processor] = [structlog.processors.JSONRenderer(serializer=_to_json)]
    if fmt == "console":
        render = [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()), _to_bytes]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _name_service(service),
            keep_allowed,
            *render,
        ],
        logger_factory=structlog.BytesLoggerFactory(_sinks[0]),  # type: ignore[arg-type]
    )
    logging.basicConfig(handlers=[_LibraryHandler()], level=max(number, logging.WARNING), force=True)


def get_logger() -> FilteringBoundLogger:
    """Return the logger; usable at module level, since it is made at the first line."""
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def finish(seconds: float = 1.0) -> None:
    """Wait until all lines are written, but not for a reader that is gone."""
    for sink in _sinks:
        sink.finish(seconds)


def keep_allowed(_logger: object, _method: str, line: Line) -> Line:
    """Drop the keys that `kit/events.py` does not list, and say how many."""
    dropped = [key for key in line if key not in KEYS]
    for key in dropped:
        del line[key]
    if dropped:
        LOG_KEYS_DROPPED.inc(len(dropped))
        line["log_key_dropped"] = len(dropped)
    return line


def describe(error: BaseException) -> dict[str, object]:
    """Return what a log may say of an exception: its type and where it was, no text.

    The text of an exception can hold what a person wrote or what a store keeps.
    """
    return {"error": type(error).__qualname__, "trace": _frames(error.__traceback__)}


def _frames(trace: TracebackType | None) -> list[str]:
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames[-12:]


def _stdout() -> int:
    """Return where lines go; a process whose stdout is closed writes nowhere.

    Not simply 1: the next file or socket that is opened would get that number.
    """
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError):
        return os.open(os.devnull, os.O_WRONLY)


def _name_service(service: str) -> Processor:
    def name(_logger: object, _method: str, line: Line) -> Line:
        line["service"] = service
        return line

    return name


def _to_json(line: Line, **_: object) -> bytes:
    try:
        return orjson.dumps(line, default=str)
    except TypeError:  # a number above 64 bits, a lone surrogate: a log line is no reason to fail
        return orjson.dumps({key: ascii(value) for key, value in line.items()})


def _to_bytes(_logger: object, _method: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")
