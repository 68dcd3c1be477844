"""The engine's life: entry, ends, suspension, cancellation, faults. Nothing that is submitted stays without an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from agentkernel.api import InvalidCall, LLMCoreError
from agentkernel_core_transformers._engine import Engine, EngineOptions, KVBudgetExceeded
from agentkernel_core_transformers._generation import Generation
from agentkernel_core_transformers._model import LoadedModel
from agentkernel_core_transformers._step import Stepper

Make = Callable[..., Generation]


class OnlyTokens:
    """A constraint: from the answer's ``begin``-th token on, only ``allowed`` may come."""

    def __init__(self, allowed: list[int], begin: int = 0) -> None:
        self.allowed, self.begin = allowed, begin
        self.accepted: list[int] = []

    @property
    def active(self) -> bool:
        return len(self.accepted) >= self.begin

    def mask(self, logits: torch.Tensor) -> None:
        assert logits.dtype == torch.float32
        kept = logits[self.allowed].clone()
        logits.fill_(float("-inf"))
        logits[self.allowed] = kept

    def accept(self, token: int) -> None:
        self.accepted.append(token)


class TestEnds:
    def test_the_longest_answer_ends_with_length(self, start: Any, generation: Make) -> None:
        one = generation(7)
        start().run(one)
        assert (one.state, one.finish_reason, len(one.tokens)) == ("finished", "length", 7)

    def test_an_end_token_ends_the_answer_and_is_no_part_of_it(
        self, start: Any, generation: Make
    ) -> None:
        harness = start()
        whole = generation(9)
        harness.run(whole)
        end = whole.tokens[4]
        one = generation(9, eos_ids=frozenset({end}), logprobs=0)
        harness.run(one)
        assert one.finish_reason == "stop"
        assert one.tokens == whole.tokens[: whole.tokens.index(end)]
        assert len(one.logprobs) == len(one.tokens)

    def test_a_watch_ends_the_answer_with_its_token(self, start: Any, generation: Make) -> None:
        seen: list[int] = []

        def watch(token: int) -> bool:
            seen.append(token)
            return len(seen) == 3

        one = generation(9, watch=watch)
        start().run(one)
        assert (one.finish_reason, one.tokens) == ("stop", seen)

    def test_a_finished_generation_holds_no_kv(self, start: Any, generation: Make) -> None:
        one = generation()
        start().run(one)
        assert one.kv is None

    def test_a_prompt_of_one_token_is_answered(self, start: Any, generation: Make) -> None:
        one = generation(3, prompt=[4])
        start().run(one)
        assert len(one.tokens) == 3


class TestConstraint:
    def test_only_allowed_tokens_come(self, start: Any, generation: Make) -> None:
        constraint = OnlyTokens([3, 8, 100])
        one = generation(12, constraint=constraint, temperature=1.0)
        start().run(one)
        assert set(one.tokens) <= {3, 8, 100}
        assert constraint.accepted == one.tokens

    def test_it_may_begin_in_mid_answer(self, start: Any, generation: Make) -> None:
        harness = start()
        free, one = generation(8), generation(8, constraint=OnlyTokens([3], begin=4))
        harness.run(free, one)
        assert one.tokens == free.tokens[:4] + [3] * 4

    def test_it_is_told_of_the_end_token(self, start: Any, generation: Make) -> None:
        constraint = OnlyTokens([9])
        one = generation(5, constraint=constraint, eos_ids=frozenset({9}))
        start().run(one)
        assert (one.tokens, constraint.accepted) == ([], [9])

    def test_logprobs_are_of_the_model_before_the_constraint(
        self, start: Any, generation: Make
    ) -> None:
        harness = start()
        free = generation(1, logprobs=1)
        one = generation(1, logprobs=1, constraint=OnlyTokens([3]))
        harness.run(free, one)
        assert one.logprobs[0].top == free.logprobs[0].top
        assert one.logprobs[0].token == 3


class TestTelling:
    def test_tokens_are_told_step_by_step_when_wanted(self, start: Any, generation: Make) -> None:
        harness = start()
        lengths: list[int] = []
        harness.on_told = lambda changed: lengths.append(len(changed[0].tokens))
        harness.run(generation(4, wants_tokens=True))
        assert lengths == [1, 2, 3, 4]

    def test_only_the_end_is_told_otherwise(self, start: Any, generation: Make) -> None:
        harness = start()
        harness.run(generation(6))
        assert len(harness.told) == 1

    def test_all_news_of_a_step_come_together(self, start: Any, generation: Make) -> None:
        harness = start()
        blocker = generation(40, wants_tokens=True)
        four = [generation(3, first=i) for i in range(4)]
        harness.engine.submit(blocker)
        harness.wait(lambda: bool(harness.told))
        for one in four:
            harness.engine.submit(one)
        harness.settle([blocker, *four])
        sizes = [len(changed) for changed in harness.told]
        assert sum(sizes) == 40 + 4

    def test_a_fault_of_who_is_told_ends_nothing(self, start: Any, generation: Make) -> None:
        harness = start()

        def broken(changed: list[Generation]) -> None:
            harness.on_told = None
            raise RuntimeError("the loop is closed")

        harness.on_told = broken
        one = generation(3, wants_tokens=True)
        harness.run(one)
        assert one.state == "finished"


