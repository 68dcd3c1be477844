"""Suspension, cancellation, faults and the end of the engine. Nothing that is submitted stays without an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from agentkernel.api import InvalidCall, LLMCoreError
from agentkernel_core_transformers._engine import Engine, EngineOptions
from agentkernel_core_transformers._generation import Generation
from agentkernel_core_transformers._model import LoadedModel
from agentkernel_core_transformers._step import Stepper

Make = Callable[..., Generation]


class TestSuspension:
    @pytest.mark.parametrize("tokens", [0, 1, 2, 5])
    def test_a_run_produces_as_many_tokens_as_its_slice_and_one_at_least(
        self, start: Any, generation: Make, tokens: int
    ) -> None:
        harness = start()
        whole, parts = generation(11), generation(11)
        harness.run(whole)
        parts.time_slice.suspend_after_tokens = tokens
        lengths = []
        while parts.state != "finished":
            harness.run(parts)
            lengths.append(len(parts.tokens))
        size = max(1, tokens)
        assert lengths == [min(n, 11) for n in range(size, 11 + size, size)]
        assert parts.tokens == whole.tokens

    def test_slices_of_one_token_bring_all_to_their_end(self, start: Any, generation: Make) -> None:
        harness = start(slots=2)
        many = [generation(10, first=i) for i in range(7)]
        left = list(many)
        for one in many:
            one.time_slice.suspend_after_tokens = 1
        while left:
            harness.run(*left)
            left = [one for one in left if one.state == "suspended"]
        assert all(len(one.tokens) == 10 for one in many)

    def test_a_slice_set_meanwhile_counts_from_the_runs_beginning(
        self, start: Any, generation: Make
    ) -> None:
        harness = start()
        one = generation(30, wants_tokens=True)

        def after_four(changed: list[Generation]) -> None:
            if len(one.tokens) == 4:
                one.time_slice.suspend_after_tokens = 2

        harness.on_told = after_four
        harness.run(one)
        assert (one.state, len(one.tokens)) == ("suspended", 4)

    def test_a_suspended_generation_takes_no_slot_and_no_budget(
        self, start: Any, generation: Make, model: LoadedModel
    ) -> None:
        harness = start(slots=1, kv_budget_bytes=20 * model.kv_bytes_per_token)
        one, other = generation(15), generation(15, first=2)
        one.time_slice.suspend_after_tokens = 3
        harness.run(one)
        harness.run(other)
        assert other.state == "finished"
        assert harness.engine.stats.kv_bytes == 0

    def test_it_goes_on_without_prefill(self, start: Any, generation: Make) -> None:
        harness = start()
        one = generation(9, prompt=list(range(50)))
        one.time_slice.suspend_after_tokens = 2
        harness.run(one)
        harness.run(one)
        assert harness.engine.stats.prefilled == 50


class TestCancellation:
    def test_a_running_generation_stops_before_its_next_step(
        self, start: Any, generation: Make
    ) -> None:
        harness = start()
        one = generation(100, wants_tokens=True)

        def at_three(changed: list[Generation]) -> None:
            if len(one.tokens) == 3:
                harness.engine.cancel(one)

        harness.on_told = at_three
        harness.run(one)
        assert (one.state, len(one.tokens), one.kv) == ("cancelled", 3, None)
        assert harness.engine.stats.kv_bytes == 0

    def test_a_queued_generation_never_runs(self, start: Any, generation: Make) -> None:
        harness = start(slots=1)
        runs, waits = generation(20, wants_tokens=True), generation(20)
        harness.on_told = lambda changed: harness.engine.cancel(waits)
        harness.run(runs, waits)
        assert (runs.state, waits.state, waits.tokens) == ("finished", "cancelled", [])

    def test_a_suspended_generation_loses_its_kv(self, start: Any, generation: Make) -> None:
        harness = start()
        one = generation()
        one.time_slice.suspend_after_tokens = 1
        harness.run(one)
        harness.engine.cancel(one)
        harness.wait(lambda: one.state == "cancelled")
        assert one.kv is None

    def test_an_end_stays_what_it_was(self, start: Any, generation: Make) -> None:
        harness = start()
        one, other = generation(), generation()
        harness.run(one)
        harness.engine.cancel(one)
        harness.run(other)
        assert one.state == "finished"

    def test_the_others_go_on_unchanged(self, start: Any, generation: Make) -> None:
        harness = start()
        whole = generation(12)
        harness.run(whole)
        same, other = generation(12, wants_tokens=True), generation(50, first=3)
        harness.on_told = lambda changed: harness.engine.cancel(other)
        harness.run(same, other)
        assert same.tokens == whole.tokens


class Fault(Exception):
    """A plugin's."""


