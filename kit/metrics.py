"""Numbers for Prometheus, under names that start with `porchlight_`.

A service makes its own with `counter` and `histogram`, in the module that counts.
Labels hold names from our own code only; never an id, of which there is no end.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, TypeVar

from prometheus_client import Counter, Gauge, Histogram, start_http_server

M = TypeVar("M", Counter, Gauge, Histogram)

_NAMESPACE: Final = "porchlight"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    """Make a counter; `_total` is added to its name."""
    return Counter(name, meaning, labels, namespace=_NAMESPACE)


def histogram(name: str, meaning: str, labels: Sequence[str] = ()) -> Histogram:
    """Make a histogram of seconds."""
    return Histogram(name, meaning, labels, namespace=_NAMESPACE, buckets=_SECONDS)


@lru_cache(maxsize=2_000)
def of(metric: M, *labels: str) -> M:
    """Return the part of a metric that has these labels; the metric's own look-up costs more than counting does."""
    return metric.labels(*labels)


def serve(listen: str) -> Callable[[], None]:
    """Serve all numbers over HTTP at `host:port`, and return what stops it.

    Raises:
        OSError: The port is taken.
    """
    host, _, port = listen.rpartition(":")
    server, thread = start_http_server(int(port), addr=host)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(1.0)

    return stop


RPC_REQUESTS: Final = counter("rpc_requests", "Served calls.", ("service", "method", "code"))
RPC_SECONDS: Final = histogram("rpc_seconds", "How long served calls took.", ("service", "method"))
LOG_KEYS_DROPPED: Final = counter("log_keys_dropped", "Keys of log lines that kit/events.py does not list.")
LOG_LINES_DROPPED: Final = counter("log_lines_dropped", "Log lines that nobody read in time.")
