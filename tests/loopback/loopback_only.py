"""Keeps a Python process on the loopback interface: every other address and name raises.

An audit hook sees every socket of the process, whichever library opened it through Python's `socket`.
"""

from __future__ import annotations

import socket
import sys

HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
ADDRESSED = frozenset({"socket.bind", "socket.connect", "socket.sendmsg", "socket.sendto"})
RESOLVED = frozenset({"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"})

refused: list[str] = []
"""What was refused so far. A library may swallow the error; the test fails all the same."""


class LoopbackOnly(RuntimeError):
    """A test reached for the network."""


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """The audit hook."""
    if event in ADDRESSED:
        sock, address = arguments
        if not isinstance(sock, socket.socket) or not isinstance(address, tuple):
            return
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        host = address[0]
    elif event in RESOLVED:
        host = arguments[0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if name in HOSTS or (name is None and event in RESOLVED):
        return
    refused.append(f"{event} {name!r}")
    raise LoopbackOnly(
        f"{event} of {name!r}: tests reach 127.0.0.1 only; serve what you need on a local port"
    )


def install() -> None:
    """Watch this process from now on. It cannot be undone."""
    sys.addaudithook(watch)
