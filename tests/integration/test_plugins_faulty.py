"""Plugins that cannot be used or that misbehave: clear errors, failed calls, and a kernel that lives on."""

from __future__ import annotations

import asyncio
import logging
import time
import types
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from agentkernel import Kernel
from agentkernel.api import (
    WAIT_FOR_RELEASE,
    AccessDenied,
    Admission,
    CoreView,
    HeapOrder,
    LLMCall,
    LLMResponse,
    Order,
    Placement,
    PluginError,
    PluginFault,
    PluginSignatureError,
    SettingsError,
    SyscallCancelled,
    Tool,
    ToolCall,
    Usage,
    WaitingCall,
    hookimpl,
)
from agentkernel.api.options import NoOptions, Options
from agentkernel.testing import FakeCore, Fault

Start = Callable[..., Kernel]
AtRest = Callable[[Kernel], None]


def ask(text: str = "hello", **fields: Any) -> LLMCall:
    return LLMCall(messages=[{"role": "user", "content": text}], **fields)


def text_of(call: LLMCall | ToolCall) -> str:
    return str(call.messages[-1]["content"]) if isinstance(call, LLMCall) else call.name


# --- plugins that cannot be used


class Wants(Options, frozen=True):
    number: int


class Creates:
    """A plugin object whose create hooks do what a test says."""

    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create

    @hookimpl
    def create_order(self, options: NoOptions) -> Order:
        return self._create()  # type: ignore[no-any-return]


def test_an_order_that_cannot_be_created_fails_the_call_and_the_next_call_tries_again(
    start: Start, at_rest: AtRest
) -> None:
    attempts: list[int] = []

    def create() -> Order:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("no licence")
        return ByArrival()

    kernel = start(plugins={("order", "mine"): Creates(create)}, order="mine")
    kernel.add_core("core", FakeCore())
    with pytest.raises(PluginFault, match="no licence"):
        kernel.submit(ask()).result()

    assert kernel.submit(ask()).result().text == "ok"
    at_rest(kernel)


@pytest.mark.parametrize(
    "made", [None, object(), "fifo", FakeCore()], ids=lambda made: type(made).__name__
)
def test_an_order_of_the_wrong_type_fails_the_call_with_a_plugin_error(
    start: Start, made: object
) -> None:
    kernel = start(plugins={("order", "mine"): Creates(lambda: made)}, order="mine")
    kernel.add_core("core", FakeCore())
    with pytest.raises((PluginError, PluginFault), match="mine"):
        kernel.submit(ask()).result()


@pytest.mark.parametrize("role", ["order", "placement", "admission"])
def test_a_missing_scheduling_plugin_is_told_with_its_install_line(start: Start, role: str) -> None:
    with pytest.raises(PluginError, match=f"pip install agentkernel-{role}-absent"):
        start(**{role: ("absent",) if role == "admission" else "absent"})


def test_a_hook_with_a_wrong_signature_is_refused_at_the_start_and_nothing_runs(
    no_leaks: None,
) -> None:
    class Wrong:
        @hookimpl
        def syscall_submitted(self, kall: LLMCall) -> None:
            pass

    kernel = Kernel({}, plugins={("hooks", "wrong"): Wrong()}, hooks=("wrong",))
    with pytest.raises(PluginSignatureError, match="kall"):
        kernel.start()


def test_a_hook_with_a_wrong_signature_is_refused_at_run_time_and_the_kernel_goes_on(
    start: Start,
) -> None:
    class Wrong:
        @hookimpl
        def syscall_finished(self, result: object) -> None:
            pass

    kernel = start()
    kernel.add_core("core", FakeCore())
    with pytest.raises(PluginSignatureError, match="result"):
        kernel.add_hooks(Wrong())
    assert kernel.submit(ask()).result().text == "ok"


