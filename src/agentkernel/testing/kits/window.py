"""The contract of :class:`~agentkernel.api.WindowPolicy`, as tests to inherit."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from types import MappingProxyType
from typing import ClassVar

import msgspec
import pytest

from agentkernel.api import (
    Ask,
    ContextWindowExceeded,
    CoreConnectionError,
    CoreStatusError,
    LLMCall,
    LLMResponse,
    SyscallError,
    WindowPolicy,
)
from agentkernel.testing.kits._base import CreatedKit, needs
from agentkernel.testing.kits._conversations import CONVERSATIONS, long_call, unanswered
from agentkernel.testing.kits._guards import no_io, steps_of

__all__ = ["WindowKit"]

_KEPT = ("context", "core", "headers", "max_retries", "prefix", "stream", "timeout_s")

_every_conversation = pytest.mark.parametrize("conversation", sorted(CONVERSATIONS))


class WindowKit(CreatedKit):
    """Conformance of a window policy.

    Attributes:
        rounds: a call fits, or is given up, after at most so many calls of ``fit``.
        fits_chats: a long chat of short turns is made to fit into half of its length; False for a policy that only
            shortens something else.
    """

    kind = "window"
    rounds: ClassVar[int] = 50
    fits_chats: ClassVar[bool] = True

    def make(self) -> WindowPolicy:
        made = self.create()
        assert isinstance(made, WindowPolicy), (
            f"create_window_policy returns a WindowPolicy, found {type(made).__name__}"
        )
        return made

    def settle(self, call: LLMCall, *, counts: bool = True) -> list[LLMCall]:
        """The call and those that the policy made of it, until one fits into half of the first or it gives up."""
        core = _Core(_tokens(call) // 2, counts=counts)
        return asyncio.run(core.settle(self.make(), call, self.rounds))

    @_every_conversation
    @pytest.mark.parametrize("counts", [True, False], ids=["counts", "no counts"])
    def test_calls_get_smaller_until_they_fit_or_are_given_up(
        self, conversation: str, counts: bool
    ) -> None:
        calls = self.settle(long_call(conversation), counts=counts)
        sizes = [_size_bytes(call) for call in calls]
        assert sizes == sorted(set(sizes), reverse=True), (
            f"each call is smaller than the one before, in bytes of messages and params; found {sizes}"
        )

    @needs("fits_chats")
    @pytest.mark.parametrize("counts", [True, False], ids=["counts", "no counts"])
    def test_a_long_chat_is_made_to_fit(self, counts: bool) -> None:
        call = long_call("chat")
        fitting = self.settle(call, counts=counts)[-1]
        assert _tokens(fitting) <= _tokens(call) // 2, (
            f"given up at {_tokens(fitting)} of {_tokens(call)} tokens, half of which fit"
        )

    @_every_conversation
    def test_nothing_that_it_was_given_is_changed(self, conversation: str) -> None:
        call = long_call(conversation)
        before = copy.deepcopy(call)
        self.settle(call)
        assert call == before, "fit changes nothing of the call that it was given"

    @_every_conversation
    def test_who_asks_and_how_stays(self, conversation: str) -> None:
        call = long_call(conversation)
        for shorter in self.settle(call):
            assert [getattr(shorter, name) for name in _KEPT] == [
                getattr(call, name) for name in _KEPT
            ], f"a smaller call has the same {', '.join(_KEPT)}"

    @_every_conversation
    def test_the_conversation_ends_as_it_did(self, conversation: str) -> None:
        call = long_call(conversation)
        for shorter in self.settle(call):
            assert shorter.messages, "a smaller call has messages"
            found, expected = shorter.messages[-1]["role"], call.messages[-1]["role"]
            assert found == expected, f"the last message was of role {expected}, now of {found}"

    @_every_conversation
    def test_tool_calls_and_their_results_stay_together(self, conversation: str) -> None:
        for call in self.settle(long_call(conversation)):
            assert not unanswered(call.messages), (
                f"tool calls without result, or results without call: {unanswered(call.messages)}"
            )

    @_every_conversation
    def test_messages_that_cannot_be_changed_are_taken(self, conversation: str) -> None:
        call = long_call(conversation)
        frozen = tuple(MappingProxyType(dict(message)) for message in call.messages)
        self.settle(msgspec.structs.replace(call, messages=frozen))

    @pytest.mark.parametrize(
        "error",
        [
            CoreConnectionError("connection lost"),
            CoreStatusError("not with this model", status=400),
            ContextWindowExceeded(prompt_tokens=None, max_tokens=None, window_tokens=None),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_errors_of_ask_pass_or_are_dealt_with(self, error: SyscallError) -> None:
        async def ask(question: LLMCall) -> LLMResponse:
            raise error

        raised: Exception | None = None
        try:
            self._fit(self.make(), long_call("chat"), ask)
        except Exception as found:  # noqa: BLE001 - whatever it raises is judged
            raised = found
        assert raised in (None, error), f"ask raised {error!r}, and fit {raised!r}"

    def test_cancellation_passes(self) -> None:
        async def scenario() -> None:
            asked = asyncio.Event()

            async def ask(question: LLMCall) -> LLMResponse:
                asked.set()
                await asyncio.Event().wait()
                raise AssertionError

            call = long_call("chat")
            fit = asyncio.ensure_future(self.make().fit(call, _excess_of(call), ask))
            waiting = asyncio.ensure_future(asked.wait())
            await asyncio.wait((fit, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            asked_at_all = not fit.done()
            fit.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(fit, 5.0)
            assert fit.cancelled() or not asked_at_all, "cancelling fit was swallowed"

        asyncio.run(scenario())

    def test_calls_at_once_do_not_mix(self) -> None:
        async def scenario() -> list[list[LLMCall]]:
            policy = self.make()
            calls = [long_call("chat", tag=f"conversation-{number}") for number in range(3)]
            cores = [_Core(_tokens(call) // 2) for call in calls]
            return await asyncio.gather(
                *(
                    core.settle(policy, call, self.rounds)
                    for core, call in zip(cores, calls, strict=True)
                )
            )

        for number, calls in enumerate(asyncio.run(scenario())):
            text = str(calls[-1].messages)
            others = [f"conversation-{other}" for other in range(3) if other != number]
            assert not any(other in text for other in others), "it has text of another call"

    def test_no_io(self) -> None:
        async def scenario() -> None:
            call, policy = long_call("chat"), self.make()
            core = _Core(_tokens(call) // 2)
            with no_io():
                await policy.fit(call, _excess_of(call), core.ask)

        asyncio.run(scenario())

    def test_cost_grows_with_the_length_and_not_faster(self) -> None:
        def cost(turns: int) -> int:
            call, policy = long_call("chat", turns=turns), self.make()
            core = _Core(10 * _tokens(call))
            return steps_of(lambda: self._fit(policy, call, core.ask))

        cost(10)  # what is done only once is done
        short, long = cost(50), cost(200)
        assert long < 8 * short, (
            f"four times the turns cost {long / short:.1f} times the steps; the loop waits for them"
        )

    def _fit(self, policy: WindowPolicy, call: LLMCall, ask: Ask) -> LLMCall | None:
        return asyncio.run(_awaited(policy, call, ask))


async def _awaited(policy: WindowPolicy, call: LLMCall, ask: Ask) -> LLMCall | None:
    return await policy.fit(call, _excess_of(call), ask)


class _Core:
    """A core that counts four bytes of JSON as a token, and answers every question that fits with a short text."""

    def __init__(self, window_tokens: int, *, counts: bool = True) -> None:
        self._window_tokens, self._counts = window_tokens, counts

    def excess(self, call: LLMCall) -> ContextWindowExceeded | None:
        """Why the call does not fit; None when it does."""
        if _tokens(call) <= self._window_tokens:
            return None
        return _excess_of(call, self._window_tokens if self._counts else None)

    async def ask(self, question: LLMCall) -> LLMResponse:
        """Answer, or refuse as too long."""
        await asyncio.sleep(0)
        excess = self.excess(question)
        if excess is not None:
            raise excess
        tags = {word for word in str(question.messages).split() if word.startswith("conversation-")}
        return LLMResponse(text=" ".join(["They talked:", *sorted(tags)]))

    async def settle(self, policy: WindowPolicy, call: LLMCall, rounds: int) -> list[LLMCall]:
        """What the kernel does: hand on what the policy makes of the call until it fits or is given up."""
        calls = [call]
        for _ in range(rounds):
            excess = self.excess(calls[-1])
            smaller = None if excess is None else await policy.fit(calls[-1], excess, self.ask)
            if smaller is None:
                return calls
            assert isinstance(smaller, LLMCall), (
                f"fit returns an LLMCall or None, found {smaller!r}"
            )
            calls.append(smaller)
        raise AssertionError(f"after {rounds} rounds the call neither fits nor is given up")


def _excess_of(call: LLMCall, window_tokens: int | None = 1) -> ContextWindowExceeded:
    prompt_tokens = None if window_tokens is None else _tokens(call)
    return ContextWindowExceeded(
        prompt_tokens=prompt_tokens, max_tokens=None, window_tokens=window_tokens
    )


def _tokens(call: LLMCall) -> int:
    return _size_bytes(call) // 4


def _size_bytes(call: LLMCall) -> int:
    """As the kernel compares calls."""
    return len(msgspec.json.encode([call.messages, call.params], enc_hook=dict))
