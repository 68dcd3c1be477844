"""The inference engine: continuous batching of all running generations, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec
import torch

from agentkernel.api import InvalidCall, LLMCoreError, SyscallError
from agentkernel_core_transformers._generation import Generation, State
from agentkernel_core_transformers._model import LoadedModel
from agentkernel_core_transformers._prefix import PrefixCache
from agentkernel_core_transformers._sequence import Sequence
from agentkernel_core_transformers._step import Stepper
from agentkernel_core_transformers._tokens import is_plain, take_token
from agentkernel_core_transformers._varlen import make_kv_store

__all__ = ["Engine", "EngineOptions", "EngineStats", "KVBudgetExceeded"]

_log = logging.getLogger(__name__)

_ENDED: frozenset[State] = frozenset({"finished", "cancelled", "failed"})


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine runs.

    Attributes:
        slots: generations in one batch at most.
        kv_budget_bytes: KV of the running generations; one enters when its prompt and longest answer fit.
        prefill_budget_tokens: prompt tokens a step, over all generations; each step decodes all others beside them.
        prefill_chunk_tokens: a prompt is computed in chunks that end at multiples of this.
        row_block: linear layers run in blocks of so many rows, or of others that give the same bits; 0 gives up
            bit-identical answers.
        prefix_cache_bytes: KV kept of prompts' beginnings; 0 is off.
        threads: torch threads of the engine. torch keeps one such number for the process.
    """

    slots: int = 32
    kv_budget_bytes: int = 2 * 2**30
    prefill_budget_tokens: int = 256
    prefill_chunk_tokens: int = 32
    row_block: int = 16
    prefix_cache_bytes: int = 256 * 2**20
    threads: int = 1


class EngineStats(msgspec.Struct):
    """Counts since the start, and how things stand. Written by the engine's thread; any thread may read.

    Attributes:
        steps: forward passes.
        tokens: generated.
        prefilled: prompt tokens computed.
        cached: prompt tokens taken from the prefix cache.
        running: generations in the batch.
        queued: generations waiting for room.
        kv_bytes: reserved for the running generations.
    """

    steps: int = 0
    tokens: int = 0
    prefilled: int = 0
    cached: int = 0
    running: int = 0
    queued: int = 0
    kv_bytes: int = 0


class KVBudgetExceeded(LLMCoreError):
    """Prompt and answer of one generation need more KV than all may have together. Nothing was executed."""

    def __init__(self, *, needed_bytes: int, budget_bytes: int) -> None:
        self.needed_bytes, self.budget_bytes = needed_bytes, budget_bytes
        super().__init__(
            f"prompt and answer need up to {needed_bytes} bytes of KV, but all running calls together have "
            f"{budget_bytes}. Raise kv_budget_mb, or lower max_tokens"
        )


