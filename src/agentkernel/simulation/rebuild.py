"""Programs of a simulation, from what was recorded of real ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from agentkernel.simulation.programs import Program, Step
from agentkernel.simulation.recording import Entry, Recording

__all__ = ["Rebuilt", "rebuild"]

_Key = tuple[int, str]
"""A program: its process and id."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """The programs, by arrival, and what of the recording they lack."""

    programs: Sequence[Program]
    warnings: Sequence[str] = ()


def rebuild(recording: Recording) -> Rebuilt:
    """Make programs of a recording: their structure, tokens and pauses are kept, the times of LLM calls are not.

    * Programs within a program are part of the outermost one.
    * Calls that overlap are one stage. A call that came after one of the stage had ended begins the next.
    * What passed between the last end and that call is the time of tools.
    * What a prompt has more than the last call of its agent, prompt and answer, is new. A prompt that is not longer than
      the last one's begins another conversation: all of it is new.
    * LLM calls that failed, or of which no tokens were counted, are left out; their time counts as that of tools.

    The first program arrives at 0.
    """
    calls, tools = _usable(recording.entries)
    parents = {
        (entry.process, entry.program): (entry.process, entry.parent)
        for entry in recording.entries
        if entry.parent is not None
    }
    of_programs: dict[_Key, list[Entry]] = {}
    for call in calls:
        of_programs.setdefault(_outermost((call.process, call.program), parents), []).append(call)
    last_tools: dict[_Key, float] = {}
    for tool in tools:
        key = _outermost((tool.process, tool.program), parents)
        last_tools[key] = max(tool.ended_s, last_tools.get(key, 0.0))
    first = min((call.submitted_s for call in calls), default=0.0)
    programs = [
        Program(
            id="/".join(map(str, key)),
            arrived=min(call.submitted_s for call in own) - first,
            stages=tuple(_steps(own, last_tools.get(key, 0.0))),
            tenant=own[0].tenant,
        )
        for key, own in of_programs.items()
    ]
    programs.sort(key=lambda program: (program.arrived, program.id))
    return Rebuilt(programs=programs, warnings=[*recording.warnings, *_omissions(recording, calls)])


def _usable(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The LLM calls that can be simulated, and what runs between them."""
    calls, tools = [], []
    for entry in sorted(entries, key=lambda entry: (entry.submitted_s, entry.ended_s)):
        if entry.kind != "llm":
            tools.append(entry)
        elif entry.prompt_tokens > 0 and entry.error is None:
            calls.append(entry)
    return calls, tools


def _omissions(recording: Recording, calls: Sequence[Entry]) -> Iterator[str]:
    llm = [entry for entry in recording.entries if entry.kind == "llm"]
    failed = sum(entry.error is not None for entry in llm)
    if failed:
        yield f"{failed} of {len(llm)} LLM calls failed, and are left out"
    uncounted = len(llm) - failed - len(calls)
    if uncounted:
        yield f"of {uncounted} of {len(llm)} LLM calls no tokens were counted: they are left out"


def _outermost(program: _Key, parents: Mapping[_Key, _Key]) -> _Key:
    seen = {program}
    while (above := parents.get(program)) is not None and above not in seen:
        seen.add(above)
        program = above
    return program


def _steps(calls: Sequence[Entry], tools_ended_s: float) -> Iterator[tuple[Step, ...]]:
    """The stages of one program, of calls in the order of their submission."""
    known: dict[str, Entry] = {}
    stages = list(_stages(calls))
    for stage, following in zip(stages, [*stages[1:], None], strict=True):
        ends = [call.ended_s for call in stage]
        if following is None:
            tool_s = max(0.0, tools_ended_s - max(ends))
        else:
            began = following[0].submitted_s
            tool_s = began - max(end for end in ends if end <= began)
        yield tuple(_step(call, known.get(_conversation(call)), tool_s) for call in stage)
        for call in stage:
            before = known.get(_conversation(call))
            if before is None or before not in stage or _tokens(before) < _tokens(call):
                known[_conversation(call)] = call


def _stages(calls: Sequence[Entry]) -> Iterator[list[Entry]]:
    stage: list[Entry] = []
    for call in calls:
        if stage and call.submitted_s >= min(other.ended_s for other in stage):
            yield stage
            stage = []
        stage.append(call)
    yield stage


def _step(call: Entry, before: Entry | None, tool_s: float) -> Step:
    grew = before is not None and call.prompt_tokens > before.prompt_tokens
    known = min(_tokens(before), call.prompt_tokens - 1) if before is not None and grew else 0
    return Step(
        new_tokens=call.prompt_tokens - known,
        output_tokens=max(1, call.output_tokens),
        tool_s=tool_s,
        agent=_conversation(call),
        context_tokens=known,
    )


def _conversation(call: Entry) -> str:
    """Agents of nested programs may have one name, and each has a conversation of its own."""
    return f"{call.program}/{call.agent}"


def _tokens(call: Entry) -> int:
    return call.prompt_tokens + call.output_tokens
