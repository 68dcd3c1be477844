"""The engine: entry, tokens and ends of answers, what is told, what is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from agentkernel.api import InvalidCall, LLMCoreError
from agentkernel_core_transformers._engine import KVBudgetExceeded
from agentkernel_core_transformers._generation import Generation
from agentkernel_core_transformers._model import LoadedModel

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
