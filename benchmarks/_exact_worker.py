"""A process of `exactness.py`: it talks in lines of JSON, and plays schedules on engines of its own.

`alone` computes every answer of a schedule by itself. `begin` plays a schedule until its end and leaves what is not
finished on disk; `go_on`, in another process, loads that and plays the rest. Answers come as tokens and as a digest of
each logits row.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from _exact_schedules import Job, Schedule, schedule
from _local import FIRST_PLAIN_TOKEN, VOCABULARY, quiet, running

from agentkernel.api import TimeSlice
from agentkernel_core_transformers import _snapshot
from agentkernel_core_transformers._engine import Engine
from agentkernel_core_transformers._generation import Generation, SamplingParams
from agentkernel_core_transformers._model import LoadedModel, load_model

Found = dict[str, dict[str, Any]]
"""By job: `tokens` (None without an end), whether it is `unfinished`, and `rows`: position to digests."""

WAIT_S = 120.0


class Rows:
    """Digests of the logits rows of generations, by position; the engine's `on_logits`."""

    def __init__(self) -> None:
        self.names: dict[int, int] = {}
        self.digests: dict[int, dict[int, list[str]]] = {}

    def __call__(self, generation: Generation, row: torch.Tensor) -> None:
        digest = hashlib.blake2b(row.contiguous().cpu().view(torch.uint8).numpy(), digest_size=8)
        rows = self.digests.setdefault(self.names[id(generation)], {})
        rows.setdefault(len(generation.tokens), []).append(digest.hexdigest())


class Play:
    """One schedule on one engine. What happens, happens on the engine's thread, between two steps.

    Args:
        plan: the schedule.
        folder: of this schedule; each job's context has a folder in it, named by the job's place.
        model: as loaded.
        jobs: those to play here.
        ends: the step after which the process is over; None plays until all is finished.
    """

    def __init__(
        self,
        plan: Schedule,
        folder: Path,
        model: LoadedModel,
        jobs: Sequence[int],
        ends: int | None,
    ) -> None:
        self._plan, self._folder, self._ends = plan, folder, ends
        self._rng = random.Random(f"{plan.seed} {ends}")
        self._rows = Rows()
        self._lock = threading.Lock()
        self._step = 0
        self._due: list[tuple[int, Callable[[], None]]] = []
        self._live: dict[int, Generation] = {}
        self._parked: set[int] = set()
        self._spilled: set[int] = set()
        self._late: dict[int, Callable[[], None]] = {}
        self._ending = self._crashed = False
        self._over = threading.Event()
        self._error: Exception | None = None
        self.events: Counter[str] = Counter()
        self.answers: dict[int, list[int]] = {}
        self.generations = {place: self._generation(place, model) for place in jobs}

    def play(self, engine: Engine) -> Found:
        """Play, and leave on disk what is not finished.

        Raises:
            RuntimeError: a generation failed, or nothing happened for a long time.
        """
        self._engine = engine
        engine.on_logits = self._rows
        with self._lock:
            for place, generation in self.generations.items():
                self._arrive(place, generation)
            self._advance()
        if not self._over.wait(WAIT_S):
            raise RuntimeError(
                f"schedule {self._plan.seed} hangs at step {self._step}: {self._live}"
            )
        engine.stop()
        if self._error is not None:
            raise RuntimeError(f"schedule {self._plan.seed} failed") from self._error
        if not self._crashed:
            for place, generation in self._live.items():
                if generation.state == "suspended" and place not in self._spilled:
                    self._save(place)
        return self._found()

    def notify(self, generations: list[Generation]) -> None:
        """The engine's callback: one step."""
        with self._lock:
            if self._crashed or self._error is not None:
                return
            try:
                self._step += 1
                for generation in generations:
                    self._changed(generation)
                if not self._ending and self._ends is not None and self._step >= self._ends:
                    self._end()
                self._advance()
            except Exception as error:  # noqa: BLE001 - reported by `play`, whatever it is
                self._error = error
                self._over.set()

    def _arrive(self, place: int, generation: Generation) -> None:
        job = self._plan.jobs[place]
        self._live[place] = generation
        self._parked.add(place)
        arrives = job.arrives if generation.state == "new" else self._rng.randint(0, 5)
        self._at(arrives, lambda: self._submit(place))
        if job.cancelled is not None:
            self._at(job.cancelled, lambda: self._cancel(place))

    def _changed(self, generation: Generation) -> None:
        place = self._rows.names[id(generation)]
        if self._live.get(place) is not generation:
            return
        if generation.state == "suspended":
            self.events["suspensions"] += 1
            self._parked.add(place)
            if not self._ending:
                self._suspended(place)
        elif generation.state == "finished":
            self.answers[place] = list(self._live.pop(place).tokens)
        elif generation.state == "cancelled":
            del self._live[place]
            self.events["cancelled"] += 1
        elif generation.state == "failed":
            raise RuntimeError(f"job {place} failed") from generation.error

    def _suspended(self, place: int) -> None:
        """One of: go on at once, later, from disk, at once while an earlier state is being saved."""
        later = self._step + self._rng.randint(1, 8)
        what = self._rng.random()
        if what < 0.4:
            self._submit(place)
        elif what < 0.6:
            self._at(later, lambda: self._submit(place))
        elif what < 0.85:
            self._save(place)
            _snapshot.release(self._live[place])
            self._spilled.add(place)
            self.events["spills"] += 1
            self._at(later, lambda: self._reload(place))
        else:
            captured = _snapshot.capture(self._live[place])
            self._late[place] = lambda: self._write(place, captured)
            self._at(later, lambda: self._write_late(place))
            self._submit(place)

    def _submit(self, place: int) -> None:
        if place in self._live and not self._ending:
            self._parked.discard(place)
            slices = (None, 1, 1, 2, 3, 6)
            self._live[place].time_slice.suspend_after_tokens = self._rng.choice(slices)
            self._engine.submit(self._live[place])

    def _reload(self, place: int) -> None:
        if place in self._live and not self._ending:
            _snapshot.reload(self._live[place])
            self._spilled.discard(place)
            self._submit(place)

    def _cancel(self, place: int) -> None:
        if place in self._live and not self._ending:
            if place in self._parked:
                del self._live[place]
                self._parked.discard(place)
                self.events["cancelled"] += 1
            else:
                self._engine.cancel(self._live[place])

    def _save(self, place: int) -> None:
        self._write_late(place)
        self._write(place, _snapshot.capture(self._live[place]))

    def _write_late(self, place: int) -> None:
        if write := self._late.pop(place, None):
            write()

    def _write(self, place: int, captured: Any) -> None:
        if place in self._live:
            _snapshot.write(captured, self._folder / str(place))
            self.events["saves"] += 1

    def _end(self) -> None:
        """The process is over: everything that runs is suspended, or, in a crash, lost since its last save."""
        self._ending = True
        if self._plan.crashes:
            self._crashed = True
            self._over.set()
        for generation in self._live.values():
            generation.time_slice.suspend_after_tokens = 1

    def _at(self, step: int, action: Callable[[], None]) -> None:
        self._due.append((step, action))

    def _advance(self) -> None:
        """Do what is due; when nothing runs, what is due next."""
        while not self._ending:
            idle = not (self._live.keys() - self._parked)
            if idle and self._due and self._live:
                self._step = max(self._step, min(step for step, _ in self._due))
            ready = [each for each in self._due if each[0] <= self._step]
            if not ready:
                break
            self._due = [each for each in self._due if each not in ready]
            for _, action in ready:
                action()
        if not (self._live.keys() - self._parked if self._ending else self._live):
            self._over.set()

    def _generation(self, place: int, model: LoadedModel) -> Generation:
        """New, or from the disk of the process before."""
        job = self._plan.jobs[place]
        folder = self._folder / str(place)
        if folder.exists():
            generation = _snapshot.load(model, folder)
            generation.wants_tokens = True
            self.events["loads"] += 1
        else:
            generation = new(job)
        self._rows.names[id(generation)] = place
        return generation

    def _found(self) -> Found:
        return {
            str(place): {
                "tokens": self.answers.get(place),
                "unfinished": place in self._live,
                "rows": self._rows.digests.get(place, {}),
            }
            for place in self.generations
        }


