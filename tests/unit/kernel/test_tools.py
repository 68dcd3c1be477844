"""The tool manager: names, schemas, arguments, places."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import Any

import pytest

from agentkernel.api import (
    InvalidToolArguments,
    InvalidToolSchema,
    Tool,
    ToolCall,
    ToolFailed,
    ToolNotFound,
)
from agentkernel.kernel.tools import RegisteredTool, ToolManager

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def double(x: int) -> int:
    return 2 * x


def manager(*tools: Tool) -> ToolManager:
    made = ToolManager(workers=2)
    for tool in tools or (Tool(name="double", function=double, parameters=SCHEMA),):
        made.register(tool)
    return made


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "naïve", "a/b", "a\n"])
def test_a_tool_with_an_unusable_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidToolSchema, match="its name"):
        manager(Tool(name=name, function=double))


def test_registering_again_replaces_and_unregistering_removes() -> None:
    tools = manager()
    tools.register(Tool(name="double", function=lambda x: 0))
    assert len(tools.tools) == 1
    tools.unregister("double")
    tools.unregister("double")
    assert tools.tools == []


def test_an_unknown_tool_is_named_with_its_neighbour() -> None:
    with pytest.raises(ToolNotFound, match="Did you mean 'double'") as caught:
        manager().find(ToolCall(name="duoble"))
    assert caught.value.suggestion == "double" and caught.value.registered == ("double",)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"x": "1"},
        {"x": 1.5},
        {"x": object()},
        {1: 2, "x": 1},
        MappingProxyType({"x": "1"}),
        None,
        7,
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_refused_before_anything_runs(arguments: Any) -> None:
    with pytest.raises(InvalidToolArguments, match="'double' was not run"):
        manager().find(ToolCall(name="double", arguments=arguments))


def test_every_problem_of_the_arguments_is_told_with_its_path() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"properties": {"b": {"type": "integer"}}}},
        "required": ["x"],
    }
    tools = manager(Tool(name="t", function=double, parameters=schema))
    with pytest.raises(InvalidToolArguments) as caught:
        tools.find(ToolCall(name="t", arguments={"a": {"b": "no"}}))
    assert any(problem.startswith("a.b: ") for problem in caught.value.problems)
    assert any(problem.startswith("arguments: ") for problem in caught.value.problems)


def test_any_mapping_may_hold_the_arguments() -> None:
    tools = manager()
    call = ToolCall(name="double", arguments=MappingProxyType({"x": 21}))

    async def main() -> Any:
        return await tools.execute(tools.find(call), call, 1)

    assert asyncio.run(main()) == 42
    tools.stop()


@pytest.mark.parametrize("error", [ValueError("bad"), StopIteration(), SystemExit(2)], ids=type)
def test_what_a_tool_raises_is_the_cause_of_its_failure(error: BaseException) -> None:
    def fail() -> None:
        raise error

    tools = manager(Tool(name="fail", function=fail, max_parallel=1))
    call = ToolCall(name="fail")

    async def main() -> None:
        for _ in range(2):  # the place is free again
            with pytest.raises(ToolFailed, match=type(error).__name__) as caught:
                await tools.execute(tools.find(call), call, 1)
            assert caught.value.__cause__ is error

    asyncio.run(main())
    tools.stop()


def test_a_typed_error_of_a_tool_is_passed_as_it_is() -> None:
    error = ToolNotFound("other", registered=[], suggestion=None)

    def fail() -> None:
        raise error

    tools = manager(Tool(name="fail", function=fail))
    call = ToolCall(name="fail")

    async def main() -> None:
        with pytest.raises(ToolNotFound) as caught:
            await tools.execute(tools.find(call), call, 1)
        assert caught.value is error

    asyncio.run(main())
    tools.stop()


def test_places_are_given_in_the_order_of_asking_and_skip_who_left() -> None:
    async def main() -> None:
        registered = RegisteredTool(Tool(name="t", function=double, max_parallel=1))
        order: list[int] = []

        async def use(number: int) -> None:
            await registered.acquire()
            order.append(number)
            await asyncio.sleep(0)
            registered.release()

        tasks = [asyncio.ensure_future(use(number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        tasks[4].cancel()
        await asyncio.wait(tasks)
        assert order == [0, 1, 3, 5]
        assert registered._free == 1 and not registered._queue

    asyncio.run(main())