class TestFaults:
    @pytest.mark.parametrize("where", ["active", "mask", "accept", "watch"])
    def test_a_fault_of_a_constraint_or_watch_fails_its_generation_only(
        self, start: Any, generation: Make, where: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fault(*args: Any) -> Any:
            raise Fault("broken")

        class Broken:
            active = True

            def mask(self, logits: torch.Tensor) -> None:
                pass

            def accept(self, token: int) -> None:
                pass

        monkeypatch.setattr(
            Broken, where, property(fault) if where == "active" else fault, raising=False
        )
        broken = (
            generation(5, watch=fault) if where == "watch" else generation(5, constraint=Broken())
        )
        fine = generation(5, first=2)
        harness = start()
        harness.run(broken, fine)
        assert broken.state == "failed"
        assert isinstance(broken.error, LLMCoreError)
        assert isinstance(broken.error.__cause__, Fault)
        assert (broken.kv, fine.state) == (None, "finished")
        assert harness.engine.stats.kv_bytes == 0

    def test_a_typed_error_stays_itself(self, start: Any, generation: Make) -> None:
        mine = InvalidCall("not so")

        def watch(token: int) -> bool:
            raise mine

        one = generation(watch=watch)
        start().run(one)
        assert one.error is mine

    def test_logits_that_are_no_numbers_fail_their_generation(
        self, start: Any, generation: Make
    ) -> None:
        harness = start()
        poisoned, fine = generation(5), generation(5, first=2)

        def poison(of: Generation, logits: torch.Tensor) -> None:
            if of is poisoned:
                logits.fill_(float("nan"))

        compute = harness.engine._stepper.compute

        def computing(segments: Any) -> Any:
            sampled, logits = compute(segments)
            for sequence, row in zip(sampled, logits, strict=True):
                poison(sequence.generation, row)
            return sampled, logits

        harness.engine._stepper.compute = computing
        harness.run(poisoned, fine)
        assert "no token can be chosen" in str(poisoned.error)
        assert fine.state == "finished"

    def test_a_failed_step_fails_what_was_in_it_and_the_engine_goes_on(
        self, start: Any, generation: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness = start()
        compute = Stepper.compute

        def no_memory(self: Stepper, segments: Any) -> Any:
            raise RuntimeError("not enough memory")

        monkeypatch.setattr(Stepper, "compute", no_memory)
        two = [generation(), generation(first=2)]
        harness.run(*two)
        assert all(one.state == "failed" for one in two)
        assert "not enough memory" in str(two[0].error)
        assert (harness.engine.stats.kv_bytes, harness.engine.stats.running) == (0, 0)
        monkeypatch.setattr(Stepper, "compute", compute)
        three = generation()
        harness.run(three)
        assert three.state == "finished"

    def test_no_memory_for_the_kv_of_one_fails_that_one(
        self, start: Any, generation: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness = start()
        large, fine = generation(5), generation(6)
        enter = Stepper.enter

        def no_memory(self: Stepper, sequence: Any) -> None:
            if sequence.generation is large:
                raise RuntimeError("not enough memory")
            enter(self, sequence)

        monkeypatch.setattr(Stepper, "enter", no_memory)
        harness.run(large, fine)
        assert (large.state, fine.state) == ("failed", "finished")
        assert harness.engine.stats.kv_bytes == 0

    def test_the_end_of_the_thread_fails_everything_and_refuses_what_comes(
        self, start: Any, generation: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        harness = start(slots=1)

        def dies(self: Engine) -> None:
            raise SystemExit("dead")

        two = [generation(500), generation(500)]
        monkeypatch.setattr(Engine, "_admit", dies)
        for one in two:
            harness.engine.submit(one)
        harness.settle(two)
        assert [one.state for one in two] == ["failed", "failed"]
        late = generation()
        with pytest.raises(LLMCoreError, match="does not run: dead"):
            harness.engine.submit(late)
        assert late.state == "new"


class TestStop:
    def test_what_runs_or_waits_is_cancelled(self, start: Any, generation: Make) -> None:
        harness = start(slots=1)
        runs, waits = generation(900, wants_tokens=True), generation(900)
        harness.engine.submit(runs)
        harness.engine.submit(waits)
        harness.wait(lambda: len(harness.told) > 2)
        harness.engine.stop()
        assert [runs.state, waits.state] == ["cancelled", "cancelled"]
        assert {id(one) for one in harness.told[-1]} == {id(runs), id(waits)}

    def test_it_may_be_stopped_twice_and_takes_nothing_after(
        self, start: Any, generation: Make
    ) -> None:
        harness = start()
        harness.engine.stop()
        harness.engine.stop()
        with pytest.raises(LLMCoreError, match="does not run"):
            harness.engine.submit(generation())

    def test_an_engine_that_never_started_can_be_stopped(self, model: LoadedModel) -> None:
        Engine(model, EngineOptions(), lambda changed: None).stop()
