"""Code execution: each block of code that runs is a syscall, whatever its language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agentkernel.sdk import run_tool, stream_tool
from agentkernel_open_interpreter.chats import context_of

__all__ = ["install_package", "run_language"]

Function = Callable[..., Any]

_NAME = "computer.run"


def run_language(original: Function) -> Function:
    """``Terminal._streaming_run``, the generator that every ``computer.run`` ends in; the syscall lasts until it ends."""

    def run(self: Any, language: str, code: str, display: bool = False) -> Iterator[Any]:
        return stream_tool(
            _NAME,
            {"language": language, "code": code},
            lambda: original(self, language, code, display),
            context=context_of(_interpreter(self)),
            kind="code",
        )

    return run


def install_package(original: Function) -> Function:
    """``Terminal.sudo_install``, which takes ``apt install`` from the shell."""

    def install(self: Any, package: str) -> Any:
        return run_tool(
            _NAME,
            {"language": "shell", "code": f"apt install -y {package}"},
            lambda: original(self, package),
            context=context_of(_interpreter(self)),
            kind="code",
        )

    return install


def _interpreter(terminal: Any) -> Any:
    return getattr(terminal.computer, "interpreter", None)  # a computer may be the user's own
