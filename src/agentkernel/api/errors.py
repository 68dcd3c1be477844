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
    │   │   ├── InvalidToolArguments
    │   │   ├── InvalidOutputSchema   the answer cannot be constrained as asked
    │   │   └── ContextWindowExceeded prompt and answer do not fit into the model's window
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
    │       ├── UnsupportedModel      the core cannot run this model
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

from collections.abc import Sequence

from agentkernel.api.syscall_errors import (
    AccessDenied,
    AgentKernelError,
    ContextWindowExceeded,
    CoreConnectionError,
    CoreProtocolError,
    CoreStatusError,
    CoreTimeout,
    CoreUnavailable,
    InvalidCall,
    InvalidMessages,
    InvalidOutput,
    InvalidOutputSchema,
    InvalidToolArguments,
    InvalidToolSchema,
    KernelBusy,
    LLMCoreError,
    NoCoreForCall,
    PluginFault,
    RateLimited,
    StreamTruncated,
    SyscallCancelled,
    SyscallError,
    SyscallTimeout,
    ToolError,
    ToolFailed,
    ToolNotFound,
    UnsupportedModel,
)

__all__ = [
    "AccessDenied",
    "AdapterError",
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
    "UnsupportedModel",
    "UnsupportedTarget",
]


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


for _name in __all__:  # tracebacks name the place to import them from
    globals()[_name].__module__ = __name__
