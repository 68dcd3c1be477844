"""The admission ``kv_budget``: lets in no more programs at once than the KV caches of the cores hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from agentkernel.api import Admission, CoreView, LLMCall, Options, Usage, hookimpl
from agentkernel_admission_kv_budget._contexts import Contexts, Program

__all__ = ["KvBudget", "KvBudgetOptions", "create_admission"]

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class KvBudgetOptions(Options, frozen=True):
    """Options of the admission.

    Attributes:
        tokens_per_core: what the KV cache of each core holds.
        low: a program that was paused comes back while the programs on its core, and it, take no more than this share.
        high: a program that has come in is paused between its calls when those on its core take more than this share.
        full: programs begin, and ones that come before all that are held go on, up to this share.
        by_tenant: programs of a tenant that takes no more of a core than an equal share of ``high`` come in, and stay.
        expected_output_tokens: of a call that is not answered yet.
        output_cost: of a token that is generated, in tokens of a prompt that is computed.
        forget_s: a program that is not heard of for so long counts as closed.
    """

    tokens_per_core: Annotated[int, msgspec.Meta(ge=1)]
    low: _Positive = 0.60
    high: _Positive = 0.70
    full: _Positive = 0.85
    by_tenant: bool = False
    expected_output_tokens: Annotated[int, msgspec.Meta(ge=0)] = 512
    output_cost: _Positive = 4.0
    forget_s: _Positive = 600.0

    def __post_init__(self) -> None:
        """A program that comes back is not paused at once, and one that comes first is not worse off than others."""
        if not self.low <= self.high <= self.full:
            found = f"low = {self.low}, high = {self.high} and full = {self.full}"
            raise ValueError(f"{found}; each must be no more than the next")


class KvBudget(Admission):
    """Holds whole programs back, between their calls, so that the contexts of those inside stay cached.

    Without it, more programs run than the caches hold: the context of each is evicted while it waits for a tool, and
    computed again afterwards. (Load control by working sets: Denning, "Working sets past and present", 1980.)

    A program is *resident* from when it is let in until it closes, is paused or is forgotten, through all its tool calls.
    It takes what the conversations of its agents do: the prompt and answer of the last call of each; for a call that
    is not answered yet, a token for each four characters of its messages if that is more than before, and
    ``expected_output_tokens``. It counts on the core of its last call; one that has not run yet, on that which is
    taken least.

    A resident program is paused when it makes a call while its core is taken above ``high`` and a held program comes
    before it, and comes back, in its turn, at ``low``: a place is given up for a program that the order prefers, not
    for one that would be paused for it in turn. A program that comes before all that are held goes on up to ``full``, and
    so far new ones come in, in their turn. The rest of the cache is for contexts that grow, and for those that the server
    keeps although nobody will continue them.

    Before its answers have cost what its context would cost to compute again, a program that has come in is paused only
    when the cache is full: apart from that, what is computed twice costs no more than what got done. (Rent or buy, by
    break-even: Karlin et al., "Competitive snoopy caching", 1988.)

    A program that would be alone on its core is let in, and so is one that runs within another (an ``@agent`` within an
    ``@agent``) as long as that one is resident.

    With ``by_tenant``, a program is also let in, whatever is held, while its tenant takes no more of the core than an equal
    share of ``high``, of the tenants that have resident programs there: others pause theirs to make room for it.

    A decision costs O(cores + messages of the call + agents of the program).
    """

    def __init__(self, options: KvBudgetOptions) -> None:
        self._options = options
        self._contexts = Contexts()

    def enter(self, call: LLMCall, cores: Sequence[CoreView], first: bool, now: float) -> bool:
        options, contexts = self._options, self._contexts
        contexts.forget(now, options.forget_s)
        program = contexts.program(call.context, now)
        program.expect(call, options.expected_output_tokens)
        contexts.settle(program, [core.name for core in cores])
        if self._fits(program, first) or contexts.any_resident(call.context.ancestors):
            program.let_in()
        else:
            program.hold_back()
        contexts.count(program)
        return program.resident

    def _fits(self, program: Program, first: bool) -> bool:
        options, contexts = self._options, self._contexts
        budget = options.tokens_per_core
        if options.by_tenant and contexts.within_share(program, options.high * budget):
            return True
        if not (first or program.resident):
            return False
        others = contexts.taken(program)
        return not others or others + program.tokens <= self._share(program, first) * budget

    def _share(self, program: Program, first: bool) -> float:
        """Of its core's cache, that the resident programs may take with this one."""
        options = self._options
        if program.paused:
            return options.low
        if program.resident and program.generated * options.output_cost < program.tokens:
            return max(1.0, options.full)
        return options.full if first else options.high

    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        program = self._contexts.program(call.context, now)
        program.expect(call, self._options.expected_output_tokens)
        program.running += 1
        program.let_in()
        program.core = core.name
        self._contexts.count(program)

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        program = self._contexts.program(call.context, now)
        program.running = max(0, program.running - 1)
        expected = 0 if error is not None else self._options.expected_output_tokens
        program.answered(call, usage, expected)
        self._contexts.count(program)

    def program_closed(self, program: str) -> None:
        self._contexts.close(program)


@hookimpl
def create_admission(options: KvBudgetOptions) -> Admission:
    """Create the admission of one kernel."""
    return KvBudget(options)