def test_a_core_plugin_with_wrong_options_is_refused_and_the_kernel_goes_on(start: Start) -> None:
    class CorePlugin:
        @hookimpl
        def create_llm_core(self, name: str, options: Wants) -> Any:
            return FakeCore(str(options.number))

    kernel = start(plugins={("llm_core", "wants"): CorePlugin()})
    with pytest.raises(SettingsError, match="number"):
        kernel.add_core("core", "wants", number="three")
    with pytest.raises(SettingsError):
        kernel.add_core("core", "wants")
    kernel.add_core("core", "wants", number=3)
    assert kernel.submit(ask()).result().text == "3"


def test_a_configured_core_that_cannot_start_stops_the_start_and_leaves_nothing(
    no_leaks: None,
) -> None:
    class Refuses(FakeCore):
        async def start(self) -> None:
            raise OSError("no such host")

    class CorePlugin:
        @hookimpl
        def create_llm_core(self, name: str, options: NoOptions) -> Any:
            return Refuses()

    kernel = Kernel(
        {},
        plugins={("llm_core", "bad"): CorePlugin()},
        cores={"main": {"plugin": "bad"}},
        stop_timeout_s=0.5,
    )
    with pytest.raises(PluginFault, match=r"'main'.*no such host"):
        kernel.start()
    assert kernel.state == "stopped"


def test_a_module_may_be_a_plugin_of_this_process(start: Start) -> None:
    module = types.ModuleType("mine")

    @hookimpl
    def create_order(options: NoOptions) -> Order:
        return ByArrival()

    module.create_order = create_order  # type: ignore[attr-defined]
    kernel = start(plugins={("order", "mine"): module}, order="mine")
    kernel.add_core("core", FakeCore())
    assert kernel.submit(ask()).result().text == "ok"


# --- hooks


class Hooks:
    """Does in each hook what a test says, for calls that say ``bad``."""

    def __init__(self, **does: Callable[..., Any]) -> None:
        self._does = does

    @hookimpl
    def syscall_submitted(self, call: LLMCall | ToolCall, syscall_id: int) -> None:
        if text_of(call) == "bad" and "submitted" in self._does:
            self._does["submitted"]()

    @hookimpl
    def syscall_execute(self, call: LLMCall | ToolCall, syscall_id: int) -> Awaitable[Any] | None:
        if text_of(call) == "bad" and "execute" in self._does:
            answer: Awaitable[Any] | None = self._does["execute"]()
            return answer
        return None

    @hookimpl
    def syscall_finished(self, call: LLMCall | ToolCall, syscall_id: int, outcome: Any) -> None:
        if text_of(call) == "bad" and "finished" in self._does:
            self._does["finished"]()


def raises(error: BaseException) -> Callable[[], Any]:
    def run() -> Any:
        raise error

    return run


def calls(text: str) -> list[LLMCall | ToolCall]:
    return [ask(text), ToolCall(name=text)]


def with_hooks(start: Start, hooks: object) -> Kernel:
    kernel = start()
    kernel.add_core("core", FakeCore(slots=1))
    for name in ("bad", "good"):
        kernel.register_tool(Tool(name=name, function=lambda: "ok"))
    kernel.add_hooks(hooks)
    return kernel


def value_of(value: Any) -> Any:
    return value.text if isinstance(value, LLMResponse) else value


