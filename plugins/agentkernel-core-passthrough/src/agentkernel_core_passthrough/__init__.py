"""The LLM core ``passthrough``: a call is answered by its own body, the framework's client call."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agentkernel.api import (
    CoreCapabilities,
    Emit,
    InvalidCall,
    LLMCall,
    LLMCore,
    LLMResponse,
    Options,
    hookimpl,
)

__all__ = ["BodyMissing", "Passthrough", "PassthroughOptions", "create_llm_core"]


class PassthroughOptions(Options, frozen=True):
    """``slots`` is how many bodies run at once; None does not limit them."""

    slots: Annotated[int, msgspec.Meta(ge=1)] | None = None


class BodyMissing(InvalidCall):
    """A call without a body reached a passthrough core. Nothing was executed."""

    def __init__(self, call: LLMCall, core: str) -> None:
        self.core = core
        super().__init__(
            f"{call.label} has no body, and the passthrough core {core!r} runs nothing else. "
            "Give LLMCall.body, or name a core that answers by itself in LLMCall.core"
        )


class Passthrough(LLMCore):
    """Runs the body of the call.

    What the body returns reaches the caller as it is, an :class:`LLMResponse` or any object of the framework as
    its ``raw``; so does what it raises. Nothing is streamed: the framework streams inside its body. The core answers
    only the calls that name it.
    """

    def __init__(self, name: str, slots: int | None = None) -> None:
        self._name = name
        self._capabilities = CoreCapabilities(slots=slots, can_stream=False, shared=False)

    @property
    def capabilities(self) -> CoreCapabilities:
        return self._capabilities

    async def execute(self, call: LLMCall, emit: Emit | None) -> LLMResponse:
        if call.body is None:
            raise BodyMissing(call, self._name)
        answer = await call.body()
        if isinstance(answer, LLMResponse):
            return answer
        return LLMResponse(raw=answer, model=call.model or "")


@hookimpl
def create_llm_core(name: str, options: PassthroughOptions) -> LLMCore:
    """Create the core ``name``."""
    return Passthrough(name, options.slots)
