"""Times and CPU of calls, and how they are written down."""

import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
NOT_COUNTED = object()
"""Returned by a call that turned out to be another than the one to be timed."""
NO_LIMITS = {
    "claude_requests_per_minute": "100000",
    "claude_input_tokens_per_minute": "100000000",
    "claude_output_tokens_per_minute": "100000000",
}
"""Settings of the cache: what is measured shall not wait for what Claude may be asked in a minute."""


@dataclass
class Way:
    """One way that is measured, over all rounds."""

    name: str
    seconds: list[float] = field(default_factory=list)
    """Duration of each call."""
    cpu_seconds: float = 0.0
    """CPU of the serving processes, all calls together."""
    caller_seconds: float = 0.0
    """CPU of this process, which calls."""
    calls: int = 0
    wall_seconds: float = 0.0
    """How long the calls took together, side by side."""

    @property
    def per_second(self) -> float:
        """Calls a second."""
        return self.calls / self.wall_seconds

    @contextmanager
    def costs(self, pids: Sequence[int], *, count: int) -> Iterator[None]:
        """Add what `count` calls within the block cost the processes."""
        cpu, caller, began = cpu_of(pids), time.process_time(), time.perf_counter()
        yield
        self.caller_seconds += time.process_time() - caller
        self.wall_seconds += time.perf_counter() - began
        self.cpu_seconds += cpu_of(pids) - cpu
        self.calls += count

    @property
    def p50_ms(self) -> float:
        """Median duration in milliseconds."""
        return statistics.median(self.seconds) * 1e3

    @property
    def p99_ms(self) -> float:
        """99th percentile in milliseconds."""
        return statistics.quantiles(self.seconds, n=100)[98] * 1e3

    @property
    def cpu_us(self) -> float:
        """CPU of the serving processes per call, in microseconds."""
        return self.cpu_seconds / self.calls * 1e6

    @property
    def caller_us(self) -> float:
        """CPU of the caller per call, in microseconds."""
        return self.caller_seconds / self.calls * 1e6


def cpu_of(pids: Sequence[int]) -> float:
    """Return user and system time of processes, in seconds."""
    total = 0
    for pid in pids:
        # The name may hold spaces; what follows its bracket does not.
        parts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        total += int(parts[11]) + int(parts[12])
    return total / TICKS


def family(pid: int) -> list[int]:
    """Return a process and its children: Postgres does its work in them."""
    found = [pid]
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text(encoding="ascii")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(entry.name))
    return found


async def run_calls(
    path: Way, call: Callable[[], Awaitable[object]], *, count: int, in_flight: int, pids: Sequence[int]
) -> None:
    """Make `count` calls, `in_flight` at a time, and add what they cost to `path`."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            if await call() is not NOT_COUNTED:
                path.seconds.append(time.perf_counter() - began)

    with path.costs(pids, count=count):
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(caller())


def machine() -> str:
    """Describe the machine in one line."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, Python {platform.python_version()}"


def table(paths: Sequence[Way], baseline: Way) -> str:
    """Write paths as a Markdown table of ratios to the baseline."""
    rows = [
        "| path | calls | p50 ms | p50 x echo | p99 ms | CPU us/call | CPU x echo |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {p.name} | {p.calls} | {p.p50_ms:.2f} | {p.p50_ms / baseline.p50_ms:.1f} | {p.p99_ms:.2f} "
        f"| {p.cpu_us:.0f} | {p.cpu_us / baseline.cpu_us:.1f} |"
        for p in paths
    ]
    return "\n".join(rows)
