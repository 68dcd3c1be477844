"""Which of Open Interpreter's methods are replaced.

All of them are looked up on their class or module at each call, so interpreters that exist before ``wrap()`` are reached
too: the one that ``from interpreter import interpreter`` gives exists as soon as the module is imported.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkernel.api import Adapter, Seam, Target
from agentkernel_open_interpreter import chats, code, llm
from agentkernel_open_interpreter.targets import INSTALLS_PACKAGES, TARGETS

__all__ = ["OpenInterpreterAdapter"]

_LLM = "interpreter.core.llm.llm"
_TERMINAL = "interpreter.core.computer.terminal.terminal"


class OpenInterpreterAdapter(Adapter):
    """Chats as programs, code, and answers of ``completions`` of one's own; LLM calls are ``agentkernel-litellm``'s."""

    targets = TARGETS
    not_covered = (
        "the computer API (computer.display, computer.mouse, ...)",
        "an interpreter.llm of your own",
        "interpreter --os",
    )

    def seams(self, target: Target) -> Sequence[Seam]:
        """The seams of Open Interpreter."""
        core, server = "interpreter.core.core", "interpreter.core.async_core"
        seams = [
            Seam(module=core, attribute="OpenInterpreter.chat", kind="program", replace=chats.chat),
            Seam(
                module=core,
                attribute="OpenInterpreter._respond_and_store",
                kind="program",
                replace=chats.respond_and_store,
            ),
            Seam(
                module=server,
                attribute="AsyncInterpreter.input",
                kind="program",
                replace=chats.hear,
            ),
            Seam(
                module=server,
                attribute="AsyncInterpreter.respond",
                kind="program",
                replace=chats.respond,
            ),
            Seam(module=_LLM, attribute="Llm.run", kind="program", replace=llm.run),
            Seam(module=_LLM, attribute="run_text_llm", kind="llm", replace=llm.read_answer),
            Seam(
                module=_LLM,
                attribute="run_tool_calling_llm",
                kind="llm",
                replace=llm.read_answer,
            ),
            Seam(
                module=_TERMINAL,
                attribute="Terminal._streaming_run",
                kind="code",
                replace=code.run_language,
            ),
        ]
        if target == INSTALLS_PACKAGES:
            install = Seam(
                module=_TERMINAL,
                attribute="Terminal.sudo_install",
                kind="code",
                replace=code.install_package,
            )
            seams.append(install)
        return seams
