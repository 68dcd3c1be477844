"""What a plugin must be before any of its hooks is called."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pluggy

from agentkernel.api import hookspecs
from agentkernel.api.adapter import Adapter
from agentkernel.api.agent import Agent
from agentkernel.api.embedder import Embedder
from agentkernel.api.errors import PluginSignatureError
from agentkernel.api.hookspecs import GROUPS, PROJECT
from agentkernel.api.llm_core import LLMCore
from agentkernel.api.options import NoOptions, Options
from agentkernel.api.scheduling import Admission, Order, Placement
from agentkernel.api.tools import Tool
from agentkernel.api.window import WindowPolicy

__all__ = ["check_hooks", "check_result", "new_manager", "options_of", "takes"]

_RESULTS: dict[str, type] = {
    "llm_core": LLMCore,
    "order": Order,
    "placement": Placement,
    "admission": Admission,
    "adapter": Adapter,
    "window": WindowPolicy,
    "embedder": Embedder,
    "agent": Agent,
}
_AWAITED = frozenset({"syscall_execute"})
"""Hooks whose result the kernel awaits; nowhere else would a coroutine ever run."""


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hook specifications and no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def check_hooks(plugin: object, kind: str, name: str) -> None:
    """Check every hook of ``plugin`` against the specifications.

    It is registered in a manager of its own, so that one that fails leaves no trace in the kernel's.

    Raises:
        PluginSignatureError: an unknown hook, arguments that no specification has or that would never
            be passed, or the hook that ``kind`` requires is missing.
    """
    if plugin is None or inspect.isclass(plugin):
        raise PluginSignatureError(
            kind, name, f"it is {plugin!r}; a plugin is a module, or an instance of a class"
        )
    manager = new_manager()
    known = _hooks(manager)
    try:
        hash(plugin)
        manager.register(plugin, f"{kind}:{name}")
    except (pluggy.PluginValidationError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise PluginSignatureError(kind, name, reason) from error
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            _check_implementation(caller, implementation, known, kind, name)
    _check_required(manager, kind, name)


def options_of(plugin: object, kind: str, name: str) -> type[Options]:
    """The class that annotates the ``options`` parameter of the plugin's create hook.

    Raises:
        PluginSignatureError: the annotation is missing, cannot be resolved, or is no options class.
    """
    hook = GROUPS[kind]
    function = _create_function(plugin, hook) if hook else None
    if function is None or "options" not in inspect.signature(function).parameters:
        return NoOptions
    where = f"the parameter 'options' of {hook}()"
    try:
        found = _annotation(function, "options")
        if isinstance(found, type) and issubclass(found, Options):
            msgspec.structs.fields(found)
            return found
    except (NameError, TypeError, SyntaxError) as error:
        reason = (
            f"the annotation of {where} cannot be read: {error}. Import what it names at run time"
        )
        raise PluginSignatureError(kind, name, reason) from error
    shown = "nothing" if found is None else getattr(found, "__qualname__", repr(found))
    raise PluginSignatureError(
        kind,
        name,
        f"expected {where} to be annotated with a subclass of agentkernel.api.Options (or NoOptions), "
        f"found {shown}",
    )


def takes(plugin: object, kind: str, argument: str) -> bool:
    """Whether the plugin's create hook has this parameter."""
    hook = GROUPS[kind]
    function = _create_function(plugin, hook) if hook else None
    return function is not None and argument in inspect.signature(function).parameters


def check_result(results: object, kind: str, name: str) -> object:
    """The one object that the create hook of a plugin returned; for tools, a tuple of them.

    Raises:
        PluginSignatureError: it returned nothing, several things or something else.
    """
    hook, expected = GROUPS[kind], _RESULTS.get(kind)
    wanted = (
        f"an instance of agentkernel.api.{expected.__name__}" if expected else "a sequence of Tool"
    )
    found = results if isinstance(results, list) else [results]
    if len(found) == 1 and expected is not None and isinstance(found[0], expected):
        return found[0]
    if len(found) == 1 and expected is None and _are_tools(found[0]):
        return tuple(found[0])
    shown = ", ".join(_kind_of_value(value) for value in found) or "None"
    raise PluginSignatureError(kind, name, f"{hook}() must return {wanted}, it returned {shown}")


def _are_tools(value: object) -> typing.TypeGuard[Sequence[Tool]]:
    return isinstance(value, Sequence) and all(isinstance(tool, Tool) for tool in value)


def _kind_of_value(value: object) -> str:
    if inspect.isclass(value):
        return f"the class {value.__qualname__} (call it)"
    return f"{type(value).__qualname__} {value!r}"[:80]


def _hooks(manager: pluggy.PluginManager) -> list[str]:
    return sorted(name for name in vars(manager.hook) if not name.startswith("_"))


def _check_implementation(
    caller: pluggy.HookCaller,
    implementation: pluggy.HookImpl,
    known: Sequence[str],
    kind: str,
    name: str,
) -> None:
    if caller.spec is None:
        if not implementation.optionalhook:
            near = difflib.get_close_matches(caller.name, known, n=1)
            cure = f"Did you mean {near[0]!r}?" if near else f"The hooks are {', '.join(known)}"
            raise PluginSignatureError(kind, name, f"there is no hook {caller.name!r}. {cure}")
        return
    function = implementation.function
    for parameter in inspect.signature(function).parameters.values():
        problem = _never_passed(parameter, caller.spec.argnames)
        if problem:
            raise PluginSignatureError(kind, name, f"{caller.name}(): {problem}")
    if inspect.iscoroutinefunction(function) and caller.name not in _AWAITED:
        raise PluginSignatureError(
            kind, name, f"{caller.name}() is async, but nobody awaits it. Make it a plain function"
        )


def _never_passed(parameter: inspect.Parameter, specified: Sequence[str]) -> str | None:
    """Why pluggy, which passes by position what has no default, would call the hook without this."""
    if parameter.kind is parameter.KEYWORD_ONLY and (
        parameter.default is parameter.empty or parameter.name in specified
    ):
        return f"the parameter {parameter.name!r} is keyword-only and would never be passed. Remove the '*'"
    if parameter.name in specified and parameter.default is not parameter.empty:
        return f"the parameter {parameter.name!r} has a default and would never be passed. Remove the default"
    return None


def _check_required(manager: pluggy.PluginManager, kind: str, name: str) -> None:
    hook = GROUPS.get(kind)
    if hook is None:
        if not any(getattr(manager.hook, known).get_hookimpls() for known in _hooks(manager)):
            raise PluginSignatureError(
                kind, name, "it has no hook. Mark its functions with @hookimpl"
            )
    elif not getattr(manager.hook, hook).get_hookimpls():
        raise PluginSignatureError(
            kind,
            name,
            f"it lacks {hook}(), the hook that makes its {kind}. Is it marked with @hookimpl?",
        )


def _create_function(plugin: object, hook: str) -> Callable[..., object] | None:
    manager = new_manager()
    manager.register(plugin)
    implementations = getattr(manager.hook, hook).get_hookimpls()
    plain = [i for i in implementations if not (i.wrapper or i.hookwrapper)]
    return plain[0].function if plain else None


def _annotation(function: Callable[..., object], parameter: str) -> Any:
    """The evaluated annotation of one parameter. The others may name what only type checkers import."""
    function = inspect.unwrap(function)

    def alone() -> None: ...

    annotations = getattr(function, "__annotations__", {})
    if parameter not in annotations:
        return None
    alone.__annotations__ = {parameter: annotations[parameter]}
    return typing.get_type_hints(alone, globalns=getattr(function, "__globals__", {}))[parameter]