ERRORS = [
    RuntimeError("boom"),
    SystemExit(1),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    StopIteration(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("hook", ["submitted", "execute"])
@pytest.mark.parametrize("kind", [0, 1], ids=["llm", "tool"])
def test_what_a_hook_raises_is_a_plugin_fault_of_that_call(
    start: Start, at_rest: AtRest, hook: str, error: BaseException, kind: int
) -> None:
    kernel = with_hooks(start, Hooks(**{hook: raises(error)}))
    with pytest.raises(PluginFault) as caught:
        kernel.submit(calls("bad")[kind]).result(timeout_s=20)

    assert caught.value.__cause__ is error or isinstance(error, StopIteration)
    assert value_of(kernel.submit(calls("good")[kind]).result(timeout_s=20)) == "ok"
    at_rest(kernel)


@pytest.mark.parametrize("hook", ["submitted", "execute"])
@pytest.mark.parametrize("kind", [0, 1], ids=["llm", "tool"])
def test_a_typed_refusal_of_a_hook_reaches_the_caller_as_it_is(
    start: Start, at_rest: AtRest, hook: str, kind: int
) -> None:
    refusal = AccessDenied("not you")
    kernel = with_hooks(start, Hooks(**{hook: raises(refusal)}))
    with pytest.raises(AccessDenied) as caught:
        kernel.submit(calls("bad")[kind]).result(timeout_s=20)
    assert caught.value is refusal
    at_rest(kernel)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", [0, 1], ids=["llm", "tool"])
def test_what_the_finished_hook_raises_is_logged_and_the_outcome_stands(
    start: Start, at_rest: AtRest, caplog: pytest.LogCaptureFixture, error: BaseException, kind: int
) -> None:
    kernel = with_hooks(start, Hooks(finished=raises(error)))
    with caplog.at_level(logging.ERROR):
        assert value_of(kernel.submit(calls("bad")[kind]).result(timeout_s=20)) == "ok"
        at_rest(kernel)
    assert "the outcome stands" in caplog.text


@pytest.mark.parametrize("kind", [0, 1], ids=["llm", "tool"])
def test_a_hook_may_answer_instead_of_core_and_tool(
    start: Start, at_rest: AtRest, kind: int
) -> None:
    async def cached() -> Any:
        return LLMResponse(text="cached") if kind == 0 else "cached"

    kernel = with_hooks(start, Hooks(execute=cached))
    assert value_of(kernel.submit(calls("bad")[kind]).result(timeout_s=20)) == "cached"
    assert value_of(kernel.submit(calls("good")[kind]).result(timeout_s=20)) == "ok"
    at_rest(kernel)


def test_a_hook_that_answers_an_llm_call_with_something_else_is_named(
    start: Start, at_rest: AtRest
) -> None:
    async def cached() -> str:
        return "cached"

    kernel = with_hooks(start, Hooks(execute=cached))
    with pytest.raises(PluginFault, match=r"syscall_execute hook.*str, not LLMResponse"):
        kernel.submit(ask("bad")).result(timeout_s=20)
    at_rest(kernel)


def test_a_hook_that_answers_with_no_awaitable_is_a_plugin_fault(
    start: Start, at_rest: AtRest
) -> None:
    kernel = with_hooks(start, Hooks(execute=lambda: LLMResponse(text="cached")))
    with pytest.raises(PluginFault, match="TypeError"):
        kernel.submit(ask("bad")).result(timeout_s=20)
    at_rest(kernel)


class Wraps:
    """Wraps the execution: notes what happened before and after, and what went wrong."""

    def __init__(self) -> None:
        self.notes: list[object] = []

    @hookimpl(wrapper=True)
    def syscall_execute(self, call: LLMCall | ToolCall, syscall_id: int) -> Any:
        inner = yield
        return self._around(inner)

    async def _around(self, inner: Awaitable[Any]) -> Any:
        self.notes.append("before")
        try:
            return await inner
        except BaseException as error:
            self.notes.append(type(error))
            raise
        finally:
            self.notes.append("after")


def test_a_hook_may_wrap_the_execution(start: Start, at_rest: AtRest) -> None:
    wraps = Wraps()
    kernel = with_hooks(start, wraps)
    for call in calls("good"):
        assert value_of(kernel.submit(call).result(timeout_s=20)) == "ok"
    assert wraps.notes == ["before", "after"] * 2
    at_rest(kernel)


def test_a_wrapping_hook_sees_a_cancellation_as_a_cancellation(
    start: Start, at_rest: AtRest
) -> None:
    wraps = Wraps()
    kernel = start()
    kernel.add_core("core", FakeCore(Fault.HANG))
    kernel.add_hooks(wraps)
    ticket = kernel.submit(ask())
    while "before" not in wraps.notes:
        time.sleep(0.001)
    ticket.cancel()
    with pytest.raises(SyscallCancelled):
        ticket.result(timeout_s=20)
    at_rest(kernel)
    assert wraps.notes == ["before", asyncio.CancelledError, "after"]


def test_a_wrapping_hook_sees_a_cores_defect_as_a_fault_of_the_core(
    start: Start, at_rest: AtRest
) -> None:
    class Breaks(FakeCore):
        async def execute(self, call: LLMCall, emit: Any) -> LLMResponse:
            raise ZeroDivisionError

    wraps = Wraps()
    kernel = start()
    kernel.add_core("core", Breaks())
    kernel.add_hooks(wraps)
    with pytest.raises(PluginFault, match="LLM core 'core'"):
        kernel.submit(ask()).result(timeout_s=20)
    assert wraps.notes == ["before", PluginFault, "after"]


# --- scheduling plugins


class ByArrival(HeapOrder):
    def key(self, waiting: WaitingCall, now: float) -> int:
        return waiting.seq


class First(Placement):
    def select(
        self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
    ) -> tuple[WaitingCall, CoreView] | None:
        return waiting[0], cores[0]


class Open(Admission):
    def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
        return None

    def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
        pass

    def release(
        self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
    ) -> None:
        pass


class SchedulerPlugin:
    def __init__(
        self, order: Callable[[], Order], placement: Placement, admissions: dict[str, Admission]
    ) -> None:
        self._order, self._placement, self._admissions = order, placement, admissions
        self._names = iter(admissions.values())

    @hookimpl
    def create_order(self, options: NoOptions) -> Order:
        return self._order()

    @hookimpl
    def create_placement(self, options: NoOptions) -> Placement:
        return self._placement

    @hookimpl
    def create_admission(self, options: NoOptions) -> Admission:
        return next(self._names)


def scheduled(
    start: Start,
    *,
    order: Callable[[], Order] = ByArrival,
    placement: Placement | None = None,
    admission: Admission | None = None,
) -> Kernel:
    plugin = SchedulerPlugin(order, placement or First(), {"x": admission or Open()})
    plugins = {(kind, "x"): plugin for kind in ("order", "placement", "admission")}
    kernel = start(plugins=plugins, order="x", placement="x", admission=("x",))
    kernel.add_core("core", FakeCore(slots=1))
    return kernel


class Once:
    """Whether a fault is still to come; it comes once."""

    def __init__(self) -> None:
        self.left = 1

    def __call__(self) -> bool:
        self.left -= 1
        return self.left >= 0


def broken(
    base: type[Any], method: str, does: Callable[..., Any], once: Callable[[], bool]
) -> type[Any]:
    """A plugin class of which one method misbehaves, once."""

    def misbehave(self: Any, *args: Any) -> Any:
        if once():
            return does(self, *args)
        return getattr(base, method)(self, *args)

    return type(f"Broken{base.__name__}", (base,), {method: misbehave})


def fail(*_args: object) -> Any:
    raise ZeroDivisionError("a defect")


def leave(*_args: object) -> Any:
    raise SystemExit(1)


def foreign_call(*_args: object) -> WaitingCall:
    return WaitingCall(10**6, ask(), 0.0)


FOREIGN_CORE = CoreView("nowhere", None, 0)

ORDER_FAULTS = {
    "push raises": ("push", fail),
    "push exits": ("push", leave),
    "push forgets the call": ("push", lambda *_: None),
    "pop raises": ("pop", fail),
    "pop gives out another call": ("pop", foreign_call),
    "pop gives out nothing": ("pop", lambda *_: None),
    "peek raises": ("peek", fail),
    "peek offers nothing": ("peek", lambda *_: ()),
    "peek offers an unknown call": ("peek", lambda *_: (foreign_call(),)),
    "len raises": ("__len__", fail),
    "len is negative": ("__len__", lambda *_: -1),
    "len is none": ("__len__", lambda *_: None),
}


@pytest.mark.parametrize("fault", ORDER_FAULTS)
def test_a_faulty_order_fails_the_calls_in_its_queue_and_the_next_call_gets_a_new_order(
    start: Start, at_rest: AtRest, fault: str
) -> None:
    method, does = ORDER_FAULTS[fault]
    kernel = scheduled(start, order=broken(ByArrival, method, does, Once()))

    with pytest.raises(PluginFault, match="plugin raised"):
        kernel.submit(ask()).result(timeout_s=20)
    assert [kernel.submit(ask()).result(timeout_s=20).text for _ in range(3)] == ["ok"] * 3
    at_rest(kernel)


PLACEMENT_FAULTS: dict[str, Callable[..., Any]] = {
    "raises": fail,
    "exits": leave,
    "answers no pair": lambda *_: "core",
    "chooses an unknown core": lambda self, waiting, cores, now: (waiting[0], FOREIGN_CORE),
    "chooses an unknown call": lambda self, waiting, cores, now: (foreign_call(), cores[0]),
    "chooses nothing of each": lambda *_: (None, None),
}


@pytest.mark.parametrize("fault", PLACEMENT_FAULTS)
def test_a_faulty_placement_fails_the_calls_it_was_asked_about(
    start: Start, at_rest: AtRest, fault: str
) -> None:
    placement = broken(First, "select", PLACEMENT_FAULTS[fault], Once())()
    kernel = scheduled(start, placement=placement)

    with pytest.raises(PluginFault, match="plugin raised"):
        kernel.submit(ask()).result(timeout_s=20)
    assert [kernel.submit(ask()).result(timeout_s=20).text for _ in range(3)] == ["ok"] * 3
    at_rest(kernel)


@pytest.mark.parametrize("method", ["check", "acquire"])
@pytest.mark.parametrize("does", [fail, leave], ids=["raises", "exits"])
def test_a_faulty_admission_fails_the_call_it_was_asked_about(
    start: Start, at_rest: AtRest, method: str, does: Callable[..., Any]
) -> None:
    kernel = scheduled(start, admission=broken(Open, method, does, Once())())

    with pytest.raises(PluginFault, match="scheduling plugin raised"):
        kernel.submit(ask()).result(timeout_s=20)
    assert [kernel.submit(ask()).result(timeout_s=20).text for _ in range(3)] == ["ok"] * 3
    at_rest(kernel)


@pytest.mark.parametrize("nonsense", ["soon", object(), -1.0, float("nan"), 0.0], ids=str)
def test_an_admission_that_answers_nonsense_breaks_nothing(
    start: Start, at_rest: AtRest, nonsense: object
) -> None:
    kernel = scheduled(start, admission=broken(Open, "check", lambda *_: nonsense, Once())())
    first = kernel.submit(ask())
    second = kernel.submit(ask())
    outcomes = []
    for ticket in (first, second):
        try:
            outcomes.append(ticket.result(timeout_s=20).text)
        except PluginFault:
            outcomes.append("fault")

    assert outcomes == ["ok"] * 2 or (
        set(outcomes) <= {"fault", "ok"} and not isinstance(nonsense, float)
    )
    at_rest(kernel)


@pytest.mark.parametrize("does", [fail, leave], ids=["raises", "exits"])
def test_what_release_and_finished_raise_is_logged_and_the_answer_stands(
    start: Start, at_rest: AtRest, caplog: pytest.LogCaptureFixture, does: Callable[..., Any]
) -> None:
    def always() -> bool:
        return True

    kernel = scheduled(
        start,
        order=broken(ByArrival, "finished", does, always),
        placement=broken(First, "finished", does, always)(),
        admission=broken(Open, "release", does, always)(),
    )
    with caplog.at_level(logging.ERROR):
        assert [kernel.submit(ask()).result(timeout_s=20).text for _ in range(3)] == ["ok"] * 3
        at_rest(kernel)
    assert caplog.text.count("the outcome stands") == 9


@pytest.mark.parametrize("role", ["order", "placement", "admission"])
def test_what_program_closed_raises_keeps_no_other_plugin_from_hearing_it(
    start: Start, caplog: pytest.LogCaptureFixture, role: str
) -> None:
    heard: list[str] = []

    def hears(base: type[Any], name: str) -> type[Any]:
        def program_closed(self: Any, program: str) -> None:
            heard.append(name)
            if name == role:
                raise ZeroDivisionError

        return type(name, (base,), {"program_closed": program_closed})

    kernel = scheduled(
        start,
        order=hears(ByArrival, "order"),
        placement=hears(First, "placement")(),
        admission=hears(Open, "admission")(),
    )
    assert kernel.submit(ask()).result(timeout_s=20).text == "ok"
    with caplog.at_level(logging.ERROR):
        kernel.close_program(kernel.open_program("p").id)
        assert kernel.submit(ask()).result(timeout_s=20).text == "ok"
    assert sorted(heard) == ["admission", "order", "placement"]


def test_an_order_that_raises_when_a_call_is_cancelled_fails_its_queue_and_the_call_is_cancelled(
    start: Start, at_rest: AtRest
) -> None:
    kernel = scheduled(start, order=broken(ByArrival, "remove", fail, Once()))
    kernel.add_core("hung", FakeCore(Fault.HANG, slots=1, shared=False))
    hog, cancelled, other = (kernel.submit(ask(core="hung")) for _ in range(3))
    while hog.phase != "running":
        time.sleep(0.001)
    cancelled.cancel()

    with pytest.raises(SyscallCancelled):
        cancelled.result(timeout_s=20)
    with pytest.raises(PluginFault):
        other.result(timeout_s=20)
    hog.cancel()
    at_rest(kernel)


def test_a_placement_that_returns_copies_of_its_views_is_served_and_refusals_end(
    start: Start, at_rest: AtRest
) -> None:
    class Copies(First):
        def select(
            self, waiting: Sequence[WaitingCall], cores: Sequence[CoreView], now: float
        ) -> tuple[WaitingCall, CoreView] | None:
            view = cores[0]
            return waiting[0], CoreView(view.name, view.slots, view.in_flight)

    refusals = iter([WAIT_FOR_RELEASE])

    class RefusesOnce(Open):
        def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
            return next(refusals, None)

    kernel = scheduled(start, placement=Copies(), admission=RefusesOnce())
    tickets = [kernel.submit(ask()) for _ in range(3)]
    assert [ticket.result(timeout_s=20).text for ticket in tickets] == ["ok"] * 3
    at_rest(kernel)


def test_a_release_on_one_core_wakes_calls_for_another_that_an_admission_holds(
    start: Start, at_rest: AtRest
) -> None:
    class OneAtATime(Open):
        running = 0

        def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
            return WAIT_FOR_RELEASE if self.running else None

        def acquire(self, call: LLMCall, core: CoreView, now: float) -> None:
            self.running += 1

        def release(
            self, call: LLMCall, core: str, usage: Usage, error: Exception | None, now: float
        ) -> None:
            self.running -= 1

    kernel = scheduled(start, admission=OneAtATime())
    gate = asyncio.Event()

    class Gated(FakeCore):
        async def execute(self, call: LLMCall, emit: Any) -> LLMResponse:
            await gate.wait()
            return LLMResponse(text="gated")

    kernel.add_core("gated", Gated(shared=False))
    first, second = kernel.submit(ask(core="gated")), kernel.submit(ask(core="core"))
    while first.phase != "running":
        time.sleep(0.001)
    kernel._thread.post(lambda _: gate.set(), None)

    assert second.result(timeout_s=20).text == "ok"
    assert first.result(timeout_s=20).text == "gated"
    at_rest(kernel)


def test_closing_a_program_wakes_calls_that_an_admission_holds_for_it(
    start: Start, at_rest: AtRest
) -> None:
    class UntilClosed(Open):
        closed = False

        def check(self, call: LLMCall, core: CoreView, now: float) -> float | None:
            return None if self.closed else WAIT_FOR_RELEASE

        def program_closed(self, program: str) -> None:
            self.closed = True

    kernel = scheduled(start, admission=UntilClosed())
    program = kernel.open_program("p")
    ticket = kernel.submit(ask())
    kernel.close_program(program.id)
    assert ticket.result(timeout_s=20).text == "ok"
    at_rest(kernel)
