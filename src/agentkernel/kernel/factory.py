"""What the configuration names, created by its plugins from validated options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentkernel.api.embedder import Embedder
from agentkernel.api.llm_core import LLMCore
from agentkernel.api.options import Options
from agentkernel.api.scheduling import Admission, Order, Placement
from agentkernel.api.tools import Tool
from agentkernel.api.window import WindowPolicy
from agentkernel.kernel.registry import PluginRegistry
from agentkernel.kernel.settings import KernelSettings, Settings


class PluginFactory:
    """Creates cores, scheduling roles and tools. Every method raises PluginError or SettingsError."""

    def __init__(self, registry: PluginRegistry, settings: Settings) -> None:
        self._registry, self._settings = registry, settings
        self._embedder: Embedder | None = None

    @property
    def configured(self) -> bool:
        """Whether any core is configured."""
        return bool(self._settings.cores)

    def is_available(self, kind: str, name: str) -> bool:
        """Whether such a plugin is installed and allowed; it is not imported."""
        plugins = self._registry.plugins(kind)
        return any(plugin.name == name and plugin.status == "available" for plugin in plugins)

    def configured_cores(self) -> dict[str, LLMCore]:
        """The cores of the ``[cores.NAME]`` tables, not started."""
        cores = {}
        for name, core in self._settings.cores.items():
            options_type = self._registry.options_type("llm_core", core.plugin)
            cores[name] = self._core(
                name, core.plugin, self._settings.bind(options_type, "cores", name)
            )
        return cores

    def core(self, name: str, plugin: str, options: Mapping[str, object]) -> LLMCore:
        """A core that is added at run time, not started."""
        options_type = self._registry.options_type("llm_core", plugin)
        return self._core(
            name, plugin, self._settings.bind_values(options_type, options, "cores", name)
        )

    def _core(self, name: str, plugin: str, options: Options) -> LLMCore:
        core = self._registry.create("llm_core", plugin, options, name=name)
        assert isinstance(core, LLMCore)
        return core

    def check_chosen(self) -> None:
        """Load the scheduling, window and embedder plugins that the user chose or configured, and bind their options.

        Errors show at once.

        The default ones are loaded at the first LLM call: a kernel without plugins starts.
        """
        chosen, default = self._settings.kernel, KernelSettings()
        scheduling = [("order", chosen.order), ("placement", chosen.placement)]
        scheduling += [("admission", name) for name in chosen.admission]
        unasked = {("order", default.order), ("placement", default.placement)}
        unasked |= {("admission", name) for name in default.admission}
        for kind, name in scheduling:
            if (kind, name) not in unasked or self._settings.has_table(kind, name):
                self._options(kind, name)
        if chosen.window is not None:
            self._options("window", chosen.window)
        if chosen.embedder != default.embedder or (
            chosen.order != default.order
            and self._registry.takes("order", chosen.order, "embedder")
        ):
            self._options("embedder", chosen.embedder)

    def order(self) -> Order:
        """The configured order, for one queue."""
        name = self._settings.kernel.order
        takes_one = self._registry.takes("order", name, "embedder")
        further = {"embedder": self.embedder()} if takes_one else {}
        order = self._create("order", name, **further)
        assert isinstance(order, Order)
        return order

    def embedder(self) -> Embedder:
        """The configured embedder, the same at every call."""
        if self._embedder is None:
            embedder = self._create("embedder", self._settings.kernel.embedder)
            assert isinstance(embedder, Embedder)
            self._embedder = embedder
        return self._embedder

    def placement(self) -> Placement:
        """The configured placement."""
        placement = self._create("placement", self._settings.kernel.placement)
        assert isinstance(placement, Placement)
        return placement

    def admissions(self) -> tuple[Admission, ...]:
        """The configured admissions, in their order."""
        created = [self._create("admission", name) for name in self._settings.kernel.admission]
        return tuple(admission for admission in created if isinstance(admission, Admission))

    def window(self) -> WindowPolicy | None:
        """The configured window policy, if any."""
        name = self._settings.kernel.window
        if name is None:
            return None
        policy = self._create("window", name)
        assert isinstance(policy, WindowPolicy)
        return policy

    def tools(self) -> list[Tool]:
        """The tools of the configured tool plugins."""
        tools: list[Tool] = []
        for name in self._settings.kernel.tools:
            created = self._create("tool", name)
            assert isinstance(created, Sequence)
            tools.extend(created)
        return tools

    def _create(self, kind: str, name: str, **further: object) -> object:
        return self._registry.create(kind, name, self._options(kind, name), **further)

    def _options(self, kind: str, name: str) -> Options:
        return self._settings.bind(self._registry.options_type(kind, name), kind, name)
