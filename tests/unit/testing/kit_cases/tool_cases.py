"""Tools for the proof of ToolKit: a correct plugin, and one defect each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from agentkernel.api import NoOptions, Tool, hookimpl
from agentkernel.testing.kits import ToolExample, ToolKit

NUMBERS = {"type": "array", "items": {"type": "number"}}
SCHEMA = {"type": "object", "properties": {"numbers": NUMBERS}, "required": ["numbers"]}


class PluginOf:
    """A plugin that registers these tools."""

    def __init__(self, *tools: Tool) -> None:
        self._tools = tools

    @hookimpl
    def register_tools(self, options: NoOptions) -> Sequence[Tool]:
        return self._tools


def total(numbers: list[float]) -> float:
    return sum(numbers)


async def total_async(numbers: list[float]) -> float:
    await asyncio.sleep(0)
    return sum(numbers)


def tool(function: Callable[..., Any] = total, *, name: str = "total", **fields: Any) -> Tool:
    return Tool(
        name=name,
        function=function,
        **{"description": "Add numbers.", "parameters": SCHEMA, **fields},
    )


class Base(ToolKit):
    tool_examples = (ToolExample(name="total", arguments={"numbers": [1, 2, 3]}, result=6),)


class TestCorrect(Base):
    plugin = PluginOf(tool())


class TestCorrectAsync(Base):
    plugin = PluginOf(tool(total_async, max_parallel=2, timeout_s=1.0))


class TestRegistersNothing(Base):
    plugin = PluginOf()
    breaks, because = "test_at_least_one_tool_is_registered", "AssertionError"


class TestHasASpaceInItsName(Base):
    plugin = PluginOf(tool(), tool(name="to tal"))
    breaks, because = "test_names_are_unique_and_well_formed", "at most 64"


class TestHasTwoOfOneName(Base):
    plugin = PluginOf(tool(), tool(total_async))
    breaks, because = "test_names_are_unique_and_well_formed", "unique"


class TestSaysNothing(Base):
    plugin = PluginOf(tool(description=" "))
    breaks, because = "test_every_tool_says_what_it_does", "empty"


class TestHasNoObjectSchema(Base):
    plugin = PluginOf(tool(parameters=NUMBERS))
    breaks, because = "test_parameters_are_a_json_schema_of_an_object", "object schema"


class TestHasAnInvalidSchema(Base):
    plugin = PluginOf(tool(parameters={**SCHEMA, "required": "numbers"}))
    breaks, because = "test_parameters_are_a_json_schema_of_an_object", "no valid JSON schema"


class TestDescribesOtherParameters(Base):
    plugin = PluginOf(tool(parameters={"type": "object", "properties": {"values": NUMBERS}}))
    breaks, because = (
        "test_functions_take_what_the_schema_promises",
        "missing a required argument|unexpected keyword argument",
    )


class TestDoesNotRequireWhatItNeeds(Base):
    plugin = PluginOf(tool(parameters={**SCHEMA, "required": []}))
    breaks, because = "test_functions_take_what_the_schema_promises", "missing a required argument"


class TestRunsNeverAtOnce(Base):
    plugin = PluginOf(tool(max_parallel=0))
    breaks, because = "test_limits_are_positive", "max_parallel"


class TestHasAToolWithoutExample(Base):
    plugin = PluginOf(tool(), tool(name="other"))
    breaks, because = "test_every_tool_has_an_example", "ToolExample"


class TestRefusesItsExample(Base):
    plugin = PluginOf(tool(parameters={**SCHEMA, "properties": {"numbers": {"type": "string"}}}))
    breaks, because = "test_examples_match_the_schema", "is not of type"


def count(numbers: list[float]) -> float:
    return len(numbers)


class TestMiscounts(Base):
    plugin = PluginOf(tool(count))
    breaks, because = "test_examples_give_their_results", "AssertionError"


def consume(numbers: list[float]) -> float:
    found = 0.0
    while numbers:
        found += numbers.pop()
    return found


class TestEatsItsArguments(Base):
    plugin = PluginOf(tool(consume))
    breaks, because = "test_arguments_are_not_changed", "changed its arguments"


_running: list[float] = []


def total_in_a_global(numbers: list[float]) -> float:
    _running.clear()
    for number in numbers:
        _running.append(number)
        time.sleep(0.01)
    return sum(_running)


class TestKeepsStateBetweenCalls(Base):
    plugin = PluginOf(tool(total_in_a_global))
    breaks, because = "test_parallel_calls_do_not_disturb_each_other", "AssertionError"


async def total_blocking(numbers: list[float]) -> float:
    time.sleep(0.3)  # noqa: ASYNC251  the defect
    return sum(numbers)


class TestBlocksItsLoop(Base):
    plugin = PluginOf(tool(total_blocking))
    breaks, because = "test_async_tools_do_not_block_their_loop", "held the event loop"


class Growing:
    """Registers one tool more each time."""

    def __init__(self) -> None:
        self._tools = [tool()]

    @hookimpl
    def register_tools(self, options: NoOptions) -> Sequence[Tool]:
        self._tools.append(tool(name=f"total-{len(self._tools)}"))
        return list(self._tools)


class TestRegistersMoreEachTime(Base):
    plugin = Growing()
    breaks, because = "test_registering_twice_gives_the_same_tools", "AssertionError"
