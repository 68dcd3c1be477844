"""The same Open Interpreter program, run as it is and run wrapped, against one scripted server."""

from __future__ import annotations

import gc
import os
import socket
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agentkernel
from agentkernel.sdk import interception
from agentkernel.testing import Reply, SideBySide
from agentkernel.testing.openai_server import ToolCall


class Lab(SideBySide):
    """A scripted server, and interpreters that ask it.

    Each run of a program has its own interpreters, which look like each other; they are terminated by ``close``.
    """

    def __init__(self, printed: Callable[[], str]) -> None:
        super().__init__(printed)
        self.interpreters: list[Any] = []

    def interpreter(
        self, kind: str = "OpenInterpreter", *, tools: bool = True, **settings: Any
    ) -> Any:
        """An interpreter that runs code unasked, in tool mode or in text mode. It speaks ``up`` too, the test's language."""
        import interpreter

        settings = {
            "auto_run": True,
            "offline": True,
            "disable_telemetry": True,
            "conversation_history": False,
            "plain_text_display": True,
            "system_message": "You are a tester.",
            **settings,
        }
        made = getattr(interpreter, kind)(**settings)
        made.llm.model = "openai/m"
        made.llm.api_base = self.base_url
        made.llm.api_key = "key-1"
        made.llm.context_window, made.llm.max_tokens = 8000, 500
        made.llm.supports_functions, made.llm.supports_vision = tools, False
        made.computer.languages = [*made.computer.languages, _up()]
        self.interpreters.append(made)
        return made

    @staticmethod
    def execute(code: str, language: str = "up") -> Reply:
        """The LLM's wish to run code, in tool mode."""
        arguments = {"language": language, "code": code}
        return Reply(tool_calls=[ToolCall("execute", arguments, id="call_1")])

    @staticmethod
    def block(code: str, language: str = "up", after: str = "") -> Reply:
        """The same in text mode, in pieces as small as a model's tokens."""
        text = f"So:\n```{language}\n{code}\n```\n{after}"
        return Reply(content=text, stream_chunk_chars=1)

    def code_then_thanks(self, tools: bool, code: str = "a\nb", language: str = "up") -> list[Any]:
        """The script of a chat in which code runs, in either mode."""
        wish = self.execute(code, language) if tools else self.block(code, language, "never read")
        return [wish, "thanks"]

    def close(self) -> None:
        """End the processes that the interpreters started."""
        for made in self.interpreters:
            made.computer.terminate()


def _up() -> type:
    """A language whose output is each line of the code, loudly: as fast and as fixed as Open Interpreter's own are not."""
    from interpreter import BaseLanguage

    class Up(BaseLanguage):  # type: ignore[misc]
        name = "Up"
        file_extension = "up"
        aliases = ("loud",)

        def __init__(self) -> None:
            self.stopped = 0

        def run(self, code: str) -> Iterator[dict[str, Any]]:
            for number, line in enumerate(code.splitlines(), 1):
                if line == "raise":
                    raise RuntimeError("cannot go up")
                yield {"type": "console", "format": "active_line", "content": str(number)}
                yield {"type": "console", "format": "output", "content": f"{line.upper()}\n"}

        def stop(self) -> None:
            self.stopped += 1

        def terminate(self) -> None:
            pass

    return Up


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Open Interpreter takes long to be imported, and leaves pipes and processes to the garbage collector."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files go to the test's own folder, whatever wants to leave the machine fails at once, and nothing stays wrapped."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    yield
    agentkernel.unwrap()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether chats follow each other at once does not depend on the machine: they never do."""
    monkeypatch.setattr(interception, "PAUSE_S", 0.0)


@pytest.fixture(autouse=True)
def _collected_between_tests() -> Iterator[None]:
    """As it is, Open Interpreter in text mode leaves streams to the garbage collector, whose call of ``close`` waits for
    ever when it comes while httpcore holds its pool's lock in the same thread."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture(scope="session")
def oi() -> Any:
    """The framework itself."""
    os.environ.update(OFFLINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import interpreter

    return interpreter


def _closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
    return port


_NOWHERE = f"http://127.0.0.1:{_closed_port()}"

OFFLINE = {
    "DISABLE_TELEMETRY": "true",
    "HTTPS_PROXY": _NOWHERE,
    "HTTP_PROXY": _NOWHERE,
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1,localhost",
    "SHELL": "/bin/sh",
}
"""An environment in which nothing is fetched: a proxy that refuses."""


@pytest.fixture
def lab(oi: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Lab]:
    """See :class:`Lab`."""
    with Lab(lambda: capsys.readouterr().out) as lab:
        yield lab
        lab.close()
