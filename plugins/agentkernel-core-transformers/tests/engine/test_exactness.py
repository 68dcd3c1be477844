"""Every answer has the same tokens and logits, bit for bit, alone and in any company, uninterrupted and not."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agentkernel_core_transformers import _snapshot
from agentkernel_core_transformers._engine import Engine, EngineOptions
from agentkernel_core_transformers._generation import Generation, SamplingParams
from agentkernel_core_transformers._model import LoadedModel, adopt_model
from agentkernel_core_transformers._rows import Linear

MODELS = [
    (family, dtype) for family in ("llama", "qwen2") for dtype in (torch.float32, torch.bfloat16)
]
SCHEDULES = 52  # of each model


class Job:
    """One answer: what is asked, and each of its logits rows with the runs it was made in."""

    def __init__(self, rng: random.Random, shared: list[int]) -> None:
        self.prompt = shared[: rng.choice((0, 0, 40, 96))] + rng.choices(
            range(211), k=rng.randint(1, 50)
        )
        sampled = rng.random() < 0.6
        self.sampling = SamplingParams(
            max_new_tokens=rng.randint(2, 14),
            temperature=rng.choice((0.7, 1.0, 1.5)) if sampled else 0.0,
            top_k=rng.choice((0, 0, 40)),
            top_p=rng.choice((1.0, 0.9)),
            min_p=rng.choice((0.0, 0.02)),
            repetition_penalty=rng.choice((1.0, 1.0, 1.2)),
            seed=rng.randrange(2**40),
            logprobs=rng.choice((None, 2)),
        )
        self.tenant = rng.choice(("one", "two"))
        self.rows: list[torch.Tensor] = []
        self.tokens: list[int] = []
        self.logprobs: list[Any] = []

    def begin(self) -> Generation:
        return Generation(self.prompt, self.sampling, tenant=self.tenant, wants_tokens=True)


class Play:
    """Plays jobs on engines: they join, are suspended, resumed, saved, released and moved to new engines at random."""

    def __init__(self, model: LoadedModel, rng: random.Random, folder: Path) -> None:
        self.model, self.rng, self.folder = model, rng, folder
        self.jobs: dict[int, Job] = {}
        self.waiting: list[Generation] = []
        self.active: list[Generation] = []
        self.suspended: list[Generation] = []
        self.failures: list[BaseException] = []
        self.interruptions = 0
        self.closing = False
        self.idle = threading.Event()

    def add(self, job: Job, generation: Generation) -> None:
        self.jobs[id(generation)] = job
        self.waiting.append(generation)

    def run(self, **options: int) -> None:
        """Until nothing is active: all ended, or (when it was closing) suspended."""
        self.idle.clear()
        self.closing = False
        self.engine = Engine(self.model, EngineOptions(**options), self._guarded)
        self.engine.on_logits = lambda g, row: self.jobs[id(g)].rows.append(row.clone())
        self.engine.start()
        self._join(1)
        assert self.idle.wait(60), "the engine fell silent"
        self.engine.stop()
        assert not self.failures, self.failures

    def _guarded(self, changed: list[Generation]) -> None:
        try:
            self._told(changed)
        except BaseException as error:  # noqa: BLE001 - the test fails with it, on its own thread
            self.failures.append(error)
            self.idle.set()

    def _told(self, changed: list[Generation]) -> None:
        """On the engine's thread, between two steps."""
        rng = self.rng
        for generation in changed:
            if generation.state == "running":
                generation.time_slice.suspend_after_tokens = rng.choice((None, None, 0, 1, 3))
                continue
            self.active.remove(generation)
            if generation.state == "suspended":
                self.interruptions += 1
                self.suspended.append(generation)
            else:
                assert generation.state == "finished", generation.error
                job = self.jobs[id(generation)]
                job.tokens, job.logprobs = generation.tokens, generation.logprobs
        self.closing = self.closing or rng.random() < 0.04
        if self.closing:
            for generation in self.active:
                generation.time_slice.suspend_after_tokens = 0
        else:
            self._resume()
            self._join(rng.choice((0, 1, 2)) if self.active else 1)
        if not self.active:
            self.idle.set()

    def _join(self, count: int) -> None:
        for _ in range(min(count, len(self.waiting))):
            self._submit(self.waiting.pop(self.rng.randrange(len(self.waiting))))

    def _resume(self) -> None:
        for generation in list(self.suspended):
            if self.active and self.rng.random() < 0.5:
                continue
            self.suspended.remove(generation)
            if self.rng.random() < 0.4:
                captured = _snapshot.capture(generation)
                _snapshot.write(captured, self.folder / str(id(generation)))
                if self.rng.random() < 0.5:
                    _snapshot.release(generation)
                    _snapshot.reload(generation)
            generation.time_slice.suspend_after_tokens = self.rng.choice((None, 1, 2, 5))
            self._submit(generation)

    def _submit(self, generation: Generation) -> None:
        self.active.append(generation)
        self.engine.submit(generation)

    def restart(self) -> None:
        """As another process: all that is left of a suspended generation is its folder."""
        for generation in self.suspended:
            folder = self.folder / str(id(generation))
            _snapshot.write(_snapshot.capture(generation), folder)
            loaded = _snapshot.load(self.model, folder)
            loaded.wants_tokens = True
            self.add(self.jobs[id(generation)], loaded)
        self.suspended.clear()


