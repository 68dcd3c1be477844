"""Patches: what they keep of the original, and that taking them off leaves no trace."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
import wrapt

from agentkernel.api import PatchConflict, Seam
from agentkernel.sdk.patching import PatchSet, remove_together

PATIENCE_S = 30.0

LIBRARY = """
    import functools

    class Base:
        def method(self, x: int = 1, *, y: str = "y") -> tuple:
            "The method's own words."
            return x, y

        @staticmethod
        def static(x=1):
            return x

        @classmethod
        def of_class(cls, x=1):
            return cls.__name__, x

        async def later(self, x=1):
            return x

        @classmethod
        async def later_of_class(cls):
            return cls.__name__

        @property
        def attribute(self):
            return 1

        bound_later = functools.partialmethod(method, 5)

    class Child(Base):
        def own(self):
            return "own"

        class Inner:
            def deep(self):
                return "deep"

    class Slotted(Base):
        __slots__ = ("slot",)

        def method(self, x=1):
            return "slotted", x

    def function(x, *, y=2):
        return x, y

    async def coroutine_function():
        return "late"

    class Meta(type):
        def only_of_the_metaclass(cls):
            return cls.__name__

    class WithMeta(metaclass=Meta):
        pass

    class Sealed(type):
        def __setattr__(cls, name, value):
            raise TypeError(f"{cls.__name__} is sealed")

    class Frozen(metaclass=Sealed):
        def method(self):
            return "frozen"

    class Callbacks:
        def __init__(self):
            self.completions = function

    instance = Callbacks()
    slotted = Slotted()
