"""Every error that agentkernel raises.

The tree::

    AgentKernelError
    ├── SettingsError                 a setting has the wrong key, type or value
    ├── PluginError                   a plugin cannot be used
    │   ├── PluginNotFound            no installed plugin has that name
    │   ├── PluginBlocked             the allow or block list forbids it
    │   ├── PluginRejected            it is installed, but its metadata forbids it (version, duplicate name)
    │   ├── PluginImportError         importing it raised
    │   └── PluginSignatureError      its hooks do not match the hook specifications
    ├── KernelStateError              the kernel cannot take calls
    │   ├── KernelNotStarted
    │   ├── KernelStopped
    │   └── KernelForked              the process was forked; the kernel's thread lives in the parent
    ├── SyscallError                  one call failed
    │   ├── InvalidCall               the call is malformed; nothing was executed
    │   │   ├── InvalidMessages
    │   │   ├── InvalidToolSchema
    │   │   └── InvalidToolArguments
    │   ├── AccessDenied
    │   ├── KernelBusy                the queue is full
    │   ├── SyscallTimeout            (also a TimeoutError)
    │   ├── SyscallCancelled
    │   ├── InvalidOutput             the model's answer is not of the form that was asked for
    │   ├── PluginFault               a plugin raised something that is no AgentKernelError
    │   ├── ToolError
    │   │   ├── ToolNotFound
    │   │   └── ToolFailed            the tool's own code raised
    │   └── LLMCoreError
    │       ├── NoCoreForCall         no core in the pool serves this call
    │       ├── CoreUnavailable       every core that could serve it is out of order
    │       ├── CoreConnectionError   the endpoint was not reached, or the connection broke
    │       ├── CoreTimeout           the endpoint did not answer in time (also a TimeoutError)
    │       ├── CoreStatusError       the endpoint answered with an error status
    │       │   └── RateLimited       429
    │       ├── CoreProtocolError     the answer is not what the protocol says
    │       └── StreamTruncated       the stream ended before its end marker
    └── AdapterError
        ├── UnsupportedTarget         the framework's version is outside the adapter's range
        └── PatchConflict             somebody else patched on top; nothing was removed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = [
    "AccessDenied",
    "AdapterError",
    "AgentKernelError",
    "CoreConnectionError",
    "CoreProtocolError",
    "CoreStatusError",
    "CoreTimeout",
    "CoreUnavailable",
    "InvalidCall",
    "InvalidMessages",
    "InvalidOutput",
    "InvalidToolArguments",
    "InvalidToolSchema",
    "KernelBusy",
    "KernelForked",
    "KernelNotStarted",
    "KernelStateError",
    "KernelStopped",
    "LLMCoreError",
    "NoCoreForCall",
    "PatchConflict",
    "PluginBlocked",
    "PluginError",
    "PluginFault",
    "PluginImportError",
    "PluginNotFound",
    "PluginRejected",
    "PluginSignatureError",
    "RateLimited",
    "SettingsError",
    "StreamTruncated",
    "SyscallCancelled",
    "SyscallError",
    "SyscallTimeout",
    "ToolError",
    "ToolFailed",
    "ToolNotFound",
    "UnsupportedTarget",
]


class AgentKernelError(Exception):
    """Root of every error of this package."""


class SettingsError(AgentKernelError):
    """A setting cannot be used.

    ``key`` is its dotted path, ``source`` where it came from (``agentkernel.toml:12``, ``environment
    AGENTKERNEL_KERNEL__ORDER``, ``argument``).
    """

    def __init__(
        self, *, key: str, found: object, expected: str, source: str, cure: str = ""
    ) -> None:
        self.key, self.found, self.expected, self.source = key, found, expected, source
        text = f"{source}: {key}: expected {expected}, found {found!r}"
        super().__init__(f"{text}. {cure}" if cure else text)


class PluginError(AgentKernelError):
    """A plugin cannot be used. ``kind`` and ``name`` identify it, ``reason`` says why not."""

    def __init__(self, kind: str, name: str, reason: str) -> None:
        self.kind, self.name, self.reason = kind, name, reason
        super().__init__(f"{kind} plugin {name!r}: {reason}")


class PluginNotFound(PluginError):
    """No installed plugin of that kind has that name."""

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        installed: Sequence[str],
        suggestion: str | None,
        install: str,
    ) -> None:
        self.installed, self.suggestion, self.install = tuple(installed), suggestion, install
        hint = f" Did you mean {suggestion!r}?" if suggestion else ""
        have = ", ".join(installed) or "none"
        super().__init__(
            kind, name, f"not installed.{hint} Installed: {have}. To install it: {install}"
        )


class PluginBlocked(PluginError):
    """The allow list or the block list forbids this plugin. It was not imported."""


class PluginRejected(PluginError):
    """The plugin's metadata forbids its use: version range, or another plugin has the same name. It was not imported."""


class PluginImportError(PluginError):
    """Importing the plugin raised; the original error is ``__cause__``."""


class PluginSignatureError(PluginError):
    """A hook of the plugin does not match its specification, or the plugin lacks the hook its kind needs."""


class KernelStateError(AgentKernelError):
    """The kernel cannot take calls in its present state."""


class KernelNotStarted(KernelStateError):
    """The kernel was not started."""

    def __init__(self) -> None:
        super().__init__(
            "the kernel is not running. Call kernel.start(), or use it as a context manager"
        )


class KernelStopped(KernelStateError):
    """The kernel was stopped before or while the call ran."""

    def __init__(self, doing: str = "this call") -> None:
        super().__init__(
            f"the kernel was stopped before {doing} was done. Start a new Kernel, or call wrap() again"
        )


class KernelForked(KernelStateError):
    """The process was forked after the kernel started: its thread and its queues stayed in the parent."""

    def __init__(self, *, started_in: int, now_in: int) -> None:
        self.started_in, self.now_in = started_in, now_in
        super().__init__(
            f"the kernel was started in process {started_in} and this is its fork {now_in}, where the kernel's thread "
            "does not exist. Start a kernel in the child (agentkernel.wrap() again), or use the 'spawn' start method"
        )


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


class AdapterError(AgentKernelError):
    """A framework cannot be wrapped or unwrapped."""


class UnsupportedTarget(AdapterError):
    """The installed version of the framework is outside the adapter's range. It was not imported."""

    def __init__(
        self, *, adapter: str, distribution: str, found: str | None, supported: str
    ) -> None:
        self.adapter, self.distribution, self.found, self.supported = (
            adapter,
            distribution,
            found,
            supported,
        )
        have = (
            f"{distribution} {found} is installed" if found else f"{distribution} is not installed"
        )
        super().__init__(f"adapter {adapter!r} supports {distribution}{supported}; {have}")


class PatchConflict(AdapterError):
    """An attribute that was patched is no longer ours: somebody patched on top of it."""

    def __init__(self, attributes: Sequence[str]) -> None:
        self.attributes = tuple(attributes)
        super().__init__(
            "cannot unwrap: somebody else patched on top of " + ", ".join(attributes) + ". "
            "Remove their patch first, then call unwrap() again; nothing was changed"
        )