def new(job: Job) -> Generation:
    sampling = SamplingParams(**job.sampling)
    return Generation(
        job.prompt, sampling, tenant=job.tenant, wants_tokens=True, time_slice=TimeSlice()
    )


class Worker:
    """Answers the messages; loads each model once."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder, self._device = folder, device
        self._models: dict[str, LoadedModel] = {}

    def _plan(self, seed: int) -> tuple[Schedule, LoadedModel]:
        plan = schedule(seed, range(FIRST_PLAIN_TOKEN, VOCABULARY))
        name = f"{plan.family}-tiny-{plan.dtype}"
        if name not in self._models:
            folder = self._folder / name
            self._models[name] = load_model(folder, dtype=plan.dtype, device=self._device)
        return plan, self._models[name]

    def alone(self, seed: int) -> dict[str, Any]:
        """Every job by itself, without interruption or prefix cache."""
        plan, model = self._plan(seed)
        rows = Rows()
        found = {}
        with running(model, prefix_cache_bytes=0) as bench:
            bench.engine.on_logits = rows
            for place, job in enumerate(plan.jobs):
                generation = new(job)
                rows.names[id(generation)] = place
                bench.answer([generation])
                digests = rows.digests[place]
                found[str(place)] = {"tokens": generation.tokens, "rows": digests}
        return {"jobs": found}

    def begin(self, seed: int, folder: str) -> dict[str, Any]:
        """The first process."""
        plan, _ = self._plan(seed)
        return self._play(seed, folder, range(len(plan.jobs)), ends=plan.ends)

    def go_on(self, seed: int, folder: str, jobs: list[int]) -> dict[str, Any]:
        """The second process: `jobs` are those that the first did not finish."""
        return self._play(seed, folder, jobs, ends=None)

    def _play(
        self, seed: int, folder: str, jobs: Sequence[int], ends: int | None
    ) -> dict[str, Any]:
        plan, model = self._plan(seed)
        play = Play(plan, Path(folder), model, jobs, ends)
        with running(model, notify=play.notify, **plan.options) as bench:
            found = play.play(bench.engine)
        cached = sum(each.cached_tokens for each in play.generations.values())
        return {"jobs": found, "events": play.events | Counter(cached=cached)}


def main() -> None:
    quiet()
    worker = Worker(Path(sys.argv[1]), device=sys.argv[2])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        try:
            answer = getattr(worker, message.pop("do"))(**message)
        except Exception as error:  # noqa: BLE001 - the parent ends with it
            answer = {"error": f"{error!r}, caused by {error.__cause__!r}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
