"""Orders for the proof of OrderKit: correct ones, and one defect each."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from time import sleep

from agentkernel.api import HeapOrder, LLMCall, NoOptions, Order, Usage, WaitingCall, hookimpl
from agentkernel.testing.kits import OrderKit


class PluginOf:
    """A plugin that creates orders of one class."""

    def __init__(self, made: type[Order]) -> None:
        self._made = made

    @hookimpl
    def create_order(self, options: NoOptions) -> Order:
        return self._made()


class Fifo(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> int:
        return waiting.seq


class TestCorrect(OrderKit):
    plugin = PluginOf(Fifo)


class Attained(HeapOrder):
    """Least attained service first, aged by the minute, forgotten with its program."""

    def __init__(self) -> None:
        super().__init__()
        self._attained: dict[str, float] = {}

    def key(self, waiting: WaitingCall, now: float) -> tuple[float, int]:
        attained = min(self._attained.get(waiting.call.context.program, 0.0), 600.0)
        return (waiting.arrived + attained, waiting.seq)

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        program = call.context.program
        self._attained[program] = self._attained.get(program, 0.0) + service_s

    def program_closed(self, program: str) -> None:
        self._attained.pop(program, None)


class TestCorrectWithState(OrderKit):
    plugin = PluginOf(Attained)


class ShortestPrompt(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> int:
        return sum(len(str(message.get("content", ""))) for message in waiting.call.messages)


class TestCorrectWithoutLiveness(OrderKit):
    plugin = PluginOf(ShortestPrompt)
    liveness_bound = None


class TestStarvesLongPrompts(OrderKit):
    plugin = PluginOf(ShortestPrompt)
    breaks, because = "test_no_call_starves", "age the calls that wait"


class Lifo(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> int:
        return -waiting.seq


class TestStarvesEarlyCalls(OrderKit):
    plugin = PluginOf(Lifo)
    breaks, because = "test_no_call_starves", "more than liveness_bound"


class Loses(Fifo):
    def push(self, waiting: WaitingCall, now: float) -> None:
        if waiting.seq % 50 != 49:
            super().push(waiting, now)


class TestLosesCalls(OrderKit):
    plugin = PluginOf(Loses)
    breaks, because = "test_everything_pushed_is_popped_exactly_once", "IndexError"


class Duplicates(Fifo):
    def pop(self, now: float) -> WaitingCall:
        taken = super().pop(now)
        if taken.seq % 50 == 49 and not taken.attempts:
            self.push(WaitingCall(taken.seq, taken.call, taken.arrived, 1), now)
        return taken


class TestDuplicatesCalls(OrderKit):
    plugin = PluginOf(Duplicates)
    breaks, because = "test_everything_pushed_is_popped_exactly_once", "AssertionError"


class Copies(Fifo):
    def pop(self, now: float) -> WaitingCall:
        taken = super().pop(now)
        return WaitingCall(taken.seq, taken.call, taken.arrived, taken.attempts)


class TestReturnsCopies(OrderKit):
    plugin = PluginOf(Copies)
    breaks, because = "test_everything_pushed_is_popped_exactly_once", "pop returns what was pushed"


class WrongPeek(Fifo):
    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        return sorted(self._live.values(), key=lambda waiting: -waiting.seq)[:count]


class TestPeeksAtTheWrongEnd(OrderKit):
    plugin = PluginOf(WrongPeek)
    breaks, because = "test_peek_is_what_pop_returns_next", "AssertionError"


class WrongLaterPeek(Fifo):
    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        found = list(super().peek(now, count))
        return found[:1] + found[:0:-1]


class TestPeeksInTheWrongOrder(OrderKit):
    plugin = PluginOf(WrongLaterPeek)
    breaks, because = "test_peek_of_several_is_the_order_of_the_next_pops", "AssertionError"


class PeekTakes(Fifo):
    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        found = super().peek(now, count)
        for waiting in found[1:]:
            self.remove(waiting)
        return found


class TestPeekTakesOut(OrderKit):
    plugin = PluginOf(PeekTakes)
    breaks, because = "test_peek_changes_nothing", "AssertionError"


class WrongLength(Fifo):
    removed = 0

    def remove(self, waiting: WaitingCall) -> bool:
        found = super().remove(waiting)
        self.removed += found
        return found

    def __len__(self) -> int:
        return super().__len__() + self.removed


class TestCountsRemovedCalls(OrderKit):
    plugin = PluginOf(WrongLength)
    breaks, because = "test_len_counts_waiting_calls", "AssertionError"


class NoneOnEmpty(Fifo):
    def pop(self, now: float) -> WaitingCall:
        return super().pop(now) if self._live else None  # type: ignore[return-value]


class TestReturnsNoneOnEmpty(OrderKit):
    plugin = PluginOf(NoneOnEmpty)
    breaks, because = "test_pop_from_empty_raises_index_error", "DID NOT RAISE"


class AlwaysRemoves(Fifo):
    def remove(self, waiting: WaitingCall) -> bool:
        super().remove(waiting)
        return True


class TestAlwaysSaysRemoved(OrderKit):
    plugin = PluginOf(AlwaysRemoves)
    breaks, because = "test_removing_a_call_that_does_not_wait_is_false", "AssertionError"


class NeverRemoves(Fifo):
    def remove(self, waiting: WaitingCall) -> bool:
        return self._live.get(waiting.seq) is waiting


class TestKeepsCancelledCalls(OrderKit):
    plugin = PluginOf(NeverRemoves)
    breaks, because = "test_removed_call_is_never_popped", "does not wait any more"


class ForgetsRetries(Fifo):
    def __init__(self) -> None:
        super().__init__()
        self._first: dict[int, WaitingCall] = {}

    def push(self, waiting: WaitingCall, now: float) -> None:
        super().push(self._first.setdefault(waiting.seq, waiting), now)


class TestForgetsRetries(OrderKit):
    plugin = PluginOf(ForgetsRetries)
    breaks, because = "test_retried_call_keeps_its_identity", "pushed last under this seq"


class Chancy(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> float:
        return random.random()


class TestThrowsDice(OrderKit):
    plugin = PluginOf(Chancy)
    breaks, because = "test_same_operations_give_same_answers", "AssertionError"


class ReadsFiles(Fifo):
    def push(self, waiting: WaitingCall, now: float) -> None:
        try:
            with open("/dev/null") as weights:
                weights.read()
        except Exception:  # noqa: BLE001  the defect
            pass
        super().push(waiting, now)


class TestReadsFilesAndHidesIt(OrderKit):
    plugin = PluginOf(ReadsFiles)
    breaks, because = "test_no_io", "/dev/null"


class Sleeps(Fifo):
    def pop(self, now: float) -> WaitingCall:
        sleep(0.0001)
        return super().pop(now)


class TestSleeps(OrderKit):
    plugin = PluginOf(Sleeps)
    breaks, because = "test_no_io", "time.sleep"


class SleepsByAttribute(Fifo):
    def pop(self, now: float) -> WaitingCall:
        time.sleep(0.0001)
        return super().pop(now)


class TestSleepsByAttribute(OrderKit):
    plugin = PluginOf(SleepsByAttribute)
    breaks, because = "test_no_io", "time.sleep"


class Listed(Order):
    """Correct, and linear."""

    def __init__(self) -> None:
        self._calls: list[WaitingCall] = []

    def push(self, waiting: WaitingCall, now: float) -> None:
        self._calls = sorted([*self._calls, waiting], key=lambda one: one.seq)

    def pop(self, now: float) -> WaitingCall:
        first = min(self._calls, key=lambda one: one.seq)
        self._calls.remove(first)
        return first

    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        return self._calls[:count]

    def remove(self, waiting: WaitingCall) -> bool:
        kept = [one for one in self._calls if one is not waiting]
        found = len(kept) < len(self._calls)
        self._calls = kept
        return found

    def __len__(self) -> int:
        return len(self._calls)


class Unsorted(Listed):
    """Its push is cheap, so that the linear pop and remove can be measured."""

    def push(self, waiting: WaitingCall, now: float) -> None:
        self._calls.append(waiting)


class TestPushesInLinearTime(OrderKit):
    plugin = PluginOf(Listed)
    breaks, because = "test_cost_grows_at_most_logarithmically[push]", "log n. expected"

    def _steps(self, operation: str, size: int) -> int:
        return super()._steps(operation, size // 10)  # quadratic to fill


class TestPopsInLinearTime(OrderKit):
    plugin = PluginOf(Unsorted)
    breaks, because = "test_cost_grows_at_most_logarithmically[pop]", "log n. expected"


class TestRemovesInLinearTime(OrderKit):
    plugin = PluginOf(Unsorted)
    breaks, because = "test_cost_grows_at_most_logarithmically[remove]", "log n. expected"


class KeepsPrograms(Fifo):
    def __init__(self) -> None:
        super().__init__()
        self._served: dict[str, int] = {}

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        self._served[call.context.program] = usage.output_tokens


class TestKeepsClosedPrograms(OrderKit):
    plugin = PluginOf(KeepsPrograms)
    breaks, because = "test_closed_programs_are_forgotten", "bytes are kept"


class StalePeek(Fifo):
    """Remembers what it showed; only a removal after a peek brings the defect out."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: WaitingCall | None = None

    def push(self, waiting: WaitingCall, now: float) -> None:
        self._shown = None
        super().push(waiting, now)

    def pop(self, now: float) -> WaitingCall:
        self._shown = None
        return super().pop(now)

    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        if count > 1:
            return super().peek(now, count)
        if self._shown is None:
            found = super().peek(now)
            self._shown = found[0] if found else None
        return () if self._shown is None else (self._shown,)