class Engine:
    """Runs generations, many in one batch, first come first served.

    The tokens of a generation are bit-identical whatever runs beside it and however often it is suspended (unless
    ``row_block`` is 0). Every method may be called on any thread.

    Attributes:
        stats: see :class:`EngineStats`.
        on_logits: called with each generation's logits as the model gives them, float[vocabulary], on the engine's
            thread, before they are changed in place. For tests.
    """

    def __init__(
        self,
        model: LoadedModel,
        options: EngineOptions,
        notify: Callable[[list[Generation]], None],
    ) -> None:
        """``notify`` is called on the engine's thread, once a step at most.

        It gets all generations that came to a new token and have ``wants_tokens``, or whose state changed.
        """
        self.stats = EngineStats()
        self.on_logits: Callable[[Generation, torch.Tensor], None] | None = None
        self._model, self._options, self._notify = model, options, notify
        self._thread = threading.Thread(target=self._main, name="agentkernel-engine", daemon=True)
        self._inbox: deque[tuple[Literal["submit", "cancel"], Generation]] = deque()
        self._wake = threading.Event()
        self._ready = threading.Event()
        self._gate = threading.Lock()
        self._open = False
        self._stopping = False
        self._failure: BaseException | None = None
        self._queue: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._changed: dict[int, Generation] = {}

    def start(self) -> None:
        """Start the thread, and return when it takes work: it has tested by then that rows keep their bits.

        Raises:
            ExactnessUnavailable: they do not, on this machine with these options.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End what runs or waits as ``cancelled``, and the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def submit(self, generation: Generation) -> None:
        """Run a new generation, or go on with a suspended one; ``notify`` tells what became of it.

        Raises:
            InvalidCall: the prompt is empty or has tokens that the model does not know, or the answer may have none.
            KVBudgetExceeded: it can never run.
            LLMCoreError: the engine does not run, or the generation is not new or suspended.
        """
        self._check(generation)
        before, generation.state = generation.state, "queued"
        if not self._send("submit", generation):
            generation.state = before
            reason = f": {self._failure}" if self._failure else ""
            raise LLMCoreError(f"the engine does not run{reason}") from self._failure

    def cancel(self, generation: Generation) -> None:
        """End a generation before its next step, and free its KV; nothing happens if it has ended."""
        self._send("cancel", generation)

    def _send(self, command: Literal["submit", "cancel"], generation: Generation) -> bool:
        with self._gate:
            taken = self._open
            if taken:
                self._inbox.append((command, generation))
        self._wake.set()
        return taken

    def _check(self, generation: Generation) -> None:
        prompt, vocabulary = generation.prompt, self._model.vocab_size
        if generation.state not in ("new", "suspended"):
            raise LLMCoreError(f"a generation that is {generation.state} cannot be submitted")
        if isinstance(generation.kv, Sequence) and generation.kv.released:
            raise LLMCoreError("the generation's KV was released: reload it before it goes on")
        if not prompt or min(prompt) < 0 or max(prompt) >= vocabulary:
            raise InvalidCall(
                f"the prompt has {len(prompt)} tokens; expected one at least, all from 0 to {vocabulary - 1}"
            )
        if generation.sampling.max_new_tokens < 1:
            raise InvalidCall(
                f"max_new_tokens is {generation.sampling.max_new_tokens}, expected 1 at least"
            )
        needed = self._needed_bytes(generation)
        if needed > self._options.kv_budget_bytes:
            raise KVBudgetExceeded(needed_bytes=needed, budget_bytes=self._options.kv_budget_bytes)

    def _needed_bytes(self, generation: Generation) -> int:
        tokens = len(generation.prompt) + generation.sampling.max_new_tokens
        return tokens * self._model.kv_bytes_per_token

    # From here on everything runs on the engine's thread.

    def _main(self) -> None:
        try:
            with torch.inference_mode():
                self._prepare()
                self._open = True
                self._ready.set()
                while not self._stopping:
                    self._turn()
        except BaseException as error:  # noqa: BLE001 - whatever ends the thread must end every generation
            self._failure = error
        finally:
            self._close()
            self._ready.set()

    def _prepare(self) -> None:
        options, model = self._options, self._model
        torch.set_num_threads(options.threads)
        cache = PrefixCache(
            fingerprint=model.fingerprint,
            block_tokens=options.prefill_chunk_tokens,
            budget_bytes=options.prefix_cache_bytes,
        )
        budget_tokens = options.kv_budget_bytes // model.kv_bytes_per_token
        self._stepper = Stepper(
            model.model,
            model.model.verified_row_blocks(options.row_block),
            make_kv_store(
                model,
                budget_tokens=budget_tokens,
                slots=options.slots,
                exact=options.row_block > 0,
            ),
            cache,
            prefill_budget_tokens=options.prefill_budget_tokens,
        )

    def _turn(self) -> None:
        self._wake.clear()
        while self._inbox:
            command, generation = self._inbox.popleft()
            self._enqueue(generation) if command == "submit" else self._cancel(generation)
        self._suspend()
        self._admit()
        if self._running:
            self._step()
        self._tell()
        if not (self._running or self._queue or self._inbox or self._stopping):
            self._wake.wait()

    def _enqueue(self, generation: Generation) -> None:
        if generation.state != "queued":
            return
        sequence = generation.kv
        if not isinstance(sequence, Sequence):
            sequence = generation.kv = Sequence(generation, self._model.kv_layout)
        sequence.produced = 0
        self._queue.append(sequence)

    def _cancel(self, generation: Generation) -> None:
        if generation.state not in _ENDED:
            self._end(generation, "cancelled")

    def _suspend(self) -> None:
        for sequence in list(self._running):
            limit = sequence.generation.time_slice.suspend_after_tokens
            if limit is not None and sequence.produced >= max(1, limit):
                try:
                    self._leave(sequence, keep=True)
                    self._set_state(sequence.generation, "suspended")
                except Exception as error:  # noqa: BLE001 - no memory to keep one must not end the others
                    self._fail(sequence.generation, error)

    def _admit(self) -> None:
        while self._queue and len(self._running) < self._options.slots:
            sequence = self._queue[0]
            needed = self._needed_bytes(sequence.generation)
            if self.stats.kv_bytes + needed > self._options.kv_budget_bytes:
                break
            self._queue.popleft()
            self.stats.kv_bytes += needed
            self._running.append(sequence)
            sequence.generation.state = "running"
            try:
                self._stepper.enter(sequence)
            except Exception as error:  # noqa: BLE001 - no memory for one must not end the others
                self._fail(sequence.generation, error)
        self.stats.queued, self.stats.running = len(self._queue), len(self._running)

    def _step(self) -> None:
        involved = list(self._running)
        try:
            segments = self._stepper.plan(self._running)
            involved = list(dict.fromkeys(segment.sequence for segment in segments))
            sampled, logits = self._stepper.compute(segments)
            if sampled:
                self._take_tokens(sampled, logits)
        except Exception as error:  # noqa: BLE001 - out of memory, say: what was in the step fails, the engine goes on
            _log.exception("a step of %d generations failed", len(involved))
            for sequence in involved:
                if sequence.generation.state == "running":
                    self._fail(sequence.generation, error)
        self.stats.steps += 1
        self.stats.prefilled, self.stats.cached = self._stepper.prefilled, self._stepper.cached

    def _take_tokens(self, sampled: list[Sequence], logits: torch.Tensor) -> None:
        rows = logits.float().cpu()
        values, best = (x.tolist() for x in rows.max(1))
        for row, sequence in enumerate(sampled):
            generation = sequence.generation
            if self.on_logits is not None:
                self.on_logits(generation, logits[row])
            try:
                greedy = is_plain(generation) and abs(values[row]) < float("inf")
                reason = take_token(sequence, rows[row], best[row] if greedy else None)
            except Exception as error:  # noqa: BLE001 - a constraint's or watch's fault is its generation's alone
                self._fail(sequence.generation, error)
                continue
            sequence.produced += 1
            self.stats.tokens += 1
            if reason is not None:
                generation.finish_reason = reason
                self._end(generation, "finished")
            elif generation.wants_tokens:
                self._changed[id(generation)] = generation

    def _leave(self, sequence: Sequence, *, keep: bool) -> None:
        self._stepper.leave(sequence, keep=keep)
        self._running.remove(sequence)
        self.stats.kv_bytes -= self._needed_bytes(sequence.generation)
        self.stats.running = len(self._running)

    def _fail(self, generation: Generation, error: BaseException) -> None:
        if isinstance(error, SyscallError):
            generation.error = error
        else:
            generation.error = LLMCoreError(
                f"the generation failed at token {len(generation.tokens)} of its answer: "
                f"{type(error).__name__}: {error}"
            )
            generation.error.__cause__ = error
        self._end(generation, "failed")

    def _end(self, generation: Generation, state: State) -> None:
        """Take a generation out, wherever it is."""
        sequence = generation.kv
        if isinstance(sequence, Sequence):
            if sequence in self._running:
                self._leave(sequence, keep=False)
            elif sequence in self._queue:
                self._queue.remove(sequence)
        generation.kv = None
        self._set_state(generation, state)

    def _set_state(self, generation: Generation, state: State) -> None:
        generation.state = state
        self._changed[id(generation)] = generation

    def _tell(self) -> None:
        if not self._changed:
            return
        changed, self._changed = list(self._changed.values()), {}
        try:
            self._notify(changed)
        except Exception:  # noqa: BLE001 - a fault of who is told must not end what others wait for
            _log.exception("notify failed; %d generations are not told", len(changed))

    def _close(self) -> None:
        """Nothing is taken any more; what is here ends."""
        with self._gate:
            self._open = False
        left = [sequence.generation for sequence in (*self._running, *self._queue)]
        left += [generation for command, generation in self._inbox if command == "submit"]
        self._inbox.clear()
        for generation in left:
            if self._failure is None:
                self._end(generation, "cancelled")
            else:
                self._fail(generation, self._failure)
        self._tell()
