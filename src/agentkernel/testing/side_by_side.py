"""The same program, run as it is and run wrapped, against one scripted server: for tests of adapters."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from agentkernel.api import Call, Outcome
from agentkernel.kernel import Kernel
from agentkernel.sdk import current_kernel, unwrap, wrap
from agentkernel.testing.fakes import RecordingHooks, recording_hooks
from agentkernel.testing.openai_server import (
    OpenAIServer,
    Reply,
    Request,
    Script,
    Usage,
    sequence,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Run", "SideBySide"]

INCIDENTAL_HEADERS = {
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "idempotency-key",
    "user-agent",
}
"""Request headers that say which HTTP client it was; the OpenAI SDK's ``x-stainless-*`` too."""


@dataclasses.dataclass
class Run:
    """What one run of a program did, as its user and its server see it."""

    value: Any = None
    error: Exception | None = None
    printed: str = ""
    requests: list[tuple[Any, dict[str, str]]] = dataclasses.field(default_factory=list)
    syscalls: list[tuple[Call, Outcome[object]]] = dataclasses.field(default_factory=list)
    cores: int = 0

    def seen(self) -> tuple[object, ...]:
        """All that must not differ."""
        return self.value, _described(self.error), self.printed, self.requests

    def calls(self, kind: str) -> list[Any]:
        """Calls of one kind: ``llm``, ``tool`` or ``code``."""
        return [call for call, _ in self.syscalls if getattr(call, "kind", "llm") == kind]


def _described(error: Exception | None) -> object:
    if error is None:
        return None
    names = ("status_code", "code", "param", "type", "body", "message", "request_id")
    return type(error), str(error), {name: getattr(error, name, None) for name in names}


class SideBySide:
    """A scripted server, and programs against it. Use as a context manager.

    A program is a function, sync or async, whose value can be compared.

    Args:
        printed: reads and forgets what was printed since it was asked last; ``lambda: capsys.readouterr().out``.
    """

    def __init__(self, printed: Callable[[], str] = lambda: "") -> None:
        self._printed = printed
        self.script: Script = lambda _: Reply(content="unscripted")
        self.server = OpenAIServer(lambda request: _counted(self.script(request), request))

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.server.__exit__(None, None, None)

    @property
    def base_url(self) -> str:
        """The server's address, with ``/v1``."""
        return self.server.base_url

    def plain(self, program: Callable[[], Any], script: Script | Iterable[Reply | str]) -> Run:
        """Run it as it is."""
        return self._run(program, script)

    def wrapped(
        self,
        program: Callable[[], Any],
        script: Script | Iterable[Reply | str],
        *,
        before: Callable[[Kernel], object] = lambda kernel: None,
        **settings: Any,
    ) -> Run:
        """Run it wrapped; ``before`` gets the kernel."""
        with self.wrap(**settings) as (kernel, hooks):
            before(kernel)
            run = self._run(program, script)
            run.cores = len(kernel.cores)
        run.syscalls = [(call, outcome) for _, call, outcome in hooks.finished]
        return run

    @contextlib.contextmanager
    def wrap(self, *agents: object, **settings: Any) -> Iterator[tuple[Kernel, RecordingHooks]]:
        """``agentkernel.wrap()``, quietly, with hooks that record; they are complete after the block."""
        config = {"kernel": {"retry_initial_s": 0.0}, **settings.pop("config", {})}
        wrap(*agents, config=config, quiet=True, **settings)
        kernel = current_kernel()
        hooks = recording_hooks()
        kernel.add_hooks(hooks)
        try:
            yield kernel, hooks
        finally:
            unwrap()

    def both(
        self, program: Callable[[], Any], script: Callable[[], Any] | list[Any], **settings: Any
    ) -> Run:
        """Run it as it is, then wrapped; assert that nobody can tell the difference. The wrapped run.

        Args:
            script: a list of replies, or a function that makes the script of one run.
        """
        make = script if callable(script) else lambda: script
        plain = self.plain(program, make())
        wrapped = self.wrapped(program, make(), **settings)
        for now, before in zip(wrapped.seen(), plain.seen(), strict=True):
            assert now == before
        return wrapped

    def _run(self, program: Callable[[], Any], script: Script | Iterable[Reply | str]) -> Run:
        self.script = script if callable(script) else sequence(script)
        before = len(self.server.requests)
        run = Run()
        self._printed()
        try:
            value = program()
            run.value = asyncio.run(value) if inspect.iscoroutine(value) else value
        except Exception as error:  # noqa: BLE001 - what a program raises is what is compared
            run.error = error
        run.printed = self._printed()
        run.requests = [
            (request.payload, _essential(request.headers))
            for request in self.server.requests[before:]
        ]
        return run


def _counted(reply: Reply, request: Request) -> Reply:
    """The reply with a usage that does not depend on how a client spaces its JSON."""
    usage = Usage(7 * len(request.payload.get("messages", ())), 3 + len(reply.content or ""))
    return reply if reply.usage else msgspec.structs.replace(reply, usage=usage)


def _essential(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name not in INCIDENTAL_HEADERS and not name.startswith("x-stainless-")
    }
