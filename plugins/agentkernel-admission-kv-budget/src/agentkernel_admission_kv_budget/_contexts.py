"""The contexts of programs: how many tokens of the KV caches each takes, and where."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from agentkernel.api import LLMCall, Message, Usage

__all__ = ["Contexts", "Program"]

_CHARACTERS_PER_TOKEN = 4


class Program:
    """What is known of a program.

    Attributes:
        resident: its contexts are to stay cached.
        paused: it was resident, and waits to be so again.
        core: on which its last call ran, or the next one is expected to.
        running: how many of its calls run.
        heard_of: the time of its last event.
        counted: ``(core, tokens)`` as they are in the sums of :class:`Contexts`; None where they are not.
    """

    __slots__ = ("_agents", "core", "counted", "heard_of", "paused", "resident", "running")

    def __init__(self) -> None:
        self._agents: dict[str, int] = {}
        self.resident = self.paused = False
        self.core = ""
        self.running = 0
        self.heard_of = 0.0
        self.counted: tuple[str, int] | None = None

    @property
    def tokens(self) -> int:
        """Of all its agents' conversations, with answers that are expected."""
        return sum(self._agents.values())

    def let_in(self) -> None:
        """It is resident from now on."""
        self.resident, self.paused = True, False

    def hold_back(self) -> None:
        """It is not."""
        self.resident, self.paused = False, self.paused or self.resident

    def expect(self, call: LLMCall, output_tokens: int) -> None:
        """An agent makes a call, which will be answered with about so many tokens."""
        agent = call.context.agent
        prompt = _characters(call.messages) // _CHARACTERS_PER_TOKEN + output_tokens
        self._agents[agent] = max(self._agents.get(agent, 0), prompt)

    def answered(self, call: LLMCall, usage: Usage) -> None:
        """The call ended; the estimate stands where the core counted nothing."""
        tokens = usage.input_tokens + usage.output_tokens
        if tokens:
            self._agents[call.context.agent] = tokens


class Contexts:
    """The programs that are open, and the tokens that those of them take that are resident, by core."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, Program] = OrderedDict()  # last heard of last
        self._taken: dict[str, int] = {}

    def program(self, name: str, now: float) -> Program:
        """The program, of which something is heard now."""
        program = self._programs.get(name)
        if program is None:
            program = self._programs[name] = Program()
        else:
            self._programs.move_to_end(name)
        program.heard_of = now
        return program

    def any_resident(self, names: Iterable[str]) -> bool:
        """Whether one of these programs is resident."""
        return any(name in self._programs and self._programs[name].resident for name in names)

    def settle(self, program: Program, cores: Sequence[str]) -> None:
        """Choose the core that is taken least for a program that has none of these."""
        if program.core not in cores:
            program.core = min(cores, key=lambda core: self._taken.get(core, 0))

    def taken(self, core: str, *, besides: Program) -> int:
        """Tokens of the resident programs on a core, but for one."""
        tokens = self._taken.get(core, 0)
        if besides.counted is not None and besides.counted[0] == core:
            tokens -= besides.counted[1]
        return tokens

    def count(self, program: Program) -> None:
        """Bring the sums up to what the program takes now, and where."""
        if program.counted is not None:
            self._add(program.counted[0], -program.counted[1])
        program.counted = (program.core, program.tokens) if program.resident else None
        if program.counted is not None:
            self._add(*program.counted)

    def _add(self, core: str, tokens: int) -> None:
        taken = self._taken.pop(core, 0) + tokens
        if taken:
            self._taken[core] = taken

    def close(self, name: str) -> None:
        """Forget a program."""
        program = self._programs.pop(name, None)
        if program is not None:
            program.hold_back()
            self.count(program)

    def forget(self, now: float, after_s: float) -> None:
        """Close the programs that were not heard of for so long and have no call that runs. O(1) amortised."""
        while self._programs:
            name = next(iter(self._programs))
            if self._programs[name].heard_of + after_s >= now:
                return
            if self._programs[name].running:
                self.program(name, now)
            else:
                self.close(name)


def _characters(messages: Sequence[Message]) -> int:
    return sum(map(_length, (message.get("content") for message in messages)))


def _length(content: object) -> int:
    """Characters of a message's text, alone or in parts; images and sound count as nothing."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, Sequence):
        return sum(_length(part.get("text")) for part in content if isinstance(part, Mapping))
    return 0