class TestEntry:
    def test_the_slots_bound_the_batch(self, start: Any, generation: Make) -> None:
        harness = start(slots=3)
        most = 0

        def look(changed: list[Generation]) -> None:
            nonlocal most
            most = max(most, harness.engine.stats.running)

        harness.on_told = look
        harness.run(*(generation(6, first=i, wants_tokens=True) for i in range(9)))
        assert most == 3

    def test_the_kv_budget_bounds_what_is_reserved(
        self, start: Any, generation: Make, model: LoadedModel
    ) -> None:
        budget = 30 * model.kv_bytes_per_token
        harness = start(kv_budget_bytes=budget)
        most = 0

        def look(changed: list[Generation]) -> None:
            nonlocal most
            most = max(most, harness.engine.stats.kv_bytes)

        harness.on_told = look
        harness.run(*(generation(5, first=i, wants_tokens=True) for i in range(8)))
        assert most == budget  # three of ten tokens each
        assert harness.engine.stats.kv_bytes == 0

    def test_first_come_is_first_served(self, start: Any, generation: Make) -> None:
        """A small one does not overtake a large one that waits for room."""
        harness = start(slots=1)
        ended: list[Generation] = []
        harness.on_told = ended.extend
        order = [generation(n, first=n) for n in (9, 30, 1, 5)]
        harness.run(*order)
        assert ended == order

    def test_what_can_never_run_is_refused(
        self, start: Any, generation: Make, model: LoadedModel
    ) -> None:
        harness = start(kv_budget_bytes=20 * model.kv_bytes_per_token)
        one = generation(16)
        with pytest.raises(KVBudgetExceeded, match="kv_budget_mb") as caught:
            harness.engine.submit(one)
        assert caught.value.needed_bytes == 21 * model.kv_bytes_per_token
        assert one.state == "new"

    @pytest.mark.parametrize("prompt", [[], [-1], [211], [5, 10**9]])
    def test_a_prompt_that_the_model_does_not_know_is_refused(
        self, start: Any, generation: Make, prompt: list[int]
    ) -> None:
        with pytest.raises(InvalidCall, match="from 0 to 210"):
            start().engine.submit(generation(prompt=prompt))

    def test_an_answer_of_no_token_is_refused(self, start: Any, generation: Make) -> None:
        with pytest.raises(InvalidCall, match="max_new_tokens is 0"):
            start().engine.submit(generation(0))

    def test_a_generation_cannot_be_submitted_twice(self, start: Any, generation: Make) -> None:
        harness = start()
        one = generation()
        harness.run(one)
        with pytest.raises(LLMCoreError, match="that is finished"):
            harness.engine.submit(one)


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

        class Broken(OnlyTokens):
            pass

        monkeypatch.setattr(
            Broken, where, property(fault) if where == "active" else fault, raising=False
        )
        broken = (
            generation(5, watch=fault)
            if where == "watch"
            else generation(5, constraint=Broken([1]))
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


class TestStats:
    def test_they_count_steps_and_tokens(self, start: Any, generation: Make) -> None:
        harness = start(prefill_budget_tokens=32)
        harness.run(generation(5, prompt=list(range(70))))
        stats = harness.engine.stats
        # Three chunks in a step each, of which the last gives the first token.
        assert (stats.steps, stats.tokens, stats.prefilled) == (3 + 4, 5, 70)
        assert (stats.running, stats.queued) == (0, 0)

    def test_a_budget_below_a_chunk_still_advances(self, start: Any, generation: Make) -> None:
        one = generation(2, prompt=list(range(70)))
        start(prefill_budget_tokens=1).run(one)
        assert one.state == "finished"

    def test_decoding_goes_on_beside_a_long_prompt(self, start: Any, generation: Make) -> None:
        harness = start(prefill_budget_tokens=32)
        short, long = generation(40, wants_tokens=True), generation(1, prompt=[1] * 320)
        at_end: list[int] = []

        def look(changed: list[Generation]) -> None:
            if len(short.tokens) == 1:
                harness.engine.submit(long)
            if long in changed:
                at_end.append(len(short.tokens))

        harness.on_told = look
        harness.engine.submit(short)
        harness.settle([short])
        harness.settle([long])
        # Ten chunks of 32: a token of the other comes with each.
        assert at_end == [11]
