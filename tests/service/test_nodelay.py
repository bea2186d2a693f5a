"""Listeners that we open ourselves must not hold answers back for an acknowledgement."""

import socket

from fastapi import FastAPI

from sandbox.serving import bind
from services.gateway.http import HttpServer


def test_connections_of_the_stand_ins_inherit_no_delay() -> None:
    with bind("127.0.0.1:0") as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connections_of_the_gateway_inherit_no_delay() -> None:
    server = HttpServer(FastAPI(), None, listen="127.0.0.1:0")  # type: ignore[arg-type]
    with server._socket as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
