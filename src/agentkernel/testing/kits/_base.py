"""What every kit shares: creating the plugin's object the way the kernel does, and facts about options and hooks."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec
import pluggy
import pytest

from agentkernel.api import GROUPS, Options, hookspecs
from agentkernel.testing.fakes import FakeEmbedder

__all__ = ["Kit", "needs"]

_Test = TypeVar("_Test", bound=Callable[..., None])


def needs(capability: str) -> Callable[[_Test], _Test]:
    """The test exists only in kits whose attribute ``capability`` is neither None nor False."""

    def mark(test: _Test) -> _Test:
        test.__dict__["needs"] = capability
        return test

    return mark


class Kit:
    """Base of the kits: inherit one, name the plugin, and pytest collects every fact of its contract.

    Attributes:
        plugin: the module (or object) with the ``@hookimpl`` functions.
        options: the options that the create hook gets, as a user would write them in ``agentkernel.toml``.
    """

    kind: ClassVar[str]
    plugin: ClassVar[object]
    options: ClassVar[Mapping[str, object]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in cls.__mro__[1:]:
            for name, test in vars(base).items():
                capability = getattr(test, "needs", None)
                if capability is not None:
                    declared = getattr(cls, capability) not in (None, False)
                    setattr(cls, name, test if declared else None)

    @classmethod
    def manager(cls) -> pluggy.PluginManager:
        """A plugin manager that knows the hook specifications and only this plugin."""
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(cls.plugin)
        return manager

    @classmethod
    def create(cls, options: Mapping[str, object] | None = None, **arguments: object) -> Any:
        """Call the create hook of the kind with validated options and return the plugin's object."""
        caller = getattr(cls.manager().hook, str(GROUPS[cls.kind]))
        given = cls.options if options is None else options
        if "options" in caller.spec.argnames:
            arguments["options"] = msgspec.convert(dict(given), cls._options_class())
        if "embedder" in caller.spec.argnames:
            arguments.setdefault("embedder", FakeEmbedder())
        (made,) = caller(**arguments)
        return made

    @classmethod
    def _options_class(cls) -> type[Options]:
        function = cls._create_hook()
        if "options" not in inspect.signature(function).parameters:
            return Options
        found = typing.get_type_hints(function).get("options")
        assert isinstance(found, type) and issubclass(found, Options), (
            f"{function.__name__}: annotate the parameter `options` with a subclass of "
            f"agentkernel.api.Options, found {found!r}"
        )
        return found

    @classmethod
    def _create_hook(cls) -> Callable[..., object]:
        hook = str(GROUPS[cls.kind])
        implementations = getattr(cls.manager().hook, hook).get_hookimpls()
        found: list[Callable[..., object]] = [one.function for one in implementations]
        assert len(found) == 1, (
            f"a plugin of kind {cls.kind!r} implements {hook} once, found {len(found)}"
        )
        return found[0]

    def test_hooks_match_the_specifications(self) -> None:
        manager = self.manager()
        manager.check_pending()
        assert manager.get_hookcallers(self.plugin), (
            "the plugin has no function marked with @hookimpl"
        )


class CreatedKit(Kit):
    """Facts of the kinds that have a create hook."""

    def test_the_create_hook_of_the_kind_is_implemented_and_is_no_coroutine(self) -> None:
        assert not inspect.iscoroutinefunction(self._create_hook()), "create hooks are not awaited"

    def test_unknown_option_is_refused(self) -> None:
        if "options" in getattr(self.manager().hook, str(GROUPS[self.kind])).spec.argnames:
            options = {**self.options, "no_such_option_": 1}
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(options, self._options_class())
