"""The core itself."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from agentkernel.api import (
    CoreCapabilities,
    Emit,
    LLMCall,
    LLMCoreError,
    LLMResponse,
    PreemptibleCore,
    SuspendedContext,
    TimeSlice,
)
from agentkernel_core_transformers import _snapshot
from agentkernel_core_transformers._answer import Answer
from agentkernel_core_transformers._context import AnswerContext
from agentkernel_core_transformers._loading import Service, load_service
from agentkernel_core_transformers._options import TransformersOptions
from agentkernel_core_transformers._runs import Runs

__all__ = ["TransformersCore"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_WORKERS = 2
"""Threads for templates, tokenizers, grammars and files: one may be long at work while another is wanted."""


class TransformersCore(PreemptibleCore):
    """Runs one model for any number of agents. The event loop only hands tokens on.

    Args:
        name: the core's.
        options: see there.
        seed: the seed of a sampled call that brings none, where the options have none either.
        now: seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        options: TransformersOptions,
        *,
        seed: Callable[[], int] = lambda: secrets.randbits(63),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._name, self._options = name, options
        self._seed, self._now = seed, now
        self._service: Service | None = None
        self._workers: ThreadPoolExecutor | None = None
        self._runs: Runs

    def __repr__(self) -> str:
        return f"<TransformersCore {self._name!r} {self._options.model!r}>"

    @property
    def capabilities(self) -> CoreCapabilities:
        """As many slots as the engine's batch has; what runs through ``model.generate`` has one, and no snapshots."""
        service = self._started()
        return CoreCapabilities(
            models=frozenset(self._options.served_names),
            slots=service.slots,
            can_snapshot=service.snapshots is not None,
            can_continue_prefix=True,
        )

    async def start(self) -> None:
        """Load the model and start the engine, in a thread.

        Raises:
            LLMCoreError: the model is not there, cannot be run, or cannot be run exactly; the text says what to do.
        """
        self._runs = Runs()
        self._workers = ThreadPoolExecutor(_WORKERS, f"agentkernel-{self._name}")
        loading = self._workers.submit(
            load_service, self._options, self._runs.notify, seed=self._seed, now=self._now
        )
        try:
            self._service = await asyncio.wrap_future(loading)
        except BaseException:
            loading.add_done_callback(_stop_engine)  # nobody waits for it any more
            self._workers.shutdown(wait=False)
            raise

    async def stop(self) -> None:
        """Stop the engine; what runs fails."""
        service, self._service = self._service, None
        if service is not None and self._workers is not None:
            await self._in_worker(service.engine.stop)
            self._workers.shutdown(wait=False)

    async def run(
        self,
        call: LLMCall,
        emit: Emit | None,
        time_slice: TimeSlice,
        context: SuspendedContext | None,
    ) -> LLMResponse | SuspendedContext:
        """See :meth:`PreemptibleCore.run`.

        Raises:
            InvalidCall: the call cannot be answered as it is; :class:`ContextWindowExceeded` when it is too long.
            InvalidOutput: the answer is not of the JSON schema, which no answer was yet.
            LLMCoreError: the engine failed, or was stopped.
        """
        service = self._started()
        if context is None:
            answer = await self._in_worker(service.preparation.begin, call)
        else:
            assert isinstance(context, AnswerContext)
            answer = await context.resume(service.preparation)
        answer.generation.time_slice = time_slice
        state = await self._runs.run(answer, emit, service.engine)
        if state == "finished":
            return answer.finish(emit)
        return context.suspended() if context else AnswerContext(answer, self._in_worker)

    async def load(self, call: LLMCall, folder: Path) -> SuspendedContext | None:
        """See :meth:`PreemptibleCore.load`."""
        answer = await self._in_worker(self._load, self._started(), call, folder)
        return None if answer is None else AnswerContext(answer, self._in_worker)

    def _load(self, service: Service, call: LLMCall, folder: Path) -> Answer | None:
        if service.snapshots is None:
            return None
        try:
            generation = _snapshot.load(service.snapshots, folder)
        except _snapshot.SnapshotUnusable:
            return None
        return service.preparation.restore(call, generation)

    async def _in_worker(
        self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        assert self._workers is not None
        return await asyncio.wrap_future(self._workers.submit(function, *args, **kwargs))

    def _started(self) -> Service:
        if self._service is None:
            raise LLMCoreError(f"core {self._name!r} is not running", core=self._name)
        return self._service


def _stop_engine(loading: Future[Service]) -> None:
    if not loading.cancelled() and loading.exception() is None:
        loading.result().engine.stop()
