"""Random schedules for `exactness.py`: what is asked, when it comes and goes, and how the engine is set up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

MODELS: tuple[tuple[Literal["Llama", "Qwen2"], Literal["float32", "bfloat16"]], ...] = (
    ("Llama", "float32"),
    ("Llama", "bfloat16"),
    ("Qwen2", "float32"),
    ("Qwen2", "bfloat16"),
)
"""Schedules take them in turn."""
LONGEST_PREFIX = 96


@dataclass(frozen=True)
class Job:
    """One answer.

    Attributes:
        prompt: token ids; jobs of a schedule share beginnings.
        sampling: of `SamplingParams`.
        tenant: whose.
        arrives: step of its arrival.
        cancelled: the step in which it is cancelled, None never.
    """

    prompt: tuple[int, ...]
    sampling: dict[str, Any]
    tenant: str
    arrives: int
    cancelled: int | None


@dataclass(frozen=True)
class Schedule:
    """Jobs on one engine, and its end. Steps are notifications of the engine.

    Attributes:
        seed: of the schedule, and of what happens at each suspension.
        family, dtype: the model.
        jobs: in the order of arrival.
        options: of `EngineOptions`; of those that the exactness rests on, none differs from the default.
        ends: the step in which the process is over; another process goes on from what is on disk.
        crashes: it ends without saving what it runs.
    """

    seed: int
    family: Literal["Llama", "Qwen2"]
    dtype: Literal["float32", "bfloat16"]
    jobs: tuple[Job, ...]
    options: dict[str, int]
    ends: int
    crashes: bool


def schedule(seed: int, vocabulary: range) -> Schedule:
    """The schedule of that seed, the same in every process."""
    rng = random.Random(seed)
    family, dtype = MODELS[seed % len(MODELS)]
    prefix = rng.choices(vocabulary, k=LONGEST_PREFIX)
    jobs = [_job(rng, prefix, vocabulary) for _ in range(rng.randint(3, 8))]
    jobs.sort(key=lambda job: job.arrives)
    options = {
        "slots": rng.randint(1, 6),
        "prefill_budget_tokens": rng.choice((32, 64, 256)),
        "prefix_cache_bytes": rng.choice((0, 2**16, 2**24)),
    }
    return Schedule(
        seed, family, dtype, tuple(jobs), options, rng.randint(5, 60), rng.random() < 0.5
    )


def _job(rng: random.Random, prefix: list[int], vocabulary: range) -> Job:
    prompt = prefix[: rng.choice((0, 0, 32, 70, 96))]
    prompt += rng.choices(vocabulary, k=rng.randint(1, 70))
    arrives = rng.choice((0, 0, rng.randint(0, 30)))
    cancelled = arrives + rng.randint(1, 20) if rng.random() < 0.1 else None
    return Job(tuple(prompt), _sampling(rng), rng.choice(("one", "one", "two")), arrives, cancelled)


def _sampling(rng: random.Random) -> dict[str, Any]:
    params: dict[str, Any] = {"max_new_tokens": rng.randint(4, 24)}
    if rng.random() < 0.5:
        params |= {"temperature": rng.choice((0.7, 1.0, 1.5)), "seed": rng.randrange(2**31)}
        params |= rng.choice(({}, {"top_k": 20}, {"top_p": 0.9}, {"min_p": 0.05}))
    if rng.random() < 0.25:
        params["repetition_penalty"] = 1.2
    return params
