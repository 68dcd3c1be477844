"""The errors with which a single call ends. :mod:`agentkernel.api.errors` has all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AccessDenied",
    "AgentKernelError",
    "ContextWindowExceeded",
    "CoreConnectionError",
    "CoreProtocolError",
    "CoreStatusError",
    "CoreTimeout",
    "CoreUnavailable",
    "InvalidCall",
    "InvalidMessages",
    "InvalidOutput",
    "InvalidOutputSchema",
    "InvalidToolArguments",
    "InvalidToolSchema",
    "KernelBusy",
    "LLMCoreError",
    "NoCoreForCall",
    "PluginFault",
    "RateLimited",
    "StreamTruncated",
    "SyscallCancelled",
    "SyscallError",
    "SyscallTimeout",
    "ToolError",
    "ToolFailed",
    "ToolNotFound",
    "UnsupportedModel",
]


class AgentKernelError(Exception):
    """Root of every error of this package. Goes from one process to another, as `multiprocessing` sends errors."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[AgentKernelError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> AgentKernelError:
    """The error as it was: the arguments of its ``__init__`` are not those that it keeps."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class SyscallError(AgentKernelError):
    """One call failed.

    ``retryable`` tells whether the same call can succeed when it is made again. The kernel has repeated what it may
    repeat by itself; from here on it is for the caller to decide.
    """

    retryable = False


class InvalidCall(SyscallError):
    """The call is malformed. Nothing was executed."""


class InvalidMessages(InvalidCall, TypeError):
    """The messages are no list of chat messages."""

    def __init__(self, where: str, *, found: object, expected: str) -> None:
        self.where, self.found, self.expected = where, found, expected
        shown = repr(found)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(
            f"{where}: expected {expected}, found {type(found).__name__} {shown}. "
            "Messages are a list such as [{'role': 'user', 'content': 'hello'}]"
        )


class ContextWindowExceeded(InvalidCall):
    """Prompt and answer do not fit into the model's context window. Nothing was executed, nothing was cut.

    Attributes:
        prompt_tokens: tokens of the prompt, None where the core does not say.
        max_tokens: tokens that the answer may have, None where the core does not say.
        window_tokens: what the model takes together, None where the core does not say.
    """

    def __init__(
        self,
        *,
        prompt_tokens: int | None,
        max_tokens: int | None,
        window_tokens: int | None,
        message: str | None = None,
    ) -> None:
        self.prompt_tokens, self.max_tokens = prompt_tokens, max_tokens
        self.window_tokens = window_tokens
        super().__init__(
            (
                message
                or f"the prompt has {prompt_tokens} tokens and the answer may have {max_tokens}, "
                f"but the model's context window is {window_tokens} tokens"
            )
            + ". Shorten the conversation, lower max_tokens, or let a plugin do it: kernel.window = 'trim'"
        )


class InvalidOutputSchema(InvalidCall, ValueError):
    """The answer cannot be constrained as asked: nothing was generated.

    ``where`` is the JSON pointer of the offending part of the schema.
    """

    def __init__(self, problem: str, *, where: str = "") -> None:
        self.problem, self.where = problem, where
        place = f"at {where}: " if where else ""
        super().__init__(f"the output schema cannot be used: {place}{problem}")


class InvalidToolSchema(InvalidCall, ValueError):
    """A tool's parameters are no JSON schema of an object."""

    def __init__(self, tool: str, problem: str) -> None:
        self.tool, self.problem = tool, problem
        super().__init__(
            f"tool {tool!r}: its parameters are no valid JSON schema: {problem}. "
            "Expected an object schema such as {'type': 'object', 'properties': {'x': {'type': 'integer'}}}"
        )


class InvalidToolArguments(InvalidCall, ValueError):
    """The arguments of a tool call do not match the tool's schema. The tool was not run."""

    def __init__(self, tool: str, problems: Sequence[str]) -> None:
        self.tool, self.problems = tool, tuple(problems)
        super().__init__(f"tool {tool!r} was not run: " + "; ".join(problems))


class AccessDenied(SyscallError):
    """The access policy denied the call."""


class KernelBusy(SyscallError):
    """The queue is full. Nothing was executed; try again after ``retry_after_s``."""

    retryable = True

    def __init__(self, *, waiting: int, retry_after_s: float) -> None:
        self.waiting, self.retry_after_s = waiting, retry_after_s
        super().__init__(
            f"{waiting} calls are in the queue, which is the limit. Try again in {retry_after_s:.1f} s, "
            "or raise kernel.max_waiting"
        )


