"""Run a stand-in's HTTP application until SIGTERM, and say where it listens."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from kit.settings import Settings, SettingsRefused, load

S = TypeVar("S", bound=Settings)


class CuttableProtocol(H11Protocol):
    """Shows the connection to handlers as `request.state.transport`, so that a fault can cut it without an answer."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, name: str) -> None:
        super().__init__(config)
        self._name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and sockets:
            _say({"event": "process.ready", "service": self._name, "http_port": sockets[0].getsockname()[1]})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def settings_of(settings_type: type[S]) -> S:
    """Read the settings, or end the process with code 2 and one line that names the wrong ones."""
    try:
        return load(settings_type, os.environ)
    except SettingsRefused as refused:
        _say({"event": "process.refused", "causes": refused.causes})
        raise SystemExit(2) from None


def bind(listen: str) -> socket.socket:
    """Open the listening socket of `host:port`; port 0 takes a free one.

    Raises:
        OSError: The address is taken or not ours.
    """
    host, _, port = listen.rpartition(":")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. asyncio sets it only on sockets that say they are TCP, which accepted ones do not
    # when the listener is ours: every second answer of a connection then waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind((host.strip("[]"), int(port)))
    listener.listen(2048)
    return listener


def server(app: FastAPI, name: str) -> uvicorn.Server:
    """Make the server. No access log: paths hold contact ids, and a stand-in's output is searched for canaries."""
    config = uvicorn.Config(
        app,
        http=CuttableProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return _Server(config, name)


def serve(app: FastAPI, listen: str, name: str) -> None:
    """Serve until SIGTERM or SIGINT, then return."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more after it has drained; a wanted end is no death by signal.
        signal.signal(number, lambda *_: None)
    server(app, name).run(sockets=[bind(listen)])