"""

PATCHABLE = [
    "Base.method",
    "Base.static",
    "Base.of_class",
    "Base.later",
    "Base.later_of_class",
    "Child.own",
    "Child.Inner.deep",
    "Child.method",
    "Child.static",
    "Child.of_class",
    "Child.later",
    "Slotted.method",
    "Slotted.later",
    "function",
    "coroutine_function",
    "instance.completions",
]


@pytest.fixture
def lib(loaded: Callable[[str, str], types.ModuleType]) -> types.ModuleType:
    return loaded("library_to_patch", LIBRARY)


@pytest.fixture
def patches() -> Iterator[PatchSet]:
    patches = PatchSet()
    yield patches
    patches.remove()


def louder(original: Callable[..., Any]) -> Callable[..., Any]:
    """Calls the original and says so."""

    def replacement(*args: Any, **kwargs: Any) -> Any:
        return "patched", original(*args, **kwargs)

    async def async_replacement(*args: Any, **kwargs: Any) -> Any:
        return "patched", await original(*args, **kwargs)

    return async_replacement if inspect.iscoroutinefunction(original) else replacement


def seam(attribute: str, module: str = "library_to_patch", replace: Any = louder) -> Seam:
    return Seam(module=module, attribute=attribute, kind="llm", replace=replace)


def owner_of(module: types.ModuleType, attribute: str) -> Any:
    return functools.reduce(getattr, attribute.split(".")[:-1], module)


def snapshot(module: types.ModuleType) -> list[tuple[str, list[tuple[str, int]]]]:
    """Every attribute of the module and its classes, by identity and in order."""
    owners = [
        module,
        module.instance,
        *(value for value in vars(module).values() if isinstance(value, type)),
    ]
    owners.append(module.Child.Inner)
    return [
        (repr(owner), [(name, id(value)) for name, value in vars(owner).items()])
        for owner in owners
    ]


# --- putting back


@pytest.mark.parametrize("attribute", PATCHABLE)
def test_removing_restores_the_object_itself(lib: types.ModuleType, attribute: str) -> None:
    before = snapshot(lib)
    patches = PatchSet()
    patches.add(seam(attribute))
    assert patches.applied == [f"library_to_patch:{attribute}"]
    assert snapshot(lib) != before
    patches.remove()
    assert snapshot(lib) == before


@pytest.mark.parametrize("attribute", PATCHABLE)
def test_patched_attribute_is_looked_up_as_before_and_runs_the_replacement(
    lib: types.ModuleType, patches: PatchSet, attribute: str
) -> None:
    def call() -> Any:
        owner = owner_of(lib, attribute)
        target = getattr(
            owner() if isinstance(owner, type) else owner, attribute.rsplit(".", maxsplit=1)[-1]
        )
        result = target(3) if attribute in ("function", "instance.completions") else target()
        if not inspect.iscoroutine(result):
            return result
        with pytest.raises(StopIteration) as end:
            result.send(None)
        return end.value.value

    before = call()
    patches.add(seam(attribute))
    assert call() == ("patched", before)


def test_all_attributes_of_a_module_at_once_are_restored(lib: types.ModuleType) -> None:
    before = snapshot(lib)
    patches = PatchSet()
    for attribute in PATCHABLE:
        patches.add(seam(attribute))
    assert (len(patches.applied), patches.failed) == (len(PATCHABLE), [])
    patches.remove()
    assert snapshot(lib) == before


def test_inherited_attribute_is_patched_in_the_subclass_only_and_deleted_again(
    lib: types.ModuleType, patches: PatchSet
) -> None:
    patches.add(seam("Child.method"))
    assert lib.Child().method()[0] == "patched"
    assert lib.Base().method() == (1, "y")
    patches.remove()
    assert "method" not in vars(lib.Child)
    assert lib.Child.method is lib.Base.method


def test_base_and_subclass_can_both_be_patched(lib: types.ModuleType) -> None:
    before = snapshot(lib)
    patches = PatchSet()
    patches.add(seam("Base.method"))
    patches.add(seam("Child.method"))
    assert lib.Child().method() == ("patched", ("patched", (1, "y")))
    patches.remove()
    assert snapshot(lib) == before


def test_removing_twice_does_nothing_the_second_time(lib: types.ModuleType) -> None:
    patches = PatchSet()
    patches.add(seam("function"))
    patches.remove()
    lib.function = mock.sentinel.of_somebody_else
    patches.remove()
    assert lib.function is mock.sentinel.of_somebody_else


def test_attribute_can_be_patched_again_after_removal(lib: types.ModuleType) -> None:
    before = snapshot(lib)
    for _ in range(3):
        patches = PatchSet()
        patches.add(seam("Base.static"))
        assert lib.Base.static() == ("patched", 1)
        patches.remove()
        assert snapshot(lib) == before


# --- what the replacement keeps


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("Base.static", staticmethod),
        ("Child.static", staticmethod),
        ("Base.of_class", classmethod),
        ("Child.of_class", classmethod),
        ("Base.method", types.FunctionType),
        ("function", types.FunctionType),
    ],
)
def test_replacement_is_of_the_kind_of_the_original(
    lib: types.ModuleType, patches: PatchSet, attribute: str, kind: type
) -> None:
    patches.add(seam(attribute))
    assert type(vars(owner_of(lib, attribute))[attribute.rsplit(".", maxsplit=1)[-1]]) is kind


def test_class_method_gets_the_class_it_is_called_on(
    lib: types.ModuleType, patches: PatchSet
) -> None:
    patches.add(seam("Base.of_class"))
    assert lib.Child.of_class(2) == ("patched", ("Child", 2))


@pytest.mark.parametrize("attribute", PATCHABLE)
def test_async_stays_async(lib: types.ModuleType, patches: PatchSet, attribute: str) -> None:
    owner, name = owner_of(lib, attribute), attribute.rsplit(".", maxsplit=1)[-1]
    before = inspect.iscoroutinefunction(getattr(owner, name))
    patches.add(seam(attribute))
    assert inspect.iscoroutinefunction(getattr(owner, name)) is before


def test_name_documentation_signature_and_annotations_are_those_of_the_original(
    lib: types.ModuleType, patches: PatchSet
) -> None:
    original = lib.Base.method
    patches.add(seam("Base.method"))
    replacement = lib.Base.method
    assert replacement is not original
    assert replacement.__wrapped__ is original
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        assert getattr(replacement, name) == getattr(original, name)
    assert inspect.signature(replacement) == inspect.signature(original)


def test_original_that_somebody_wrapped_before_is_restored_with_their_wrapper(
    lib: types.ModuleType,
) -> None:
    wrapt.wrap_function_wrapper(
        lib, "Base.method", lambda wrapped, _, args, kwargs: ["theirs", wrapped(*args, **kwargs)]
    )
    theirs = vars(lib.Base)["method"]
    patches = PatchSet()
    patches.add(seam("Base.method"))
    assert lib.Base().method() == ("patched", ["theirs", (1, "y")])
    patches.remove()
    assert vars(lib.Base)["method"] is theirs
    assert lib.Base().method() == ["theirs", (1, "y")]


# --- seams that cannot be patched


def sync_for_all(original: Callable[..., Any]) -> Callable[..., Any]:
    def replacement(*args: Any) -> Any:
        return original(*args)

    return replacement


def broken(original: Callable[..., Any]) -> Callable[..., Any]:
    raise ZeroDivisionError("the adapter divides by zero")


@pytest.mark.parametrize(
    ("attribute", "replace", "why"),
    [
        ("Base.missing", louder, "Base has no attribute 'missing' of its own or of a base class"),
        ("missing", louder, "library_to_patch has no attribute 'missing'"),
        ("Missing.method", louder, "no attribute 'Missing'"),
        ("Base.attribute", louder, "expected a function or method, found property"),
        ("Slotted.slot", louder, "expected a function or method, found member_descriptor"),
        ("Base.bound_later", louder, "expected a function or method, found partialmethod"),
        ("WithMeta.only_of_the_metaclass", louder, "WithMeta has no attribute"),
        ("Frozen.method", louder, "Frozen is sealed"),
        ("instance.__init__", louder, "Callbacks has no attribute '__init__' of its own"),
        ("slotted.slot.method", louder, "slot"),
        ("Base.later", sync_for_all, "async exactly when the original is"),
        ("Base.method", broken, "divides by zero"),
        ("Base.method", lambda original: original, "must return a new function"),
        ("Base.method", lambda original: None, "must return a new function, it returned None"),
    ],
)
def test_seam_that_cannot_be_patched_is_reported_and_changes_nothing(
    lib: types.ModuleType, patches: PatchSet, attribute: str, replace: Any, why: str
) -> None:
    before = snapshot(lib)
    patches.add(seam(attribute, replace=replace))
    (failed,) = patches.failed
    assert failed.startswith(f"library_to_patch:{attribute}: ")
    assert why in failed
    assert (patches.applied, patches.waiting) == ([], [])
    assert snapshot(lib) == before
    assert not hasattr(lib.Base.method, "__wrapped__")


def test_method_of_an_extension_type_is_reported(patches: PatchSet) -> None:
    patches.add(seam("datetime.now", module="datetime"))
    assert "datetime:datetime.now: cannot set" in patches.failed[0]


def test_failed_seam_leaves_the_others_patched(lib: types.ModuleType, patches: PatchSet) -> None:
    for attribute in ("Base.method", "Base.missing", "function"):
        patches.add(seam(attribute))
    assert patches.applied == ["library_to_patch:Base.method", "library_to_patch:function"]
    assert len(patches.failed) == 1


# --- modules that are imported later


def test_seam_is_patched_right_after_its_module_is_imported(site: Any, patches: PatchSet) -> None:
    site.module("late_one.core", "def function():\n    return 1")
    site.module("late_one.user", "from late_one.core import function")
    patches.add(seam("function", "late_one.core"))
    assert (patches.applied, patches.waiting) == ([], ["late_one.core:function"])
    assert "late_one" not in sys.modules
    user = importlib.import_module("late_one.user")
    assert user.function() == ("patched", 1)
    assert (patches.applied, patches.waiting) == (["late_one.core:function"], [])


def test_unwrapping_restores_what_a_later_import_patched(site: Any) -> None:
    site.module("late_two", "class Bot:\n    @staticmethod\n    def ask():\n        return 1")
    originals = []

    def replace(original: Any) -> Any:
        originals.append(original)
        return louder(original)

    patches = PatchSet()
    patches.add(seam("Bot.ask", "late_two", replace))
    module = importlib.import_module("late_two")
    assert module.Bot.ask() == ("patched", 1)
    patches.remove()
    assert module.Bot.ask is originals[0]
    assert type(vars(module.Bot)["ask"]) is staticmethod


def test_module_imported_after_removal_is_not_patched(site: Any) -> None:
    site.module("late_three", "def function():\n    return 1")
    patches = PatchSet()
    patches.add(seam("function", "late_three"))
    patches.remove()
    assert patches.waiting == []
    assert importlib.import_module("late_three").function() == 1
    assert (patches.applied, patches.failed) == ([], [])


def test_only_the_live_set_patches_a_module_that_two_sets_waited_for(
    site: Any, patches: PatchSet
) -> None:
    site.module("late_four", "def function():\n    return 1")
    gone = PatchSet()
    gone.add(seam("function", "late_four"))
    gone.remove()
    patches.add(seam("function", "late_four"))
    assert importlib.import_module("late_four").function() == ("patched", 1)


def test_module_whose_import_fails_is_patched_when_it_succeeds(
    site: Any, patches: PatchSet
) -> None:
    site.module("late_five", "raise ImportError('no key')")
    patches.add(seam("function", "late_five"))
    with pytest.raises(ImportError, match="no key"):
        importlib.import_module("late_five")
    assert (patches.waiting, patches.failed) == (["late_five:function"], [])
    site.module("late_five", "def function():\n    return 'works now, and is longer'")
    assert importlib.import_module("late_five").function()[0] == "patched"


@pytest.mark.parametrize("replace", [louder, broken])
def test_failed_seam_does_not_break_the_import_of_its_module(
    site: Any, patches: PatchSet, replace: Any
) -> None:
    attribute = "missing" if replace is louder else "function"
    site.module("late_six", "def function():\n    return 1")
    patches.add(seam(attribute, "late_six", replace))
    assert importlib.import_module("late_six").function() == 1
    assert len(patches.failed) == 1
    assert patches.waiting == []


def test_module_that_is_blocked_in_sys_modules_counts_as_not_imported(
    patches: PatchSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "blocked_one", None)
    patches.add(seam("function", "blocked_one"))
    assert (patches.waiting, patches.failed) == (["blocked_one:function"], [])


# --- somebody else's patches


def by_setattr(lib: types.ModuleType) -> Callable[[], None]:
    ours = lib.Base.method
    lib.Base.method = lambda self: "theirs"
    return lambda: setattr(lib.Base, "method", ours)


def by_wrapt(lib: types.ModuleType) -> Callable[[], None]:
    wrapt.wrap_function_wrapper(
        lib, "Base.method", lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs)
    )
    theirs = vars(lib.Base)["method"]
    return lambda: setattr(lib.Base, "method", theirs.__wrapped__)


def by_mock(lib: types.ModuleType) -> Callable[[], None]:
    theirs = mock.patch.object(lib.Base, "method")
    theirs.start()
    return theirs.stop


def by_deleting(lib: types.ModuleType) -> Callable[[], None]:
    ours = lib.Base.method
    del lib.Base.method
    return lambda: setattr(lib.Base, "method", ours)


SOMEBODY = pytest.mark.parametrize("patch_on_top", [by_setattr, by_wrapt, by_mock, by_deleting])


@SOMEBODY
def test_patch_that_somebody_patched_over_is_not_removed_and_nothing_changes(
    lib: types.ModuleType, patch_on_top: Callable[[types.ModuleType], Callable[[], None]]
) -> None:
    before = snapshot(lib)
    patches = PatchSet()
    for attribute in ("function", "Base.method", "Child.own"):
        patches.add(seam(attribute))
    take_off = patch_on_top(lib)
    with_theirs = snapshot(lib)
    with pytest.raises(
        PatchConflict, match=r"somebody else patched on top of library_to_patch:Base\.method"
    ) as error:
        patches.remove()
    assert error.value.attributes == ("library_to_patch:Base.method",)
    assert snapshot(lib) == with_theirs
    assert len(patches.applied) == 3
    take_off()
    patches.remove()
    assert [entry for entry in snapshot(lib) if "Base" not in entry[0]] == [
        e for e in before if "Base" not in e[0]
    ]
    assert dict(snapshot(lib)[2][1]) == dict(before[2][1])


@SOMEBODY
@pytest.mark.parametrize("conflicting", [0, 1])
def test_conflict_in_one_set_leaves_every_set_as_it_was(
    lib: types.ModuleType,
    patch_on_top: Callable[[types.ModuleType], Callable[[], None]],
    conflicting: int,
) -> None:
    sets = [PatchSet(), PatchSet()]
    sets[conflicting].add(seam("Base.method"))
    sets[1 - conflicting].add(seam("function"))
    take_off = patch_on_top(lib)
    with_theirs = snapshot(lib)
    with pytest.raises(PatchConflict):
        remove_together(sets)
    assert snapshot(lib) == with_theirs
    take_off()
    remove_together(sets)
    assert lib.function(1) == (1, 2)


def test_two_sets_on_one_attribute_are_removed_latest_first(lib: types.ModuleType) -> None:
    before = snapshot(lib)
    sets = [PatchSet(), PatchSet(), PatchSet()]
    for patches in sets:
        patches.add(seam("Base.method"))
        patches.add(seam("Child.static"))
    assert lib.Base().method() == ("patched", ("patched", ("patched", (1, "y"))))
    remove_together(sets)
    assert snapshot(lib) == before


def test_one_of_two_sets_on_one_attribute_cannot_be_removed_from_below(
    lib: types.ModuleType,
) -> None:
    lower, upper = PatchSet(), PatchSet()
    lower.add(seam("Base.method"))
    upper.add(seam("Base.method"))
    with pytest.raises(PatchConflict):
        lower.remove()
    remove_together([lower, upper])


def test_somebody_between_two_sets_is_a_conflict(lib: types.ModuleType) -> None:
    lower, upper = PatchSet(), PatchSet()
    lower.add(seam("Base.method"))
    take_off = by_setattr(lib)
    upper.add(seam("Base.method"))
    with pytest.raises(PatchConflict):
        remove_together([lower, upper])
    upper.remove()
    take_off()
    lower.remove()


# --- threads


def test_seams_added_from_many_threads_are_all_applied_and_removed(lib: types.ModuleType) -> None:
    for number in range(64):
        setattr(lib, f"function_{number}", types.FunctionType((lambda: 1).__code__, {}))
    before = snapshot(lib)
    patches = PatchSet()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: patches.add(seam(f"function_{number}")), range(64)))
    assert (len(patches.applied), patches.failed) == (64, [])
    patches.remove()
    assert snapshot(lib) == before


class Gate(types.ModuleType):
    """Lets a test stop a module in the middle of its import."""

    def __init__(self) -> None:
        super().__init__("gate")
        self.reached, self.open = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE_S)


def test_module_that_another_thread_is_importing_is_patched_when_it_is_complete(
    site: Any, patches: PatchSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setitem(sys.modules, "gate", gate)
    site.module("late_seven", "import gate; gate.wait()\ndef function():\n    return 1")
    with ThreadPoolExecutor(2) as threads:
        importing = threads.submit(importlib.import_module, "late_seven")
        assert gate.reached.wait(PATIENCE_S)
        adding = threads.submit(patches.add, seam("function", "late_seven"))
        gate.open.set()
        adding.result(PATIENCE_S)
        assert importing.result(PATIENCE_S).function() == ("patched", 1)


def test_adding_while_another_thread_imports_does_not_deadlock_with_its_import_hooks(
    site: Any, patches: PatchSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setitem(sys.modules, "gate", gate)
    site.module("late_eight.part", "def function():\n    return 1")
    site.module(
        "late_eight",
        "import gate; gate.wait()\nfrom late_eight import part\nfunction = part.function",
    )
    patches.add(seam("function", "late_eight.part"))
    adding = threading.Thread(
        target=patches.add, args=(seam("function", "late_eight"),), name="adding", daemon=True
    )
    importing = threading.Thread(
        target=importlib.import_module, args=("late_eight",), name="importing", daemon=True
    )
    importing.start()
    assert gate.reached.wait(PATIENCE_S)
    adding.start()
    gate.open.set()
    for thread in (adding, importing):
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), thread.name
    assert sorted(patches.applied) == ["late_eight.part:function", "late_eight:function"]