class SyscallTimeout(SyscallError, TimeoutError):
    """The call did not finish within its ``timeout_s``. ``phase`` is what it was doing."""

    def __init__(self, *, timeout_s: float, phase: str, what: str) -> None:
        self.timeout_s, self.phase, self.what = timeout_s, phase, what
        super().__init__(
            f"{what} did not finish within {timeout_s:g} s (it was {phase}). Raise timeout_s, or add capacity"
        )


class SyscallCancelled(SyscallError):
    """The call was cancelled."""

    def __init__(self, what: str = "the call") -> None:
        super().__init__(f"{what} was cancelled")


class InvalidOutput(SyscallError, ValueError):
    """The model's answer is not of the form that was asked for. ``text`` is the answer."""

    def __init__(self, text: str | None, *, expected: str, problem: str) -> None:
        self.text, self.expected, self.problem = text, expected, problem
        super().__init__(
            f"the model's answer is not {expected}: {problem}. "
            "Ask again, or use a core that constrains its output to the schema"
        )


class PluginFault(SyscallError):
    """A plugin raised an error of its own, which is ``__cause__``."""

    def __init__(self, plugin: str, doing: str, error: BaseException) -> None:
        self.plugin, self.doing = plugin, doing
        super().__init__(f"{plugin} raised {type(error).__name__} while {doing}: {error}")


class ToolError(SyscallError):
    """A tool call failed. ``tool`` is its name."""

    def __init__(self, tool: str, message: str) -> None:
        self.tool = tool
        super().__init__(f"tool {tool!r}: {message}")


class ToolNotFound(ToolError):
    """No tool of that name is registered."""

    def __init__(self, tool: str, *, registered: Sequence[str], suggestion: str | None) -> None:
        self.registered, self.suggestion = tuple(registered), suggestion
        hint = f" Did you mean {suggestion!r}?" if suggestion else ""
        have = ", ".join(registered) or "none"
        super().__init__(
            tool, f"not registered.{hint} Registered: {have}. Add it with kernel.register_tool(...)"
        )


class ToolFailed(ToolError):
    """The tool's own code raised; the original error is ``__cause__``."""


class LLMCoreError(SyscallError):
    """An LLM core could not answer. ``core`` is the core's name ("" until the kernel knows it)."""

    def __init__(self, message: str, *, core: str = "") -> None:
        self.core = core
        super().__init__(message)


class NoCoreForCall(LLMCoreError):
    """No core of the pool serves this model."""

    def __init__(self, *, model: str | None, core: str | None, pool: Sequence[str]) -> None:
        self.model, self.wanted_core, self.pool = model, core, tuple(pool)
        asked = f"core {core!r}" if core else (f"model {model!r}" if model else "this call")
        have = ", ".join(pool) or "none"
        super().__init__(
            f"no LLM core serves {asked}. Cores in the pool: {have}. "
            "Add one under [cores.NAME] in agentkernel.toml, or with kernel.add_core(...)"
        )


class UnsupportedModel(LLMCoreError):
    """The core cannot run this model; the text says why and what to do."""


class CoreUnavailable(LLMCoreError):
    """The breaker of every core that serves this call is open; the last failure is ``__cause__``."""

    retryable = True

    def __init__(
        self, *, core: str, retry_after_s: float, last_error: BaseException | None
    ) -> None:
        self.retry_after_s = retry_after_s
        why = f" Last failure: {last_error}" if last_error else ""
        super().__init__(
            f"LLM core {core!r} is out of order after repeated failures; it is tried again in {retry_after_s:.1f} s.{why}",
            core=core,
        )


class CoreConnectionError(LLMCoreError):
    """The endpoint was not reached, or the connection broke before the answer was complete."""

    retryable = True


class CoreTimeout(LLMCoreError, TimeoutError):
    """The endpoint did not answer within the core's own time limit."""

    retryable = True


class CoreStatusError(LLMCoreError):
    """The endpoint answered with an error status.

    ``status`` is the HTTP status, ``headers`` and ``body`` are what it sent, for callers that rebuild a provider's
    own exception.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        core: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        retry_after_s: float | None = None,
    ) -> None:
        self.status, self.headers, self.body = status, dict(headers or {}), body
        self.retry_after_s = retry_after_s
        self.retryable = status in (408, 409, 429) or status >= 500
        super().__init__(message, core=core)


class RateLimited(CoreStatusError):
    """Status 429. ``retry_after_s`` is the provider's wish, None when it gave none."""


class CoreProtocolError(LLMCoreError):
    """The answer is not what the protocol says: malformed JSON, no choices, a missing field."""


class StreamTruncated(LLMCoreError):
    """The stream ended without its end marker. What had arrived was already handed on."""

    retryable = True
