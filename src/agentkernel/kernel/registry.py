"""The plugin registry: finds installed plugins, loads the ones that are named, calls their hooks.

stevedore imports, pluggy checks and calls. Scanning reads metadata only; a plugin is imported when it
is loaded by name, and never when it is blocked or rejected.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from agentkernel.api.errors import (
    AgentKernelError,
    PluginBlocked,
    PluginError,
    PluginFault,
    PluginImportError,
    PluginNotFound,
    PluginRejected,
    PluginSignatureError,
)
from agentkernel.api.hookspecs import GROUPS, PROJECT
from agentkernel.api.options import Options
from agentkernel.kernel.plugin_checks import (
    check_hooks,
    check_result,
    new_manager,
    options_of,
    takes,
)
from agentkernel.kernel.plugin_scan import (
    InstalledPlugin,
    PluginInfo,
    in_process,
    installed,
    judge,
    unknown_kind,
)
from agentkernel.kernel.settings_binding import bind_table

if TYPE_CHECKING:
    import pluggy

__all__ = ["PluginInfo", "PluginRegistry"]

_NO_EXTRA: Mapping[tuple[str, str], object] = MappingProxyType({})
_STANDARD = {
    ("admission", "aimd"),
    ("admission", "kv_budget"),
    ("admission", "rate_limit"),
    ("admission", "slots"),
    ("llm_core", "openai"),
    ("llm_core", "passthrough"),
    ("llm_core", "replay"),
    ("order", "atlas"),
    ("order", "edf"),
    ("order", "fair"),
    ("order", "fifo"),
    ("order", "mlfq"),
    ("order", "plas"),
    ("order", "priority"),
    ("order", "rr"),
    ("placement", "affinity"),
    ("placement", "least_loaded"),
    ("window", "summarize"),
    ("window", "trim"),
}
_ALL_STANDARD = " (all standard plugins: pip install 'agentkernel[standard]')"

_RUNTIME = "hooks"
"""The kind of the objects that are registered at run time."""


class PluginRegistry:
    """The plugins of one kernel.

    Installed plugins are looked for once, at the first need: what is installed later is seen by a new
    registry. Thread-safe; one plugin is loaded or asked to create something at a time.

    Args:
        allow: patterns of the plugins that may be used, ``name`` or ``kind:name``; empty means all.
        block: patterns of the plugins that may not; they win over ``allow``.
        extra: plugin objects of this process by kind and name. They count as installed, and take the
            place of an installed plugin of the same kind and name.
    """

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        block: Sequence[str] = (),
        extra: Mapping[tuple[str, str], object] = _NO_EXTRA,
    ) -> None:
        self._allow, self._block = tuple(allow), tuple(block)
        self._extra = dict(extra)
        self._lock = threading.RLock()  # a create hook may load another plugin
        self._manager = new_manager()
        self._scanned: list[InstalledPlugin] | None = None
        self._loaded: dict[tuple[str, str], object] = {}
        self._failed: dict[tuple[str, str], PluginError] = {}
        self._added: set[str] = set()

    def plugins(self, kind: str | None = None) -> list[PluginInfo]:
        """Every installed plugin, by kind and name. Imports nothing.

        One whose loading failed is shown as rejected from then on.
        """
        with self._lock:
            return [
                self._with_failure(plugin.info)
                for plugin in self._installed()
                if kind is None or plugin.info.kind == kind
            ]

    def load(self, kind: str, name: str) -> object:
        """The plugin object, imported and registered at the first call.

        After a failure the next call tries again.

        Raises:
            PluginNotFound: it is not installed.
            PluginBlocked, PluginRejected: it may not be used; it was not imported.
            PluginImportError: importing it raised.
            PluginSignatureError: its hooks do not match the specifications.
        """
        with self._lock:
            key = (kind, name)
            if key not in self._loaded:
                plugin = self._usable(kind, name)
                try:
                    self._loaded[key] = self._enter(plugin)
                except PluginError as error:
                    self._failed[key] = error
                    raise
                self._failed.pop(key, None)
            return self._loaded[key]

    def options_type(self, kind: str, name: str) -> type[Options]:
        """The class of the plugin's options; ``NoOptions`` for one that takes none.

        Raises:
            PluginError: as ``load``; its ``options`` parameter is not annotated with such a class.
        """
        return options_of(self.load(kind, name), kind, name)

    def takes(self, kind: str, name: str, argument: str) -> bool:
        """Whether the create hook of the plugin has this parameter.

        Raises:
            PluginError: as ``load``.
        """
        return takes(self.load(kind, name), kind, argument)

    def create(
        self, kind: str, name: str, options: Options | None = None, /, **kwargs: object
    ) -> object:
        """What the create hook of this one plugin returns; for tools, a tuple of them.

        Args:
            kind: any kind but ``hooks``.
            name: of the plugin.
            options: an instance of the plugin's options class; None takes the defaults.
            kwargs: the further arguments of the hook's specification; those that the plugin does not take can be
                left out.

        Raises:
            PluginError: as ``load``; the hook returned something else than its kind's objects.
            SettingsError: an option is required and ``options`` is None.
            PluginFault: the hook raised an error that is no AgentKernelError.
        """
        with self._lock:
            plugin = self.load(kind, name)
            hook = GROUPS[kind]
            if hook is None:
                raise PluginSignatureError(
                    kind, name, f"{kind} plugins create nothing; only load it"
                )
            caller = self._only(plugin, hook)
            assert caller.spec is not None
            if "options" in caller.spec.argnames:
                kwargs["options"] = self._defaults(kind, name) if options is None else options
            for argument in set(caller.spec.argnames) - kwargs.keys():
                if not takes(plugin, kind, argument):
                    kwargs[argument] = None
            try:
                results = caller(**kwargs)
            except AgentKernelError:
                raise
            except Exception as error:
                raise PluginFault(f"{kind} plugin {name!r}", f"running {hook}()", error) from error
            return check_result(results, kind, name)

    @property
    def hook(self) -> pluggy.HookRelay:
        """Calls a hook of every loaded plugin: ``registry.hook.kernel_started()``."""
        return self._manager.hook

    def implements(self, hook_name: str) -> bool:
        """Whether any loaded plugin has this hook. Raises AttributeError when there is no such hook."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook_name)
        return bool(caller.get_hookimpls())

    def register(self, plugin: object, name: str) -> None:
        """Add an object with syscall or lifecycle hooks.

        Raises:
            PluginRejected: the name is taken, or the object is registered already.
            PluginSignatureError: its hooks do not match the specifications.
        """
        with self._lock:
            check_hooks(plugin, _RUNTIME, name)
            self._register(plugin, _RUNTIME, name, name)
            self._added.add(name)

    def unregister(self, name: str) -> None:
        """Remove the object that was registered under ``name``, or nothing when there is none."""
        with self._lock:
            if name in self._added:
                self._added.discard(name)
                self._manager.unregister(name=name)

    def _installed(self) -> list[InstalledPlugin]:
        if self._scanned is None:
            extra = in_process(self._extra)
            keys = {plugin.key for plugin in extra}
            found = extra + [plugin for plugin in installed() if plugin.key not in keys]
            self._scanned = [
                msgspec.structs.replace(
                    plugin, info=judge(plugin.info, allow=self._allow, block=self._block)
                )
                for plugin in sorted(found, key=lambda plugin: plugin.key)
            ]
        return self._scanned

    def _with_failure(self, info: PluginInfo) -> PluginInfo:
        error = self._failed.get((info.kind, info.name))
        if error is None:
            return info
        return msgspec.structs.replace(info, status="rejected", reason=error.reason)

    def _usable(self, kind: str, name: str) -> InstalledPlugin:
        plugin = next((p for p in self._installed() if p.key == (kind, name)), None)
        if plugin is None:
            raise self._not_found(kind, name)
        if plugin.info.status == "blocked":
            raise PluginBlocked(kind, name, plugin.info.reason)
        if plugin.info.status == "rejected":
            raise PluginRejected(kind, name, plugin.info.reason)
        return plugin

    def _not_found(self, kind: str, name: str) -> PluginError:
        if kind not in GROUPS:
            return PluginRejected(kind, name, unknown_kind(kind))
        names = sorted(
            {plugin.info.name for plugin in self._installed() if plugin.info.kind == kind}
        )
        near = difflib.get_close_matches(name, names, n=1)
        return PluginNotFound(
            kind,
            name,
            installed=names,
            suggestion=near[0] if near else None,
            install=f"pip install {_distribution_name(kind, name)}"
            + _ALL_STANDARD * ((kind, name) in _STANDARD),
        )

    def _enter(self, plugin: InstalledPlugin) -> object:
        """Import, check and register a plugin."""
        kind, name = plugin.key
        loaded = (
            _import(plugin.source, kind, name)
            if isinstance(plugin.source, EntryPoint)
            else plugin.source
        )
        check_hooks(loaded, kind, name)
        if not any(loaded is known for known in self._loaded.values()):  # else it serves two roles
            self._register(loaded, kind, name, f"{kind}:{name}")
        return loaded

    def _register(self, plugin: object, kind: str, name: str, label: str) -> None:
        try:
            self._manager.register(plugin, label)
        except ValueError as error:
            reason = f"the name {label!r} or the object is registered already. Unregister it first"
            raise PluginRejected(kind, name, reason) from error

    def _only(self, plugin: object, hook: str) -> pluggy.HookCaller:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        others = [known.plugin for known in caller.get_hookimpls() if known.plugin is not plugin]
        return self._manager.subset_hook_caller(hook, others)

    def _defaults(self, kind: str, name: str) -> Options:
        return bind_table(self.options_type(kind, name), {}, (kind, name), lambda _: "default")


