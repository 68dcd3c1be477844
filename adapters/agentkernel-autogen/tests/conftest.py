"""The same AutoGen program, run as it is and run wrapped, against one scripted server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import agentkernel
from agentkernel.api import Call, Outcome
from agentkernel.testing import OpenAIServer, Reply, recording_hooks
from agentkernel.testing.openai_server import Request, Script, Usage, sequence

INCIDENTAL_HEADERS = {
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "idempotency-key",
    "user-agent",
}
"""Request headers that say which HTTP client it was; the SDK's ``x-stainless-*`` too."""


@dataclasses.dataclass
class Run:
    """What one run of a program did, as its user and its server see it."""

    value: Any = None
    error: Exception | None = None
    printed: str = ""
    requests: list[tuple[dict[str, Any], dict[str, str]]] = dataclasses.field(default_factory=list)
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


class Lab:
    """A scripted server, and programs against it."""

    def __init__(self, server: OpenAIServer, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.capsys = capsys
        self.script: Script = lambda _: Reply(content="unscripted")

    @property
    def base_url(self) -> str:
        return self.server.base_url

    def model(self, **settings: Any) -> dict[str, Any]:
        """An entry of a ``config_list``."""
        return {
            "model": "m",
            "base_url": self.base_url,
            "api_key": "key-1",
            "price": [0.5, 2],
            "max_retries": 0,
            **settings,
        }

    def config(self, **settings: Any) -> dict[str, Any]:
        """An ``llm_config`` with one model."""
        return {"config_list": [self.model()], "cache_seed": None, **settings}

    def plain(self, program: Callable[[], Any], script: Script | Iterable[Reply | str]) -> Run:
        """Run it as it is."""
        return self._run(program, script)

    def wrapped(
        self,
        program: Callable[[], Any],
        script: Script | Iterable[Reply | str],
        *,
        before: Callable[[agentkernel.Kernel], object] = lambda kernel: None,
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
    def wrap(self, *agents: object, **settings: Any) -> Iterator[tuple[agentkernel.Kernel, Any]]:
        """``agentkernel.wrap()``, quietly, with hooks that record; they are complete after the block."""
        config = {"kernel": {"retry_initial_s": 0.0}, **settings.pop("config", {})}
        agentkernel.wrap(*agents, config=config, quiet=True, **settings)
        kernel = agentkernel.current_kernel()
        hooks = recording_hooks()
        kernel.add_hooks(hooks)
        try:
            yield kernel, hooks
        finally:
            agentkernel.unwrap()

    def both(
        self, program: Callable[[], Any], script: Callable[[], Any] | list[Any], **settings: Any
    ) -> Run:
        """Run it as it is, then wrapped; assert that nobody can tell the difference. The wrapped run."""
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
        self.capsys.readouterr()
        try:
            value = program()
            run.value = asyncio.run(value) if inspect.iscoroutine(value) else value
        except Exception as error:  # noqa: BLE001 - what a program raises is what is compared
            run.error = error
        run.printed = self.capsys.readouterr().out
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


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AutoGen's cache and code go to a folder of the test's own, and no test leaves a wrapped framework behind."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    agentkernel.unwrap()


@pytest.fixture(scope="session")
def autogen() -> Any:
    """The framework itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import autogen

    return autogen


@pytest.fixture
def _clients_are_closed(autogen: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AutoGen never closes its clients; left to the garbage collector, their sockets warn."""
    import openai

    clients: list[Any] = []
    original = openai.OpenAI.__init__

    @functools.wraps(original)
    def init(self: Any, **settings: Any) -> None:
        clients.append(self)
        original(self, **settings)

    monkeypatch.setattr(openai.OpenAI, "__init__", init)
    yield
    for client in clients:
        if hasattr(client, "_client"):
            client.close()


@pytest.fixture
def lab(
    autogen: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    _clients_are_closed: None,
) -> Iterator[Lab]:
    """See :class:`Lab`."""
    # AutoGen looks for a Docker daemon even where it is told not to use it.
    monkeypatch.setattr("autogen.code_utils.is_docker_running", lambda: False)
    with OpenAIServer(lambda request: _counted(lab.script(request), request)) as server:
        lab = Lab(server, capsys)
        yield lab