def alone(model: LoadedModel, jobs: list[Job], **options: int) -> None:
    """Run each job with nothing beside it, before it or after it in the batch, without cache or interruption."""
    left = len(jobs)
    done = threading.Event()

    def told(changed: list[Generation]) -> None:
        nonlocal left
        left -= len(changed)
        if not left:
            done.set()

    chosen = EngineOptions(**{"slots": 1, "prefix_cache_bytes": 0, **options})
    engine = Engine(model, chosen, told)
    generations = [Generation(job.prompt, job.sampling) for job in jobs]
    by_id = {id(g): job for g, job in zip(generations, jobs, strict=True)}
    engine.on_logits = lambda g, row: by_id[id(g)].rows.append(row.clone())
    engine.start()
    for generation in generations:
        engine.submit(generation)
    assert done.wait(60)
    engine.stop()
    for generation, job in zip(generations, jobs, strict=True):
        job.tokens, job.logprobs = generation.tokens, generation.logprobs


def make_jobs(seed: int) -> list[Job]:
    rng = random.Random(seed)
    shared = rng.choices(range(211), k=96)
    return [Job(rng, shared) for _ in range(rng.randint(2, 7))]


@pytest.mark.parametrize("seed", range(SCHEDULES))
@pytest.mark.parametrize(("family", "dtype"), MODELS)
def test_every_schedule_gives_the_bits_of_the_lone_run(
    family: str,
    dtype: torch.dtype,
    seed: int,
    model_of: Callable[[str, torch.dtype], LoadedModel],
    tmp_path: Path,
) -> None:
    model = model_of(family, dtype)
    expected, played = make_jobs(seed), make_jobs(seed)
    alone(model, expected)
    rng = random.Random(f"schedule {seed}")
    play = Play(model, rng, tmp_path)
    for job in played:
        play.add(job, job.begin())
    while play.waiting:
        play.run(
            slots=rng.randint(1, 8),
            prefill_budget_tokens=rng.choice((1, 32, 100, 256)),
            prefix_cache_bytes=rng.choice((0, 2**17, 2**24)),
            kv_budget_bytes=rng.choice((200 * model.kv_bytes_per_token, 2**30)),
        )
        play.restart()
    compare(expected, played)


def compare(expected: list[Job], played: list[Job]) -> None:
    for want, got in zip(expected, played, strict=True):
        assert got.tokens == want.tokens
        assert got.logprobs == want.logprobs
        assert len(got.rows) == len(want.rows) == want.sampling.max_new_tokens
        assert all(torch.equal(a, b) for a, b in zip(got.rows, want.rows, strict=True))


# Widths that are no multiple of a vector or a cache line, biases everywhere, one KV head.
ODD = {
    "hidden_size": 60,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "intermediate_size": 100,
    "attention_bias": True,
    "mlp_bias": True,
}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_of_odd_shapes_gives_the_bits_of_the_lone_run(
    hf: Any, dtype: torch.dtype, threads: int, tmp_path: Path
) -> None:
    model = adopt_model(hf("llama", dtype, **ODD))
    expected, played = make_jobs(threads), make_jobs(threads)
    alone(model, expected, threads=threads)
    play = Play(model, random.Random(threads), tmp_path)
    for job in played:
        play.add(job, job.begin())
    while play.waiting:
        play.run(threads=threads)
        play.restart()
    compare(expected, played)


@pytest.mark.parametrize(("row_block", "equal"), [(16, True), (0, False)])
def test_row_blocks_keep_the_bits_where_products_round_by_the_number_of_rows(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, row_block: int, equal: bool
) -> None:
    """As those of other libraries and processors do."""
    multiply = Linear.__call__

    def rounding(self: Linear, x: torch.Tensor) -> torch.Tensor:
        return multiply(self, x) * (1 if len(x) in (16, 64) else 1 + len(x) * 2**-20)

    monkeypatch.setattr(Linear, "__call__", rounding)
    together, lone = make_jobs(1), make_jobs(1)
    alone(model, lone, row_block=row_block)
    alone(model, together, row_block=row_block, slots=8)
    pairs = [
        pair
        for a, b in zip(lone, together, strict=True)
        for pair in zip(a.rows, b.rows, strict=True)
    ]
    assert all(torch.equal(a, b) for a, b in pairs) is equal


def test_the_schedules_do_interrupt(model: LoadedModel, tmp_path: Path) -> None:
    """Else the test above would show little."""
    rng = random.Random(3)
    play = Play(model, rng, tmp_path)
    for job in make_jobs(3):
        play.add(job, job.begin())
    engines = 0
    while play.waiting:
        play.run()
        play.restart()
        engines += 1
    assert play.interruptions >= 10
    assert engines >= 2
