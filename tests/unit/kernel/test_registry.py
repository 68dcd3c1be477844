"""The plugin registry, with real little distributions: what is listed, refused, loaded and called."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agentkernel
from agentkernel.api import (
    NoOptions,
    Order,
    PluginBlocked,
    PluginImportError,
    PluginNotFound,
    PluginRejected,
    PluginSignatureError,
    SettingsError,
    hookimpl,
)
from agentkernel.kernel.registry import PluginInfo, PluginRegistry
from agentkernel.kernel.settings import load_settings

ORDER = """
    from agentkernel.api import HeapOrder, NoOptions, Order, hookimpl

    class Fifo(HeapOrder):
        def key(self, waiting, now):
            return 0

    @hookimpl
    def create_order(options: NoOptions) -> Order:
        return Fifo()
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution with one module and its metadata on ``sys.path``."""
    modules: set[str] = set()
    before = set(sys.modules)

    def put(
        distribution: str,
        source: str = ORDER,
        *,
        entry_points: dict[str, str] | None = None,
        version: str = "1.0",
        requires: str = "agentkernel",
        site: str = "site",
    ) -> Path:
        directory = tmp_path / site
        module = distribution.replace("-", "_")
        info = directory / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (directory / f"{module}.py").write_text(textwrap.dedent(source))
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {text}\n" for text in requires.splitlines())
        )
        text = ""
        for name, value in (entry_points or {"order:mine": module}).items():
            kind, _, name_only = name.partition(":")
            text += f"[agentkernel.{kind}]\n{name_only} = {value}\n"
        (info / "entry_points.txt").write_text(text)
        if str(directory) not in sys.path:
            monkeypatch.syspath_prepend(str(directory))
        modules.add(module)
        return directory

    yield put
    for module in modules - before:
        sys.modules.pop(module, None)


def only(registry: PluginRegistry, name: str = "mine") -> PluginInfo:
    (info,) = [info for info in registry.plugins() if info.name == name]
    return info


def module(**functions: object) -> types.ModuleType:
    made = types.ModuleType("made")
    for name, function in functions.items():
        setattr(made, name, function)
    return made


def run_python(code: str, *path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {list(map(str, path))}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


# --- listing


def test_listing_reads_metadata_and_imports_nothing(install: Install) -> None:
    install("ak-listed", "raise RuntimeError('imported')", version="2.3")
    assert only(PluginRegistry()) == PluginInfo(
        kind="order",
        name="mine",
        distribution="ak-listed",
        version="2.3",
        value="ak_listed",
        status="available",
        reason="",
    )
    assert "ak_listed" not in sys.modules


def test_listing_can_be_limited_to_a_kind(install: Install) -> None:
    install("ak-two-kinds", entry_points={"order:a": "m", "hooks:b": "m"})
    registry = PluginRegistry()
    assert "a" in [info.name for info in registry.plugins("order")]
    assert "b" not in [info.name for info in registry.plugins("order")]
    assert {"a", "b"} <= {info.name for info in registry.plugins()}


def test_registry_imports_neither_stevedore_nor_packaging_until_it_needs_them() -> None:
    code = (
        "from agentkernel.kernel.registry import PluginRegistry\n"
        "PluginRegistry(extra={('order', 'x'): object()})\n"
        "print([name for name in ('stevedore', 'packaging') if name in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_plugin_installed_later_is_seen_by_a_new_registry(install: Install) -> None:
    first = PluginRegistry()
    install("ak-early", entry_points={"order:early": "ak_early"})
    first.load("order", "early")
    install("ak-late", entry_points={"order:late": "ak_late"})
    with pytest.raises(PluginNotFound):
        first.load("order", "late")
    assert isinstance(PluginRegistry().create("order", "late", NoOptions()), Order)


def test_loading_writes_no_cache(install: Install, tmp_path: Path) -> None:
    directory = install("ak-uncached")
    code = (
        f"import os; os.environ['XDG_CACHE_HOME'] = {str(tmp_path / 'cache')!r}\n"
        "sys.executable = '/usr/bin/python'  # stevedore writes none for one under /tmp\n"
        "from agentkernel.kernel.registry import PluginRegistry\n"
        "print(PluginRegistry().load('order', 'mine').__name__)"
    )
    assert run_python(code, directory) == "ak_uncached"
    assert not (tmp_path / "cache").exists()


def test_broken_distributions_do_not_hide_the_others(install: Install) -> None:
    directory = install("ak-sound")
    nameless = directory / "ak_nameless-1.0.dist-info"
    nameless.mkdir()
    (nameless / "entry_points.txt").write_text("[agentkernel.order]\nx = y\n")
    unreadable = directory / "ak_unreadable-1.0.dist-info"
    unreadable.mkdir()
    (unreadable / "METADATA").write_text("Name: ak-unreadable\nVersion: 1\n")
    (unreadable / "entry_points.txt").write_text("[agentkernel.order]\nno equals sign\n")
    assert only(PluginRegistry()).status == "available"


# --- blocked and rejected


@pytest.mark.parametrize(
    ("allow", "block"),
    [
        ((), ("mine",)),
        ((), ("order:mine",)),
        ((), ("order:*",)),
        (("*",), ("m*",)),
        (("other", "hooks:mine"), ()),
    ],
)
def test_blocked_plugin_is_never_imported(
    install: Install, allow: tuple[str, ...], block: tuple[str, ...]
) -> None:
    install("ak-blocked", "raise RuntimeError('imported')")
    registry = PluginRegistry(allow=allow, block=block)
    info = only(registry)
    assert (info.status, info.reason != "") == ("blocked", True)
    for _ in range(2):
        with pytest.raises(PluginBlocked, match=r"plugins\.(allow|block)"):
            registry.create("order", "mine", NoOptions())
    assert "ak_blocked" not in sys.modules


@pytest.mark.parametrize("allow", [(), ("*",), ("order:mine",), ("min?",), ("o*:m*",)])
def test_allowed_plugin_is_available(install: Install, allow: tuple[str, ...]) -> None:
    install("ak-allowed")
    assert only(PluginRegistry(allow=allow, block=("tool:mine",))).status == "available"


def test_same_name_from_two_distributions_rejects_both(install: Install) -> None:
    install("ak-one")
    install("ak-two", version="2.0")
    registry = PluginRegistry()
    found = [info for info in registry.plugins("order") if info.name == "mine"]
    assert [(info.distribution, info.status) for info in found] == [
        ("ak-one", "rejected"),
        ("ak-two", "rejected"),
    ]
    with pytest.raises(PluginRejected, match=r"ak-one 1.0 \(ak_one\) and ak-two 2.0 \(ak_two\)"):
        registry.load("order", "mine")
    assert not {"ak_one", "ak_two"} & set(sys.modules)


def test_same_name_for_two_kinds_is_no_duplicate(install: Install) -> None:
    install("ak-same", entry_points={"order:mine": "ak_same", "admission:mine": "ak_same"})
    assert {i.status for i in PluginRegistry().plugins() if i.name == "mine"} == {"available"}


def test_distribution_that_is_on_the_path_twice_is_no_duplicate(install: Install) -> None:
    install("ak-twice", version="1.0", site="old")
    install("ak-twice", version="2.0", site="editable")
    info = only(PluginRegistry())
    assert (info.status, info.version) == ("available", "2.0")


def test_distribution_that_shadows_one_with_plugins_has_none(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("ak-shadowed", version="1.0", site="old")
    new = tmp_path / "new" / "ak_shadowed-2.0.dist-info"
    new.mkdir(parents=True)
    (new / "METADATA").write_text("Name: ak-shadowed\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(str(new.parent))
    assert "mine" not in [info.name for info in PluginRegistry().plugins()]


@pytest.mark.parametrize(
    "requires",
    [
        "agentkernel>=99",
        "AgentKernel (<0.0.1)",
        "agentkernel>=99; python_version>'3'",
        "agentkernel\nagentkernel!=" + agentkernel.__version__,
        "agentkernel=>1",
    ],
)
def test_plugin_for_another_kernel_version_is_rejected(install: Install, requires: str) -> None:
    install("ak-old", "raise RuntimeError('imported')", requires=requires)
    registry = PluginRegistry()
    assert only(registry).status == "rejected"
    with pytest.raises(PluginRejected) as caught:
        registry.load("order", "mine")
    if "=>" not in requires:
        assert f"this is {agentkernel.__version__}" in str(caught.value)
    assert "ak_old" not in sys.modules


@pytest.mark.parametrize(
    "requires",
    [
        "",
        "agentkernel",
        f"agentkernel>={agentkernel.__version__},<99",
        "agentkernel>=99; python_version<'3'",
        "agentkernel>=99; extra == 'next'",
        "agentkernel-core-openai>=99",
        "agentkernel[testing]>=0.0.1; extra == 'test'",
        "un readable!",
    ],
)
def test_plugin_for_this_kernel_version_is_available(install: Install, requires: str) -> None:
    install("ak-new", requires=requires)
    assert only(PluginRegistry()).status == "available"


@pytest.mark.parametrize("version", ["1.0.dev3", "1.0rc1"])
def test_kernel_that_is_a_prerelease_counts_as_its_version(
    install: Install, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(agentkernel, "__version__", version)
    install("ak-pre", requires="agentkernel>=0.9")
    assert only(PluginRegistry()).status == "available"


def test_kind_that_the_kernel_does_not_know_is_rejected(install: Install) -> None:
    install("ak-kind", entry_points={"telepathy:mine": "ak_kind"})
    registry = PluginRegistry()
    assert only(registry).status == "rejected"
    for name in ("mine", "not installed"):
        with pytest.raises(PluginRejected, match="knows no plugin kind 'telepathy'"):
            registry.load("telepathy", name)


# --- loading


def test_only_the_named_plugin_is_imported(install: Install) -> None:
    install("ak-wanted")
    install("ak-other", "raise RuntimeError", entry_points={"order:other": "ak_other"})
    assert PluginRegistry().load("order", "mine") is sys.modules["ak_wanted"]
    assert "ak_other" not in sys.modules


def test_loading_twice_gives_the_same_object(install: Install) -> None:
    install("ak-again", ORDER + "\n    made = object()\n")
    registry = PluginRegistry()
    assert registry.load("order", "mine") is registry.load("order", "mine")


def test_plugin_can_be_an_attribute_of_a_module(install: Install) -> None:
    source = """
        from agentkernel.api import hookimpl
        class Hooks:
            def __len__(self): return 0
            @hookimpl
            def kernel_started(self): pass
        hooks = Hooks()
    """
    install("ak-attribute", source, entry_points={"hooks:mine": "ak_attribute:hooks"})
    registry = PluginRegistry()
    assert registry.load("hooks", "mine") is sys.modules["ak_attribute"].hooks
    assert registry.implements("kernel_started")


def test_missing_plugin_names_what_is_installed_and_how_to_install_it(install: Install) -> None:
    install("ak-near", entry_points={"order:shortest": "ak_near"})
    with pytest.raises(PluginNotFound) as caught:
        PluginRegistry().load("order", "shortes")
    assert caught.value.suggestion == "shortest"
    assert "shortest" in caught.value.installed
    assert caught.value.install == "pip install agentkernel-order-shortes"


@pytest.mark.parametrize(
    ("kind", "name", "distribution"),
    [
        ("llm_core", "openai", "agentkernel-core-openai"),
        ("adapter", "auto_gen", "agentkernel-auto-gen"),
        ("placement", "least_loaded", "agentkernel-placement-least-loaded"),
        ("tool", "files", "agentkernel-tool-files"),
    ],
)
def test_install_line_follows_the_naming_of_distributions(
    kind: str, name: str, distribution: str
) -> None:
    registry = PluginRegistry(allow=["nothing"], extra={})
    registry._scanned = []
    with pytest.raises(PluginNotFound, match=rf"pip install {distribution}(\s|$)"):
        registry.load(kind, name)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import there_is_no_such_module", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("assert False, 'why'", "AssertionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_plugin_that_cannot_be_imported_is_rejected_from_then_on(
    install: Install, source: str, error: str
) -> None:
    install("ak-raises", source)
    registry = PluginRegistry()
    with pytest.raises(PluginImportError, match=f"importing ak_raises raised {error}") as caught:
        registry.load("order", "mine")
    assert type(caught.value.__cause__).__name__ == error
    assert only(registry).status == "rejected"
    assert error in only(registry).reason


def test_missing_attribute_of_an_entry_point_is_an_import_error(install: Install) -> None:
    install("ak-attr", entry_points={"order:mine": "ak_attr:nothing"})
    with pytest.raises(PluginImportError, match="ak_attr:nothing raised AttributeError"):
        PluginRegistry().load("order", "mine")


def test_plugin_that_was_mended_loads_at_the_next_try(install: Install) -> None:
    directory = install("ak-mended", "1 / 0")
    registry = PluginRegistry()
    with pytest.raises(PluginImportError):
        registry.load("order", "mine")
    (directory / "ak_mended.py").write_text(textwrap.dedent(ORDER) + "# now longer\n")
    registry.load("order", "mine")
    assert only(registry).status == "available"


def test_one_module_can_serve_two_kinds(install: Install) -> None:
    source = (
        ORDER
        + """
    from agentkernel.api import Tool
    @hookimpl
    def register_tools():
        return [Tool(name="t", function=print)]
    started = []
    @hookimpl
    def kernel_started():
        started.append(1)
    """
    )
    install("ak-both", source, entry_points={"order:mine": "ak_both", "tool:mine": "ak_both"})
    registry = PluginRegistry()
    assert registry.load("order", "mine") is registry.load("tool", "mine")
    registry.hook.kernel_started()
    assert sys.modules["ak_both"].started == [1]
    assert isinstance(registry.create("order", "mine", NoOptions()), Order)
    assert isinstance(registry.create("tool", "mine", NoOptions()), tuple)


def test_plugin_that_fails_for_one_kind_still_serves_the_other(install: Install) -> None:
    install("ak-half", entry_points={"order:mine": "ak_half", "tool:mine": "ak_half"})
    registry = PluginRegistry()
    registry.load("order", "mine")
    with pytest.raises(PluginSignatureError, match="register_tools"):
        registry.load("tool", "mine")
    assert isinstance(registry.create("order", "mine", NoOptions()), Order)


def test_two_registries_in_one_process_share_nothing(install: Install) -> None:
    install("ak-shared")
    first, second = PluginRegistry(), PluginRegistry(block=["mine"])
    first.load("order", "mine")
    assert first.implements("create_order")
    assert not second.implements("create_order")
    with pytest.raises(PluginBlocked):
        second.load("order", "mine")


def test_threads_that_load_the_same_plugin_get_one_object(install: Install) -> None:
    install("ak-threads")
    registry = PluginRegistry()
    barrier = threading.Barrier(8)
    loaded: list[object] = []

    def load() -> None:
        barrier.wait()
        loaded.append(registry.load("order", "mine"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [sys.modules["ak_threads"]] * 8


# --- plugins of this process


def test_extra_plugin_counts_as_installed_and_takes_the_place_of_one(install: Install) -> None:
    install("ak-replaced", "raise RuntimeError('imported')")

    @hookimpl
    def create_order() -> Order:
        raise NotImplementedError

    extra = module(create_order=create_order)
    registry = PluginRegistry(extra={("order", "mine"): extra, ("order", "new"): extra})
    assert registry.load("order", "mine") is extra
    assert registry.load("order", "new") is extra
    assert (only(registry).distribution, only(registry).value) == ("", "made")


def test_extra_plugin_can_be_blocked() -> None:
    registry = PluginRegistry(block=["order:x"], extra={("order", "x"): module()})
    with pytest.raises(PluginBlocked):
        registry.load("order", "x")


def test_options_are_bound_with_the_line_of_a_wrong_one(install: Install, tmp_path: Path) -> None:
    source = """
        from __future__ import annotations
        from agentkernel.api import HeapOrder, Options, Order, hookimpl

        class Slice(Options):
            slice_s: float = 1.0

        class RoundRobin(HeapOrder):
            def key(self, waiting, now):
                return 0

        @hookimpl
        def create_order(options: Slice) -> Order:
            made = RoundRobin()
            made.slice_s = options.slice_s
            return made
    """
    install("ak-rr", source)
    registry = PluginRegistry()
    options_type = registry.options_type("order", "mine")
    config = tmp_path / "agentkernel.toml"
    config.write_text("[order.mine]\nslice_s = 2.5\n")
    options = load_settings(config, environ={}).bind(options_type, "order", "mine")
    made: Any = registry.create("order", "mine", options)
    assert made.slice_s == 2.5
    config.write_text("\n[order.mine]\nslice_s = 'x'\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(config, environ={}).bind(options_type, "order", "mine")
    assert caught.value.source == f"{config}:3"
