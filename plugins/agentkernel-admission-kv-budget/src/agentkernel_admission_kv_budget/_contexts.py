"""The contexts of programs: how many tokens of the KV caches each takes, and where."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from agentkernel.api import CallContext, LLMCall, Message, Usage

__all__ = ["Contexts", "Program"]

_CHARACTERS_PER_TOKEN = 4


class Program:
    """What is known of a program.

    Attributes:
        tenant: whose it is.
        resident: its contexts are to stay cached.
        paused: it was resident, and waits to be so again.
        generated: tokens of its answers since it was let in.
        core: on which its last call ran, or the next one is expected to.
        running: how many of its calls run.
        heard_of: the time of its last event.
        counted: ``(core, tokens)`` as they are in the sums of :class:`Contexts`; None where they are not.
    """

    __slots__ = (
        "_agents",
        "core",
        "counted",
        "generated",
        "heard_of",
        "paused",
        "resident",
        "running",
        "tenant",
    )

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self._agents: dict[str, int] = {}
        self.resident = self.paused = False
        self.generated = 0
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
        if not self.resident:
            self.generated = 0
        self.resident, self.paused = True, False

    def hold_back(self) -> None:
        """It is not."""
        self.resident, self.paused = False, self.paused or self.resident

    def expect(self, call: LLMCall, output_tokens: int) -> None:
        """An agent makes a call, which will be answered with about so many tokens."""
        agent = call.context.agent
        prompt = _characters(call.messages) // _CHARACTERS_PER_TOKEN + output_tokens
        self._agents[agent] = max(self._agents.get(agent, 0), prompt)

    def answered(self, call: LLMCall, usage: Usage, output_tokens: int) -> None:
        """The call ended; where the core counted nothing, the estimates stand: its context's, and that of its answer."""
        self.generated += usage.output_tokens or output_tokens
        tokens = usage.input_tokens + usage.output_tokens
        if tokens:
            self._agents[call.context.agent] = tokens


class _Cache:
    """What resident programs take of one core: tokens, all in all and by tenant."""

    __slots__ = ("by_tenant", "tokens")

    def __init__(self) -> None:
        self.tokens = 0
        self.by_tenant: dict[str, int] = {}


class Contexts:
    """The programs that are open, and the tokens that those of them take that are resident, by core."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, Program] = OrderedDict()  # last heard of last
        self._caches: dict[str, _Cache] = {}

    def program(self, context: CallContext, now: float) -> Program:
        """The program of a call, of which something is heard now."""
        name = context.program
        program = self._programs.get(name)
        if program is None:
            program = self._programs[name] = Program(context.tenant)
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
            program.core = min(cores, key=self._tokens)

    def taken(self, program: Program) -> int:
        """Tokens of the other resident programs on its core."""
        return self._tokens(program.core) - _counted(program)

    def within_share(self, program: Program, tokens: float) -> bool:
        """Whether its tenant, with it, takes an equal share of so many tokens of its core at most.

        The shares are those of the tenants that have resident programs there, and its own; one that is alone has none.
        """
        cache = self._caches.get(program.core)
        if cache is None:
            return False
        tenants = len(cache.by_tenant) + (program.tenant not in cache.by_tenant)
        takes = cache.by_tenant.get(program.tenant, 0) - _counted(program) + program.tokens
        return tenants > 1 and takes * tenants <= tokens

    def count(self, program: Program) -> None:
        """Bring the sums up to what the program takes now, and where."""
        if program.counted is not None:
            self._add(program.tenant, program.counted[0], -program.counted[1])
        program.counted = (program.core, program.tokens) if program.resident else None
        if program.counted is not None:
            self._add(program.tenant, *program.counted)

    def _tokens(self, core: str) -> int:
        cache = self._caches.get(core)
        return 0 if cache is None else cache.tokens

    def _add(self, tenant: str, core: str, tokens: int) -> None:
        cache = self._caches.pop(core, None) or _Cache()
        cache.tokens += tokens
        of_tenant = cache.by_tenant.pop(tenant, 0) + tokens
        if of_tenant:
            cache.by_tenant[tenant] = of_tenant
        if cache.by_tenant:
            self._caches[core] = cache

    def close(self, name: str) -> None:
        """Forget a program."""
        program = self._programs.pop(name, None)
        if program is not None:
            program.hold_back()
            self.count(program)

    def forget(self, now: float, after_s: float) -> None:
        """Close the programs that were not heard of for so long and have no call that runs. O(1) amortised."""
        while self._programs:
            name, program = next(iter(self._programs.items()))
            if program.heard_of + after_s >= now:
                return
            if program.running:
                program.heard_of = now
                self._programs.move_to_end(name)
            else:
                self.close(name)


def _counted(program: Program) -> int:
    """Tokens of it that are in the sums of the core on which it is now."""
    counted = program.counted
    return counted[1] if counted is not None and counted[0] == program.core else 0


def _characters(messages: Sequence[Message]) -> int:
    return sum(map(_length, (message.get("content") for message in messages)))


def _length(content: object) -> int:
    """Characters of a message's text, alone or in parts; images and sound count as nothing."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, Sequence):
        return sum(_length(part.get("text")) for part in content if isinstance(part, Mapping))
    return 0
