"""Cores that join and leave the pool while the kernel runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping

import msgspec

from agentkernel.api.calls import LLMCall
from agentkernel.api.errors import AgentKernelError, LLMCoreError, PluginFault
from agentkernel.api.llm_core import LLMCore
from agentkernel.kernel.factory import PluginFactory
from agentkernel.kernel.loop_thread import LoopThread
from agentkernel.kernel.pool import Breaker, CorePool, PooledCore
from agentkernel.kernel.settings import KernelSettings

_START_LIMIT_S = 120.0


class CoreManager:
    """Starts and stops cores. The sync methods wait, and must not be called from the kernel's own thread.

    Args:
        changed: called on the kernel's loop after a core joined or left.
    """

    def __init__(
        self,
        *,
        pool: CorePool,
        factory: PluginFactory,
        settings: KernelSettings,
        thread: LoopThread,
        changed: Callable[[], None],
    ) -> None:
        self._pool, self._factory, self._settings = pool, factory, settings
        self._thread, self._changed = thread, changed
        self._derived: dict[object, str] = {}
        self._default: asyncio.Future[str] | None = None
        self._joining: dict[object, asyncio.Future[str]] = {}

    def add(self, name: str, core: LLMCore) -> None:
        """Start a core and let it join.

        Raises:
            ValueError: the pool has a core of that name.
            AgentKernelError: it cannot start.
        """
        self._thread.run(self._join(name, core), _START_LIMIT_S)

    def remove(self, name: str) -> None:
        """Let a core leave; it is stopped when the calls that run on it have ended."""
        self._thread.run(self._leave(name))

    def derive(self, key: object, plugin: str, options: Mapping[str, object]) -> str:
        """The name of the core for ``key``, created and started at the first call with that key."""
        name = self._derived.get(key)
        if name is None:
            name = f"{plugin}-{len(self._derived) + 1}"
            core = self._factory.core(name, plugin, options)
            name = self._thread.run(self._join_derived(key, name, core), _START_LIMIT_S)
        return name

    def have_another(self, call: LLMCall, core: PooledCore | None, now: float) -> bool:
        """As of :meth:`CorePool.has_another`."""
        return self._pool.has_another(call, core, now)

    def default_answers(self, model: str | None, core: str | None = None) -> bool:
        """Whether such calls go to the default core: none is configured, and they name it, or neither core nor model."""
        name = self._settings.default_core
        if not name or (core or model or name) != name:
            return False
        return not self._factory.configured and self._factory.is_available("llm_core", name)

    async def start_default(self) -> None:
        """Start the default core; the first call waits for it, and those that come meanwhile wait with it.

        Raises:
            AgentKernelError: it cannot start. The next call tries again.
        """
        if self._default is None:
            self._default = asyncio.ensure_future(self._join_default())
            self._default.add_done_callback(self._forget_failed_default)
        await asyncio.shield(self._default)

    async def _join_default(self) -> str:
        name = self._settings.default_core
        if name not in self._pool:
            await self._join(name, await asyncio.to_thread(self._factory.core, name, name, {}))
        return name

    def _forget_failed_default(self, done: asyncio.Future[str]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._default = None

    async def start_all(self, cores: Mapping[str, LLMCore]) -> None:
        """Start the configured cores side by side."""
        await asyncio.gather(*(self._start(name, core) for name, core in cores.items()))

    async def stop_all(self, limit_s: float) -> None:
        """Stop every core; one that does not end within ``limit_s`` is left behind."""

        async def stop(core: PooledCore) -> None:
            await asyncio.wait_for(core.core.stop(), limit_s)

        await asyncio.gather(*map(stop, self._pool), return_exceptions=True)

    async def _start(
        self, name: str, core: LLMCore, breaker_failures: int | None = None
    ) -> PooledCore:
        try:
            await core.start()
            capabilities = core.capabilities
        except AgentKernelError as error:
            if isinstance(error, LLMCoreError) and not error.core:
                error.core = name
            raise
        except (Exception, SystemExit) as error:
            raise PluginFault(f"LLM core {name!r}", "starting", error) from error
        failures = breaker_failures or self._settings.breaker_failures
        breaker = Breaker(failures, self._settings.breaker_open_s)
        pooled = PooledCore(name, core, capabilities, breaker)
        self._pool.add(pooled)
        return pooled

    async def _join(self, name: str, core: LLMCore) -> None:
        if name in self._pool:
            raise ValueError(
                f"the pool has a core named {name!r} already; choose another name or remove it first"
            )
        await self._start(name, core)
        self._changed()

    async def _join_derived(self, key: object, name: str, core: LLMCore) -> str:
        """Several threads may bring a core for the same key at once: the first one's is started, for all of them."""
        joining = self._joining.get(key)
        if joining is None:
            joining = self._joining[key] = asyncio.ensure_future(
                self._start_derived(key, name, core)
            )
            joining.add_done_callback(lambda _: self._joining.pop(key, None))
        return await asyncio.shield(joining)

    async def _start_derived(self, key: object, name: str, core: LLMCore) -> str:
        if key in self._derived:
            return self._derived[key]
        while name in self._pool:
            name += "+"
        pooled = await self._start(name, core, sys.maxsize)  # its client decides what to ask again
        pooled.capabilities = msgspec.structs.replace(pooled.capabilities, shared=False)
        self._derived[key] = name
        return name

    async def _leave(self, name: str) -> None:
        core = self._pool.remove(name)
        if core is None:
            return
        self._derived = {key: derived for key, derived in self._derived.items() if derived != name}
        self._changed()
        await core.drained()
        await core.core.stop()
