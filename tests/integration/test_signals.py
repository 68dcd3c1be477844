"""A signal that comes while a call waits for its slot ends the call: the slot is not given to nobody."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import agentkernel
from agentkernel.sdk import current_context, current_kernel, run_llm, stream_llm

MESSAGES = [{"role": "user", "content": "x"}]

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="this system sends no signals to threads"
)


def ask(function: Callable[[], Any]) -> Any:
    return run_llm(MESSAGES, "m", function, context=current_context())


def ask_streaming() -> list[Any]:
    return list(stream_llm(MESSAGES, "m", lambda: iter("ab"), context=current_context()))


@pytest.fixture
def one_slot() -> Iterator[None]:
    agentkernel.wrap(frameworks=[], quiet=True, config={"admission": {"slots": {"per_core": 1}}})
    yield
    agentkernel.unwrap()


@pytest.fixture(params=[KeyboardInterrupt, TimeoutError])
def error(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    """What the handler of SIGUSR1 raises."""

    def raise_(*_: object) -> None:
        raise request.param

    before = signal.signal(signal.SIGUSR1, raise_)
    yield request.param
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    "waits", [lambda: ask(lambda: 1), ask_streaming], ids=["whole", "streaming"]
)
def test_signal_while_a_call_waits_for_its_slot_ends_the_call(
    one_slot: None, waits: Callable[[], Any], error: type[BaseException]
) -> None:
    held, release, here = threading.Event(), threading.Event(), threading.get_ident()

    def interrupt() -> None:
        while current_kernel().stats().waiting == 0:
            release.wait(0.01)
        signal.pthread_kill(here, signal.SIGUSR1)

    holder = threading.Thread(target=ask, args=(lambda: (held.set(), release.wait()),))
    holder.start()
    held.wait()
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(error):
            waits()
    finally:
        interrupter.join()
        release.set()
        holder.join()
    assert ask(lambda: "next") == "next"
