"""The guard that keeps tests on the loopback interface: `tests/loopback/loopback_only.py`."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import loopback_only
import pytest

ELSEWHERE = "192.0.2.1"  # RFC 5737: for documentation, never routed


@pytest.fixture
def refused() -> Iterator[list[str]]:
    """What the guard refuses during the test; it would fail the test otherwise."""
    yield loopback_only.refused
    assert not loopback_only.refused


def test_connection_to_another_host_is_refused(refused: list[str]) -> None:
    with socket.socket() as sock, pytest.raises(loopback_only.LoopbackOnly, match=ELSEWHERE):
        sock.connect((ELSEWHERE, 80))
    assert refused.pop()


def test_name_of_another_host_is_not_resolved(refused: list[str]) -> None:
    with pytest.raises(loopback_only.LoopbackOnly, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)
    assert refused.pop()


def test_server_on_all_interfaces_is_refused(refused: list[str]) -> None:
    with socket.socket() as sock, pytest.raises(loopback_only.LoopbackOnly):
        sock.bind(("", 0))
    assert refused.pop()


def test_swallowed_refusal_is_remembered(refused: list[str]) -> None:
    with contextlib.suppress(Exception):
        socket.create_connection((ELSEWHERE, 80), timeout=1)
    assert refused.pop().endswith(f"{ELSEWHERE!r}")


def test_loopback_is_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_process_started_by_a_test_is_guarded() -> None:
    program = f"import socket; socket.create_connection(({ELSEWHERE!r}, 80), timeout=1)"
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode
    assert "LoopbackOnly" in run.stderr
