"""Calls that do not fit into their model's window: refused, or made to fit by the policy that the user chose."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentkernel import Kernel
from agentkernel.api import (
    Ask,
    ContextWindowExceeded,
    Emit,
    LLMCall,
    LLMChunk,
    LLMResponse,
    NoOptions,
    PluginFault,
    Usage,
    WindowPolicy,
    hookimpl,
)
from agentkernel.testing import FakeCore

EXCESS = ContextWindowExceeded(prompt_tokens=9, max_tokens=1, window_tokens=8)


class Narrow(FakeCore):
    """Takes four messages; ``late`` streams before it says that they are too many."""

    late = False

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        self.calls.append(call)
        if len(call.messages) > 4:
            if self.late and emit is not None:
                emit(LLMChunk("begun "))
            raise EXCESS
        return LLMResponse(text=f"{len(call.messages)} messages", usage=Usage(10, 2))


class DropFirst(WindowPolicy):
    def __init__(self) -> None:
        self.asked: list[LLMCall] = []

    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        self.asked.append(call)
        return msgspec.structs.replace(call, messages=call.messages[1:])


class AskFirst(DropFirst):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        await ask(msgspec.structs.replace(call, messages=call.messages[-2:]))
        return await super().fit(call, excess, ask)


class Never(DropFirst):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        return None


class Grows(DropFirst):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        return msgspec.structs.replace(call, messages=[*call.messages, call.messages[0]])


class Raises(DropFirst):
    async def fit(self, call: LLMCall, excess: ContextWindowExceeded, ask: Ask) -> LLMCall | None:
        raise ZeroDivisionError("by the policy")


def answered(policy: WindowPolicy | None, core: FakeCore, count: int = 7, **fields: Any) -> Any:
    """The ticket of a call with so many messages, done."""

    class Plugin:
        @hookimpl
        def create_window_policy(self, options: NoOptions) -> WindowPolicy:
            assert policy is not None
            return policy

    settings = {} if policy is None else {"window": "own"}
    with Kernel({}, plugins={("window", "own"): Plugin()}, **settings) as kernel:
        kernel.add_core("narrow", core)
        messages = [{"role": "user", "content": f"message {n}"} for n in range(count)]
        ticket = kernel.submit(LLMCall(messages=messages, **fields))
        try:
            ticket.result(10)
        except Exception:  # noqa: BLE001 - it is in the outcome
            assert ticket.outcome.error is not None
        return ticket


def test_without_a_policy_the_call_is_refused_and_nothing_is_cut() -> None:
    core = Narrow()
    assert answered(None, core).outcome.error is EXCESS
    assert [len(call.messages) for call in core.calls] == [7]


def test_policy_is_asked_until_the_call_fits() -> None:
    core, policy = Narrow(), DropFirst()
    ticket = answered(policy, core)
    assert ticket.outcome.value.text == "4 messages"
    assert [len(call.messages) for call in core.calls] == [7, 6, 5, 4]
    assert len(ticket.call.messages) == 7 and ticket.outcome.attempts == 1


def test_what_the_policy_asked_the_core_counts() -> None:
    ticket = answered(AskFirst(), Narrow())
    assert ticket.outcome.usage == Usage(40, 8)


def test_policy_that_gives_up_leaves_the_refusal() -> None:
    assert answered(Never(), Narrow()).outcome.error is EXCESS


def test_call_that_fits_is_not_shown_to_the_policy() -> None:
    policy = DropFirst()
    assert answered(policy, Narrow(), count=3).outcome.value.text == "3 messages"
    assert policy.asked == []


@pytest.mark.parametrize(("policy", "why"), [(Grows(), "not smaller"), (Raises(), "by the policy")])
def test_faulty_policy_is_named(policy: WindowPolicy, why: str) -> None:
    error = answered(policy, Narrow()).outcome.error
    assert isinstance(error, PluginFault) and "window policy" in str(error) and why in str(error)


def test_core_that_breaks_when_a_policy_asks_it_is_named() -> None:
    class Breaks(Narrow):
        async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
            if len(call.messages) == 2:
                raise ZeroDivisionError("by the core")
            return await super().execute(call, emit)

    error = answered(AskFirst(), Breaks()).outcome.error
    assert isinstance(error, PluginFault) and "'narrow'" in str(error)


def test_answer_that_has_begun_is_not_begun_again() -> None:
    core = Narrow()
    core.late = True
    assert answered(DropFirst(), core, stream=True).outcome.error is EXCESS
    assert len(core.calls) == 1
