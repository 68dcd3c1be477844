"""Programs that are rebuilt from recordings are those that ran."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkernel.simulation import Entry, Header, Program, Recording, Step, rebuild

PAUSE_S = 0.25


def call(begin: float, end: float, prompt: int = 100, output: int = 10, **fields: object) -> Entry:
    values: dict[str, object] = {
        "process": 1,
        "program": "p-1",
        "agent": "a",
        "tenant": "default",
        "kind": "llm",
        "submitted_s": begin,
        "ended_s": end,
        "prompt_tokens": prompt,
        "output_tokens": output,
    }
    return msgspec.convert({**values, **fields}, Entry)


def rebuilt(*entries: Entry) -> list[Program]:
    return list(rebuild(Recording(header=Header(), entries=entries)).programs)


def steps(*entries: Entry) -> tuple[tuple[Step, ...], ...]:
    (program,) = rebuilt(*entries)
    return program.stages


def test_gap_between_calls_is_the_time_of_tools() -> None:
    assert [stage[0].tool_s for stage in steps(call(0, 2), call(5, 6, 200))] == [3.0, 0.0]


def test_tools_after_the_last_call_belong_to_the_program() -> None:
    tool = call(2, 7, 0, 0, kind="tool")
    assert steps(call(0, 2), tool)[0][0].tool_s == 5.0


def test_calls_that_overlap_are_a_fan_out() -> None:
    first, fan, last = steps(
        call(0, 1), call(2, 6, 200), call(2.5, 4, 200), call(3, 5, 200), call(9, 10, 300)
    )
    assert [len(stage) for stage in (first, fan, last)] == [1, 3, 1]
    assert {step.tool_s for step in fan} == {3.0}


def test_chains_side_by_side_stay_side_by_side() -> None:
    stages = steps(
        call(0, 5, agent="a"),
        call(0, 3, agent="b"),
        call(4, 7, 200, agent="b"),
        call(6, 9, 200, agent="a"),
    )
    assert [len(stage) for stage in stages] == [2, 2]
    assert {step.context_tokens for step in stages[1]} == {110}


def test_what_a_prompt_has_more_is_new() -> None:
    (first,), (second,) = steps(call(0, 1, 100, 10), call(2, 3, 150, 20))
    assert (first.context_tokens, first.new_tokens) == (0, 100)
    assert (second.context_tokens, second.new_tokens) == (110, 40)


def test_answer_that_does_not_come_back_in_the_prompt_leaves_something_new() -> None:
    _, (second,) = steps(call(0, 1, 100, 500), call(2, 3, 150))
    assert (second.context_tokens, second.new_tokens) == (149, 1)


def test_shorter_prompt_begins_another_conversation() -> None:
    _, (second,) = steps(call(0, 1, 1_000), call(2, 3, 150))
    assert (second.context_tokens, second.new_tokens) == (0, 150)


def test_agents_have_conversations_of_their_own() -> None:
    _, (second,), (third,) = steps(
        call(0, 1, 100, agent="a"), call(2, 3, 900, agent="b"), call(4, 5, 300, agent="a")
    )
    assert (second.context_tokens, third.context_tokens) == (0, 110)


def test_nested_program_is_part_of_the_outermost_one() -> None:
    (program,) = rebuilt(
        call(0, 1),
        call(2, 3, program="inner-2", parent="p-1"),
        call(3, 4, program="innermost-3", parent="inner-2"),
        call(5, 6, 200),
    )
    assert len(program.stages) == 4


def test_programs_of_two_processes_are_two() -> None:
    first, second = rebuilt(call(3, 4, process=2), call(1, 2, process=1))
    assert (first.id, first.arrived, second.arrived) == ("1/p-1", 0.0, 2.0)


def test_calls_that_tell_no_tokens_are_left_out_with_a_warning() -> None:
    entries = [call(0, 1), call(2, 3, 0, 0), call(4, 5, 0, 0, error="KernelBusy"), call(7, 8, 200)]
    found = rebuild(Recording(header=Header(), entries=entries))
    assert [stage[0].tool_s for stage in found.programs[0].stages] == [6.0, 0.0]
    assert found.warnings == [
        "1 of 4 LLM calls failed, and are left out",
        "of 1 of 4 LLM calls no tokens were counted: they are left out",
    ]


def test_recording_without_usable_calls_gives_no_programs() -> None:
    assert rebuilt(call(0, 1, 0, 0, kind="tool")) == []


_STAGES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=4),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50)
@given(_STAGES)
def test_program_that_is_recorded_and_rebuilt_is_the_same(
    stages: list[tuple[list[tuple[int, int]], int]],
) -> None:
    entries, expected, now, context = [], [], 0.0, 0
    for calls, pauses in stages:
        expected.append(
            tuple(
                Step(new, output, pauses * PAUSE_S, "p-1/a", context or 0) for new, output in calls
            )
        )
        entries += [call(now, now + output, context + new, output) for new, output in calls]
        now += max(output for _, output in calls) + pauses * PAUSE_S
        context = max(context + new + output for new, output in calls)
    expected[-1] = tuple(msgspec.structs.replace(step, tool_s=0.0) for step in expected[-1])

    def by_size(stage: tuple[Step, ...]) -> list[tuple[int, int, float, int | None]]:
        return sorted((s.new_tokens, s.output_tokens, s.tool_s, s.context_tokens) for s in stage)

    assert [by_size(stage) for stage in steps(*entries)] == [by_size(stage) for stage in expected]
