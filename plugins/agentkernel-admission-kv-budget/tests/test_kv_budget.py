"""The admission ``kv_budget``: the contract of admissions, and which programs are inside."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

import agentkernel_admission_kv_budget
from agentkernel import Kernel
from agentkernel.api import CallContext, CoreView, LLMCall, LLMCoreError, SettingsError, Usage
from agentkernel.testing import FakeCore
from agentkernel.testing.kits import AdmissionKit
from agentkernel_admission_kv_budget import KvBudget, KvBudgetOptions


class TestKvBudget(AdmissionKit):
    plugin = agentkernel_admission_kv_budget
    options: ClassVar = {"tokens_per_core": 400_000}
    recovery_s = 0.0


class TestKvBudgetOfSmallCaches(AdmissionKit):
    plugin = agentkernel_admission_kv_budget
    options: ClassVar = {"tokens_per_core": 1_000, "expected_output_tokens": 50, "forget_s": 30.0}
    recovery_s = 0.0


class TestKvBudgetByTenant(AdmissionKit):
    plugin = agentkernel_admission_kv_budget
    options: ClassVar = {"tokens_per_core": 1_000, "expected_output_tokens": 50, "by_tenant": True}
    recovery_s = 0.0


class Caches:
    """Cores behind the admission; by default one of 1,000 tokens, and answers are expected to be empty and dear."""

    def __init__(self, *cores: str, **options: Any) -> None:
        self.cores = [CoreView(name, None, 0) for name in cores or ("a",)]
        defaults = {
            "tokens_per_core": 1_000,
            "expected_output_tokens": 0,
            "output_cost": 1e9,
            "full": 1.0,
        }
        options = {**defaults, **options}
        self.admission = KvBudget(KvBudgetOptions(**options))
        self.now = 0.0

    def enter(self, program: str, tokens: int = 0, *, first: bool = True, **context: Any) -> bool:
        call = self._call(program, tokens, **context)
        return self.admission.enter(call, self.cores, first, self.now)

    def answer(self, program: str, tokens: int, core: str = "a", **context: Any) -> None:
        """A call of the program runs, and takes so many tokens in the end."""
        call = self._call(program, 0, **context)
        self.admission.acquire(call, CoreView(core, None, 0), self.now)
        self.admission.release(call, core, Usage(tokens - 10, 10), None, self.now)

    def _call(self, program: str, tokens: int, **context: Any) -> LLMCall:
        message = {"role": "user", "content": "x" * 4 * tokens}
        return LLMCall(messages=[message], context=CallContext(program=program, **context))


def test_new_programs_come_in_while_the_cache_has_room() -> None:
    caches = Caches()
    assert [caches.enter(f"program-{number}", 300) for number in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_new_programs_leave_free_what_is_above_full() -> None:
    caches = Caches(full=0.8)
    assert caches.enter("a", 500) and not caches.enter("b", 301) and caches.enter("c", 300)


def test_expected_output_counts() -> None:
    caches = Caches(expected_output_tokens=200)
    assert [caches.enter(f"program-{number}", 300) for number in range(3)] == [True, True, False]


def test_a_new_program_waits_for_those_that_are_held_before_it() -> None:
    caches = Caches()
    assert not caches.enter("later", 10, first=False)
    assert caches.enter("earlier", 10)


def test_a_program_that_is_alone_comes_in_however_large_it_is() -> None:
    caches = Caches()
    assert caches.enter("huge", 5_000)
    caches.answer("huge", 6_000)
    assert caches.enter("huge", 6_500)


def test_what_the_core_counted_takes_the_place_of_the_estimate() -> None:
    caches = Caches()
    caches.enter("a", 900)
    caches.answer("a", 100)
    assert caches.enter("b", 850)


def test_the_estimate_stands_where_the_core_counts_nothing() -> None:
    caches = Caches()
    call = caches._call("a", 900)
    caches.admission.enter(call, caches.cores, True, 0.0)
    caches.admission.acquire(call, caches.cores[0], 0.0)
    caches.admission.release(call, "a", Usage(), LLMCoreError("broke"), 1.0)
    assert not caches.enter("b", 200)


def test_a_program_keeps_its_place_while_it_runs_tools() -> None:
    caches = Caches()
    caches.enter("a", 500)
    caches.answer("a", 600)
    assert not caches.enter("b", 500)
    assert caches.enter("a", 650, first=False)


def test_a_program_that_comes_back_above_high_is_paused_for_one_before_it_and_returns_at_low() -> (
    None
):
    caches = Caches(low=0.6, high=0.7)
    for program, tokens in (("a", 300), ("b", 300), ("c", 100)):
        caches.enter(program)
        caches.answer(program, tokens)
    assert not caches.enter("a", 350, first=False)  # 750 of 1,000
    assert not caches.enter("a", 350)  # still 750: it comes back at 600
    caches.admission.program_closed("b")
    assert caches.enter("a", 350)  # 450


def test_a_program_that_comes_before_all_that_are_held_goes_on_up_to_full() -> None:
    caches = Caches(low=0.6, high=0.7, full=0.85)
    for program in ("a", "b"):
        caches.enter(program)
        caches.answer(program, 400)
    assert caches.enter("a", 450)
    assert not caches.enter("a", 451)


def test_a_program_stays_until_its_answers_have_cost_as_much_as_its_context() -> None:
    caches = Caches(low=0.6, high=0.7, full=0.8, output_cost=10.0)
    for program in ("a", "b"):
        caches.enter(program)
        caches.answer(program, 400)  # 10 tokens of each answer
    assert caches.enter(
        "a", 600, first=False
    )  # 1,000 of 1,000; 10 answer tokens cost as much as 100 of the prompt
    for _ in range(5):
        caches.answer("a", 600)
    assert not caches.enter("a", 600, first=False)


def test_a_program_that_has_not_earned_its_context_is_paused_when_the_cache_is_full() -> None:
    caches = Caches(low=0.6, high=0.7, full=0.8, output_cost=1.0)
    for program in ("a", "b"):
        caches.enter(program)
        caches.answer(program, 400)
    assert not caches.enter("a", 601, first=False)


def test_what_a_program_got_done_before_it_was_paused_does_not_count_afterwards() -> None:
    caches = Caches(low=0.6, high=0.7, output_cost=10.0)
    for program in ("a", "b"):
        caches.enter(program)
        caches.answer(program, 300)
    for _ in range(4):
        caches.answer("a", 401)
    assert not caches.enter("a", first=False)  # 701, and its 50 tokens were worth 500
    caches.answer("b", 100)
    assert caches.enter("a")
    caches.answer("b", 500)
    assert caches.enter("a", first=False)


def test_the_expected_answer_counts_where_the_core_counts_nothing() -> None:
    caches = Caches(low=0.6, high=0.7, output_cost=1.0, expected_output_tokens=300)
    caches.enter("b")  # 300 tokens
    call = caches._call("a", 110)
    caches.admission.enter(call, caches.cores, True, 0.0)
    assert caches.enter("a", 110, first=False)  # 710
    for _ in range(2):
        caches.admission.acquire(call, caches.cores[0], 0.0)
        caches.admission.release(call, "a", Usage(), None, 0.0)
    assert not caches.enter("a", 110, first=False)


def test_a_paused_program_gives_up_its_place() -> None:
    caches = Caches()
    for program in ("a", "b"):
        caches.enter(program)
        caches.answer(program, 400)
    assert not caches.enter("new", 300)
    assert not caches.enter("a", 450, first=False)
    assert caches.enter("new", 300)


def test_a_tenant_below_its_share_comes_in_and_stays_whatever_another_takes() -> None:
    caches = Caches(by_tenant=True)
    caches.enter("heavy", 900, tenant="heavy")
    assert not caches.enter("more", 100, first=False, tenant="heavy")
    assert caches.enter("light", 300, first=False, tenant="light")  # half of 700 is its share
    assert caches.enter("light", 350, first=False, tenant="light")
    assert not caches.enter("heavy", 900, first=False, tenant="heavy")


def test_a_tenant_above_its_share_waits_for_its_turn() -> None:
    caches = Caches(by_tenant=True)
    caches.enter("heavy", 600, tenant="heavy")
    assert caches.enter("light", 300, first=False, tenant="light")
    assert not caches.enter("more", 60, first=False, tenant="light")


def test_the_more_tenants_are_inside_the_smaller_is_the_share_of_each() -> None:
    caches = Caches(by_tenant=True, high=0.6)
    assert [
        caches.enter(tenant, 250, first=tenant == "a", tenant=tenant) for tenant in ("a", "b", "c")
    ] == [True, True, False]


def test_a_tenant_that_is_alone_has_no_share_that_lets_it_pass_what_is_held() -> None:
    caches = Caches(by_tenant=True)
    caches.enter("a", 100)
    assert not caches.enter("b", 100, first=False)


def test_without_by_tenant_a_light_tenant_waits_like_the_others() -> None:
    caches = Caches()
    caches.enter("heavy", 900, tenant="heavy")
    assert not caches.enter("light", 10, first=False, tenant="light")


def test_a_closed_program_gives_up_its_place() -> None:
    caches = Caches()
    caches.enter("a", 900)
    caches.admission.program_closed("a")
    assert caches.enter("b", 900) and not caches.enter("c", 900)


def test_a_program_that_is_not_heard_of_is_forgotten() -> None:
    caches = Caches(forget_s=60.0)
    caches.enter("a", 900)
    caches.now = 59.0
    assert not caches.enter("b", 200)
    caches.now = 61.0
    assert caches.enter("b", 200)


def test_a_program_whose_call_runs_long_is_not_forgotten() -> None:
    caches = Caches(forget_s=60.0)
    call = caches._call("a", 900)
    caches.admission.enter(call, caches.cores, True, 0.0)
    caches.admission.acquire(call, caches.cores[0], 0.0)
    caches.now = 1_000.0
    assert not caches.enter("b", 200)


def test_a_program_within_a_resident_one_comes_in() -> None:
    caches = Caches()
    caches.enter("outer", 900)
    assert caches.enter("inner", 900, first=False, ancestors=("outermost", "outer"))
    assert not caches.enter("other", 900, first=False, ancestors=("outermost",))


def test_a_program_let_in_by_the_kernel_counts() -> None:
    caches = Caches()
    caches.enter("a", 900)
    assert not caches.enter("forced", 900)
    caches.answer("forced", 900)
    caches.admission.program_closed("a")
    assert not caches.enter("b", 200)


def test_each_agent_of_a_program_has_a_context() -> None:
    caches = Caches()
    caches.enter("a")
    caches.answer("a", 400, agent="writer")
    caches.answer("a", 400, agent="critic")
    assert not caches.enter("b", 300)


def test_each_core_has_a_cache() -> None:
    caches = Caches("a", "b")
    assert [caches.enter(f"program-{number}", 600) for number in range(3)] == [True, True, False]


def test_a_program_counts_on_the_core_that_has_its_context() -> None:
    caches = Caches("a", "b")
    for program in ("one", "two"):
        caches.enter(program)
        caches.answer(program, 400, core="a")
    assert caches.enter("new", 900)  # on b
    assert not caches.enter("one", 450, first=False)  # a is taken above high


def test_cores_of_other_models_do_not_count() -> None:
    caches = Caches("small")
    caches.enter("a", 900)
    caches.cores = [CoreView("large", None, 0)]
    assert caches.enter("b", 900)


def test_text_in_parts_counts_and_images_do_not() -> None:
    caches = Caches()
    parts = [
        {"type": "text", "text": "x" * 3_600},
        {"type": "image_url", "image_url": {"url": "data:" + "x" * 100_000}},
    ]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": None}]
    caches.admission.enter(LLMCall(messages=messages), caches.cores, True, 0.0)
    assert caches.enter("b", 100) and not caches.enter("c", 100)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tokens_per_core": 0},
        {"tokens_per_core": 9, "low": 0.9},
        {"tokens_per_core": 9, "high": 0},
        {"tokens_per_core": 9, "high": 0.9},
        {"tokens_per_core": 9, "full": 0.6},
    ],
)
def test_options_are_validated(options: dict[str, object]) -> None:
    settings = {"kernel": {"admission": ["kv_budget"]}, "admission": {"kv_budget": options}}
    with pytest.raises(SettingsError, match=r"admission\.kv_budget"), Kernel(settings) as kernel:
        kernel.start()


def test_more_programs_than_the_cache_holds_all_end() -> None:
    settings = {
        "kernel": {"admission": ["slots", "kv_budget"]},
        "admission": {"kv_budget": {"tokens_per_core": 1_000}},
    }
    with Kernel(settings) as kernel:
        kernel.add_core("fake", FakeCore())
        programs = [kernel.open_program("agent") for _ in range(20)]
        tickets = [
            kernel.submit(
                LLMCall(
                    messages=[{"role": "user", "content": "x" * 1_000}],
                    context=CallContext(program=program.id),
                )
            )
            for program in programs
        ]
        assert all(ticket.result(timeout_s=30.0) for ticket in tickets)
