"""The pytest fixtures, each in a pytest run of its own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def outcomes(pytester: pytest.Pytester, *tests: str) -> dict[str, int]:
    pytester.makeconftest("pytest_plugins = ['agentkernel.testing.pytest_plugin']")
    pytester.makepyfile("\n".join(tests))
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:agentkernel")
    return done.parseoutcomes()


def test_kernel_answers_through_the_fake_core(pytester: pytest.Pytester) -> None:
    test = """
from agentkernel.api import LLMCall

def test_answer(kernel, fake_core, no_leaks):
    ticket = kernel.submit(LLMCall(messages=[{"role": "user", "content": "hello"}]))
    assert ticket.result(10.0).text == "ok"
    assert len(fake_core.calls) == 1
"""
    assert outcomes(pytester, test) == {"passed": 1}


def test_kernel_is_stopped_after_the_test(pytester: pytest.Pytester) -> None:
    test = """
import threading

kernels = []

def test_uses(kernel):
    kernels.append(kernel)

def test_is_stopped():
    assert kernels[0].state == "stopped"
    assert not [one for one in threading.enumerate() if "agentkernel" in one.name]
"""
    assert outcomes(pytester, test) == {"passed": 2}


def test_fake_core_can_be_overridden(pytester: pytest.Pytester) -> None:
    test = """
import pytest
from agentkernel.testing import FakeCore

@pytest.fixture
def fake_core():
    return FakeCore("mine", models=["m"])

def test_core(kernel, fake_core):
    assert kernel.cores == ["fake"]
    assert fake_core.started == 1
"""
    assert outcomes(pytester, test) == {"passed": 1}


@pytest.mark.parametrize(
    "leak",
    [
        "import socket; kept.append(socket.socket())",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        """import asyncio
    loop = asyncio.new_event_loop()
    kept.append((loop, loop.create_task(asyncio.sleep(9))))""",
    ],
    ids=["socket", "thread", "task"],
)
def test_leak_is_an_error(pytester: pytest.Pytester, leak: str) -> None:
    test = f"kept = []\n\ndef test_leaks(no_leaks):\n    {leak}\n"
    assert outcomes(pytester, test) == {"passed": 1, "errors": 1}


def test_what_is_closed_is_no_leak(pytester: pytest.Pytester) -> None:
    test = """
import asyncio, socket, threading

def test_cleans_up(no_leaks):
    socket.socket().close()
    threading.Thread(target=threading.Event().wait, args=(0.05,)).start()
    asyncio.run(asyncio.sleep(0))
"""
    assert outcomes(pytester, test) == {"passed": 1}