class TestShowsRemovedCalls(OrderKit):
    plugin = PluginOf(StalePeek)
    breaks, because = "test_any_sequence_of_operations", "peek shows"


class ForeignCalls(Fifo):
    def __init__(self) -> None:
        super().__init__()
        self._running: dict[str, int] = {}

    def pop(self, now: float) -> WaitingCall:
        taken = super().pop(now)
        self._running[taken.call.context.program] = 1
        return taken

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        self._running[call.context.program] += 1


class TestKnowsOnlyItsOwnCalls(OrderKit):
    plugin = PluginOf(ForeignCalls)
    breaks, because = "test_any_sequence_of_operations", "KeyError"


class Global(HeapOrder):
    arrivals = itertools.count()

    def key(self, waiting: WaitingCall, now: float) -> float:
        return abs(next(self.arrivals) % 7 - 3)


class TestSharesStateBetweenInstances(OrderKit):
    plugin = PluginOf(Global)
    breaks, because = "test_same_operations_give_same_answers", "AssertionError"


class AsyncPlugin:
    @hookimpl
    async def create_order(self, options: NoOptions) -> Order:
        return Fifo()


class TestCreatesInACoroutine(OrderKit):
    plugin = AsyncPlugin()
    breaks = "test_the_create_hook_of_the_kind_is_implemented_and_is_no_coroutine"
    because = "not awaited"


class LooseOptions:
    @hookimpl
    def create_order(self, options: dict[str, object]) -> Order:
        return Fifo()


class TestTakesAnyOptions(OrderKit):
    plugin = LooseOptions()
    breaks, because = "test_unknown_option_is_refused", "annotate the parameter"


class WrongParameters:
    @hookimpl
    def create_order(self, settings: NoOptions) -> Order:
        return Fifo()


class TestTakesOtherParameters(OrderKit):
    plugin = WrongParameters()
    breaks, because = "test_hooks_match_the_specifications", "PluginValidationError"
