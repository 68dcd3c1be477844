"""Syscalls and their outcomes: the values that cross every boundary of the kernel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec

__all__ = [
    "Body",
    "Call",
    "CallContext",
    "LLMCall",
    "LLMChunk",
    "LLMResponse",
    "Message",
    "Outcome",
    "Timings",
    "ToolCall",
    "ToolRequest",
    "Usage",
]

T = TypeVar("T")

Message = Mapping[str, Any]
"""One chat message as the provider takes it: ``{"role": ..., "content": ..., ...}``."""


Body = Callable[[], Awaitable[Any]]
"""Work that runs in the caller's own thread or task, awaited on the kernel's loop."""


class CallContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a call, and as part of what.

    The *agent* is the unit of fairness, the *program* (one run of an agent application: a chain or tree of calls with
    tool calls between) the unit of scheduling.

    Attributes:
        agent: the agent's name, from the framework where it has one.
        program: id of the program; calls with the same id belong together.
        tenant: whose quota is used; nothing is shared across tenants.
        priority: larger is more urgent; used by the order plugins that look at it.
        deadline: kernel-clock time (monotonic seconds) by which the answer is wanted, or None.
        parent: id of the syscall from whose execution this one was made, or None.
        ancestors: ids of the programs that enclose this one, outermost first.
    """

    agent: str = "main"
    program: str = "main"
    tenant: str = "default"
    priority: int = 0
    deadline: float | None = None
    parent: int | None = None
    ancestors: tuple[str, ...] = ()

    @property
    def parent_program(self) -> str | None:
        """The program that encloses this one directly, or None."""
        return self.ancestors[-1] if self.ancestors else None


DEFAULT_CONTEXT = CallContext()


class LLMCall(msgspec.Struct, frozen=True, kw_only=True):
    """Ask an LLM core for one chat completion.

    Attributes:
        messages: the conversation, oldest first; never changed by the kernel.
        model: model name, or None for the core's own.
        tools: tool schemas in OpenAI's form, or None.
        params: further request fields exactly as the provider takes them (``temperature``, ``response_format``, ...).
        stream: whether chunks are wanted as they come.
        core: name of the only core that may answer, or None for any that serves ``model``.
        prefix: text with which the answer begins already; the core answers with what follows it. The kernel sets it,
            for cores that can continue a prefix, when it resumes an answer that was cut off.
        context: who asks.
        timeout_s: seconds from submission to outcome; None takes the kernel's default.
        max_retries: how often a failed attempt may be repeated; None takes the kernel's default.
        headers: request headers to add, for cores that speak HTTP.
        body: work that only the caller can do, such as its framework's own client call; awaiting ``body()`` on the
            kernel's loop runs it in the caller's thread or task and returns its value. For passthrough cores.
    """

    messages: Sequence[Message]
    model: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    params: Mapping[str, Any] = msgspec.field(default_factory=dict)
    stream: bool = False
    core: str | None = None
    prefix: str = ""
    context: CallContext = DEFAULT_CONTEXT
    timeout_s: float | None = None
    max_retries: int | None = None
    headers: Mapping[str, str] | None = None
    body: Body | None = None

    @property
    def label(self) -> str:
        """What to call it in messages and listings."""
        return f"LLM call of {self.context.agent!r}"


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """Run a tool, or code, which is a tool whose name is that of its executor.

    Attributes:
        name: the tool's registered name, or the name under which the framework knows it.
        arguments: by parameter name.
        kind: ``tool`` or ``code``.
        context: who asks.
        timeout_s: seconds from submission to outcome; None takes the tool's own limit, or the kernel's default.
        body: the framework's own execution of the tool, as in :class:`LLMCall`; None runs the registered tool ``name``.
    """

    name: str
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)
    kind: Literal["tool", "code"] = "tool"
    context: CallContext = DEFAULT_CONTEXT
    timeout_s: float | None = None
    body: Body | None = None

    @property
    def label(self) -> str:
        """What to call it in messages and listings."""
        return f"{self.kind} call {self.name!r} of {self.context.agent!r}"


Call = LLMCall | ToolCall
"""Any syscall."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens that a call cost, as the core counted them; 0 where it does not count."""

    input_tokens: int = 0
    output_tokens: int = 0


class ToolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that the model asks for. ``arguments`` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class LLMChunk(msgspec.Struct, frozen=True):
    """One piece of a streamed answer: its text (may be empty) and the provider's own payload."""

    text: str = ""
    raw: Any = None


class LLMResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an :class:`LLMCall`.

    Attributes:
        text: content of the first choice; None when the model only asks for tools.
        tool_calls: what the first choice asks for, in order.
        finish_reason: ``stop``, ``length``, ``tool_calls``, ... as the provider says it.
        usage: tokens in and out.
        model: the model that answered.
        raw: the provider's whole payload (decoded JSON), or the framework's own object from a passthrough core.
        request_id: the provider's id of the request, None when it sent none.
    """

    text: str | None = None
    tool_calls: tuple[ToolRequest, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = Usage()
    model: str = ""
    raw: Any = None
    request_id: str | None = None


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """When a syscall reached each stage, in seconds of the kernel's monotonic clock; None where it never did.

    ``suspended_s`` is the total time that it held no slot after it had started (retry waits, context switches).
    """

    submitted: float
    admitted: float | None = None
    started: float | None = None
    first_token: float | None = None
    suspended_s: float = 0.0
    finished: float

    @property
    def waited_s(self) -> float:
        """Seconds from submission to the first start (to the end, when it never started)."""
        return (self.finished if self.started is None else self.started) - self.submitted

    @property
    def total_s(self) -> float:
        """Seconds from submission to the outcome."""
        return self.finished - self.submitted


class Outcome(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """How a syscall ended: exactly one of ``value`` and ``error`` counts, ``error`` when it is not None."""

    value: T | None = None
    error: Exception | None = None
    timings: Timings
    usage: Usage = Usage()
    core: str | None = None
    attempts: int = 1
    preemptions: int = 0

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.error is None