def _distribution_name(kind: str, name: str) -> str:
    middle = {"llm_core": "core-", "adapter": ""}.get(kind, f"{kind}-")
    return f"{PROJECT}-{middle}{name}".replace("_", "-")


def _import(entry_point: EntryPoint, kind: str, name: str) -> object:
    """Import one plugin through stevedore, from the entry point that the metadata gave.

    stevedore's own list is not used: its caches, in the class and on disk (``~/.cache``), outlive
    installations and changes of ``sys.path``.
    """
    from stevedore.named import NamedExtensionManager

    class OneEntryPoint(NamedExtensionManager):  # type: ignore[misc, type-arg, unused-ignore]
        def list_entry_points(self) -> list[EntryPoint]:
            return [entry_point]

    errors: list[BaseException] = []
    try:
        manager = OneEntryPoint(
            namespace=entry_point.group,
            names=[entry_point.name],
            invoke_on_load=False,
            on_load_failure_callback=lambda _manager, _entry_point, error: errors.append(error),
            on_missing_entrypoints_callback=None,
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - also what stevedore lets pass
        errors.append(error)
    else:
        for extension in manager:
            return extension.plugin
    cause = errors[0]
    reason = f"importing {entry_point.value} raised {type(cause).__name__}: {cause}"
    raise PluginImportError(kind, name, reason) from cause
