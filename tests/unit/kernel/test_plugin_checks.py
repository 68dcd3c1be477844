"""What the registry checks of a plugin's hooks, options and results, with plugins of this process."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest

from agentkernel.api import (
    AgentKernelError,
    NoOptions,
    Options,
    Order,
    PluginFault,
    PluginRejected,
    PluginSignatureError,
    SettingsError,
    Tool,
    hookimpl,
)
from agentkernel.kernel.registry import PluginRegistry


def module(**functions: object) -> types.ModuleType:
    made = types.ModuleType("made")
    for name, function in functions.items():
        setattr(made, name, function)
    return made


# --- signatures


@hookimpl
def create_order() -> Order:
    raise NotImplementedError


@hookimpl
def wrong_argument(optoins: NoOptions) -> Order:
    raise NotImplementedError


@hookimpl
def keyword_only(*, options: NoOptions) -> Order:
    raise NotImplementedError


@hookimpl
def with_default(options: NoOptions = NoOptions()) -> Order:  # noqa: B008
    raise NotImplementedError


@hookimpl
async def awaited_by_nobody(options: NoOptions) -> Order:
    raise NotImplementedError


@hookimpl
def create_ordr(options: NoOptions) -> Order:
    raise NotImplementedError


@hookimpl(wrapper=True)
def no_generator() -> None: ...


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (module(create_order=wrong_argument), "'optoins'"),
        (module(create_order=keyword_only), "'options' is keyword-only"),
        (module(create_order=with_default), "'options' has a default"),
        (module(create_order=awaited_by_nobody), r"create_order\(\) is async"),
        (module(create_order=create_order, create_ordr=create_ordr), "Did you mean 'create_order'"),
        (
            module(create_order=create_order, zzz=create_ordr),
            "no hook 'zzz'. The hooks are create_",
        ),
        (module(create_order=create_order, kernel_started=no_generator), "generator"),
        (module(create_order=lambda options: None), r"lacks create_order\(\).*@hookimpl"),
        (module(), r"lacks create_order\(\)"),
        (None, "a plugin is a module"),
        (type("Plugin", (), {"create_order": create_order}), "a plugin is a module"),
    ],
)
def test_plugin_whose_hooks_do_not_fit_is_refused_and_leaves_no_trace(
    plugin: object, reason: str
) -> None:
    registry = PluginRegistry(extra={("order", "x"): plugin})
    with pytest.raises(PluginSignatureError, match=reason):
        registry.load("order", "x")
    assert [info.status for info in registry.plugins() if info.name == "x"] == ["rejected"]
    assert not registry.implements("create_order")
    assert not registry.implements("kernel_started")
    assert not hasattr(registry.hook, "create_ordr")


def test_unknown_hook_that_is_marked_optional_is_accepted() -> None:
    @hookimpl(optionalhook=True)
    def hook_of_a_newer_kernel() -> None: ...

    plugin = module(create_order=create_order, hook_of_a_newer_kernel=hook_of_a_newer_kernel)
    assert PluginRegistry(extra={("order", "x"): plugin}).load("order", "x") is plugin


def test_hooks_plugin_needs_at_least_one_hook() -> None:
    registry = PluginRegistry(extra={("hooks", "x"): module(kernel_started=lambda: None)})
    with pytest.raises(PluginSignatureError, match="it has no hook"):
        registry.load("hooks", "x")


def test_async_syscall_execute_is_accepted() -> None:
    @hookimpl
    async def syscall_execute(call: object, syscall_id: int) -> None: ...

    registry = PluginRegistry(extra={("hooks", "x"): module(syscall_execute=syscall_execute)})
    registry.load("hooks", "x")
    assert registry.implements("syscall_execute")


# --- options


class Size(Options, frozen=True):
    size: int = 3


class Needed(Options, frozen=True):
    size: int


def order_with(annotation: object, **more: object) -> PluginRegistry:
    @hookimpl
    def create_order(options: Any) -> Any:
        return options

    create_order.__annotations__ = {"options": annotation, **more}
    return PluginRegistry(extra={("order", "x"): module(create_order=create_order)})


@pytest.mark.parametrize("annotation", [Size, "Size"])
def test_options_type_is_what_annotates_the_parameter(annotation: object) -> None:
    assert order_with(annotation).options_type("order", "x") is Size


def test_options_type_does_not_need_the_other_annotations() -> None:
    assert (
        order_with("Size", **{"return": "OnlyForTypeCheckers"}).options_type("order", "x") is Size
    )


@pytest.mark.parametrize("plugin", [module(create_order=create_order)])
def test_plugin_without_options_parameter_takes_no_options(plugin: object) -> None:
    assert PluginRegistry(extra={("order", "x"): plugin}).options_type("order", "x") is NoOptions


def test_hooks_plugin_takes_no_options() -> None:
    @hookimpl
    def kernel_started() -> None: ...

    registry = PluginRegistry(extra={("hooks", "x"): module(kernel_started=kernel_started)})
    assert registry.options_type("hooks", "x") is NoOptions


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [(int, "found int"), (dict[str, int], "found dict"), ("Sizze", "'Sizze' is not defined")],
)
def test_annotation_that_is_no_options_class_is_refused(annotation: object, reason: str) -> None:
    with pytest.raises(PluginSignatureError, match=reason):
        order_with(annotation).options_type("order", "x")


def test_parameter_without_annotation_is_refused() -> None:
    @hookimpl
    def create_order(options):  # type: ignore[no-untyped-def]
        return None

    registry = PluginRegistry(extra={("order", "x"): module(create_order=create_order)})
    with pytest.raises(PluginSignatureError, match="found nothing"):
        registry.options_type("order", "x")


# --- creating


class AnyOrder(Order):
    def __init__(self, label: str) -> None:
        self.label = label

    def push(self, waiting: object, now: float) -> None: ...
    def pop(self, now: float) -> Any: ...
    def peek(self, now: float, count: int = 1) -> Any: ...
    def remove(self, waiting: object) -> bool:
        return False

    def __len__(self) -> int:
        return 0


def order_that(function: Callable[[], object]) -> types.ModuleType:
    @hookimpl
    def create_order() -> Any:
        return function()

    return module(create_order=create_order)


def test_create_calls_the_hook_of_that_plugin_alone() -> None:
    called: list[str] = []

    def maker(label: str) -> types.ModuleType:
        def make() -> Order:
            called.append(label)
            return AnyOrder(label)

        return order_that(make)

    registry = PluginRegistry(extra={("order", label): maker(label) for label in "abc"})
    for label in "abc":
        registry.load("order", label)
    made = registry.create("order", "b", NoOptions())
    assert isinstance(made, AnyOrder)
    assert (made.label, called) == ("b", ["b"])


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (None, "returned None"),
        ("text", "returned str 'text'"),
        (AnyOrder, "the class AnyOrder"),
        ([AnyOrder("a")], "returned list"),
    ],
)
def test_create_hook_that_returns_something_else_is_a_signature_error(
    result: object, shown: str
) -> None:
    registry = PluginRegistry(extra={("order", "x"): order_that(lambda: result)})
    with pytest.raises(
        PluginSignatureError, match=f"an instance of agentkernel.api.Order, .*{shown}"
    ):
        registry.create("order", "x", NoOptions())


def test_error_of_a_create_hook_becomes_a_plugin_fault() -> None:
    registry = PluginRegistry(extra={("order", "x"): order_that(lambda: 1 / 0)})
    with pytest.raises(PluginFault, match=r"'x' raised ZeroDivisionError .*create_order") as caught:
        registry.create("order", "x", NoOptions())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_kernel_error_of_a_create_hook_passes_unchanged() -> None:
    class MyError(AgentKernelError):
        pass

    def fail() -> None:
        raise MyError

    registry = PluginRegistry(extra={("order", "x"): order_that(fail)})
    with pytest.raises(MyError):
        registry.create("order", "x", NoOptions())


def test_create_passes_options_and_the_further_arguments() -> None:
    seen: list[object] = []

    @hookimpl
    def create_llm_core(name: str, options: Size) -> Any:
        seen.extend([name, options])

    registry = PluginRegistry(extra={("llm_core", "x"): module(create_llm_core=create_llm_core)})
    with pytest.raises(PluginSignatureError, match="LLMCore"):
        registry.create("llm_core", "x", Size(size=5), name="main")
    assert seen == ["main", Size(size=5)]


def test_create_without_options_takes_their_defaults() -> None:
    seen: list[Options] = []

    @hookimpl
    def create_order(options: Size) -> Any:
        seen.append(options)
        return AnyOrder("")

    registry = PluginRegistry(extra={("order", "x"): module(create_order=create_order)})
    registry.create("order", "x", None)
    assert seen == [Size()]
    with pytest.raises(SettingsError, match=r"order\.x\.size"):
        order_with(Needed).create("order", "x", None)


def test_tools_are_a_tuple_of_tools_of_that_plugin() -> None:
    def tools_that(result: object) -> types.ModuleType:
        @hookimpl
        def register_tools(options: NoOptions) -> Any:
            return result

        return module(register_tools=register_tools)

    tool = Tool(name="t", function=print)
    results = {"list": [tool], "none": None, "empty": [], "other": [tool, "t"], "one": tool}
    registry = PluginRegistry(extra={("tool", k): tools_that(v) for k, v in results.items()})
    assert registry.create("tool", "list", NoOptions()) == (tool,)
    assert registry.create("tool", "empty", NoOptions()) == ()
    for name in ("none", "other", "one"):
        with pytest.raises(PluginSignatureError, match="a sequence of Tool"):
            registry.create("tool", name, NoOptions())


def test_hooks_plugin_creates_nothing() -> None:
    @hookimpl
    def kernel_started() -> None: ...

    registry = PluginRegistry(extra={("hooks", "x"): module(kernel_started=kernel_started)})
    with pytest.raises(PluginSignatureError, match="create nothing"):
        registry.create("hooks", "x", None)


# --- objects that are registered at run time


class Listener:
    def __init__(self) -> None:
        self.heard: list[int] = []

    @hookimpl
    def syscall_submitted(self, syscall_id: int) -> None:
        self.heard.append(syscall_id)


def test_registered_object_is_called_until_it_is_unregistered() -> None:
    registry, listener = PluginRegistry(), Listener()
    assert not registry.implements("syscall_submitted")
    registry.register(listener, "listener")
    assert registry.implements("syscall_submitted")
    registry.hook.syscall_submitted(call=None, syscall_id=1)
    registry.unregister("listener")
    registry.unregister("listener")
    registry.hook.syscall_submitted(call=None, syscall_id=2)
    assert listener.heard == [1]
    assert not registry.implements("syscall_submitted")


def test_name_and_object_can_be_registered_once() -> None:
    registry, listener = PluginRegistry(), Listener()
    registry.register(listener, "a")
    for plugin, name in ((Listener(), "a"), (listener, "b")):
        with pytest.raises(PluginRejected, match="registered already"):
            registry.register(plugin, name)


def test_registered_object_is_validated() -> None:
    class Deaf:
        @hookimpl
        def syscall_submited(self) -> None: ...

    registry = PluginRegistry()
    with pytest.raises(PluginSignatureError, match="Did you mean 'syscall_submitted'"):
        registry.register(Deaf(), "deaf")
    with pytest.raises(PluginSignatureError, match="unhashable"):
        registry.register(type("Unhashable", (Listener,), {"__hash__": None})(), "x")


def test_unregistering_a_loaded_plugin_does_nothing() -> None:
    registry = PluginRegistry(extra={("order", "x"): module(create_order=create_order)})
    registry.load("order", "x")
    registry.unregister("order:x")
    assert registry.implements("create_order")


def test_asking_for_a_hook_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(AttributeError):
        PluginRegistry().implements("kernel_startd")
