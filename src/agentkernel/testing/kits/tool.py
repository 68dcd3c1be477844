"""The contract of tool plugins, as tests to inherit."""

from __future__ import annotations

import asyncio
import copy
import inspect
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import msgspec

from agentkernel.api import Tool
from agentkernel.testing.kits._base import CreatedKit
from agentkernel.testing.kits._loops import longest_block_s

__all__ = ["ToolExample", "ToolKit"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class ToolExample(msgspec.Struct, frozen=True, kw_only=True):
    """A call of the tool ``name`` and what it must return."""

    name: str
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)
    result: Any


class ToolKit(CreatedKit):
    """Conformance of a tool plugin.

    Attributes:
        tool_examples: at least one for each tool.
        max_block_s: an async tool never holds its event loop longer.
    """

    kind = "tool"
    tool_examples: ClassVar[Sequence[ToolExample]] = ()
    max_block_s: ClassVar[float] = 0.1

    def make(self) -> list[Tool]:
        made = self.create()
        assert isinstance(made, Sequence), (
            f"register_tools returns a sequence, found {type(made).__name__}"
        )
        for tool in made:
            assert isinstance(tool, Tool), (
                f"register_tools returns Tools, found {type(tool).__name__}"
            )
        return list(made)

    def test_at_least_one_tool_is_registered(self) -> None:
        assert self.make()

    def test_names_are_unique_and_well_formed(self) -> None:
        names = [tool.name for tool in self.make()]
        assert len(set(names)) == len(names), f"names are unique, found {names}"
        for name in names:
            assert _NAME.fullmatch(name), f"{name!r}: letters, digits, '_', '-' and '.', at most 64"

    def test_every_tool_says_what_it_does(self) -> None:
        for tool in self.make():
            assert tool.description.strip(), (
                f"{tool.name}: the model chooses by the description; it is empty"
            )

    def test_parameters_are_a_json_schema_of_an_object(self) -> None:
        import jsonschema_rs

        for tool in self.make():
            msgspec.json.encode(tool.schema)
            assert tool.parameters.get("type") == "object", (
                f"{tool.name}: expected an object schema"
            )
            assert jsonschema_rs.meta.is_valid(dict(tool.parameters)), (
                f"{tool.name}: no valid JSON schema"
            )

    def test_functions_take_what_the_schema_promises(self) -> None:
        for tool in self.make():
            signature = inspect.signature(tool.function)
            properties = tool.parameters.get("properties", {})
            required = set(tool.parameters.get("required", ()))
            signature.bind(**dict.fromkeys(properties))
            signature.bind(**dict.fromkeys(required))
            assert required <= set(properties), (
                f"{tool.name}: required but not described: {required - set(properties)}"
            )

    def test_limits_are_positive(self) -> None:
        for tool in self.make():
            assert tool.max_parallel is None or tool.max_parallel >= 1, f"{tool.name}: max_parallel"
            assert tool.timeout_s is None or tool.timeout_s > 0, f"{tool.name}: timeout_s"

    def test_registering_twice_gives_the_same_tools(self) -> None:
        assert [tool.schema for tool in self.make()] == [tool.schema for tool in self.make()]

    def test_every_tool_has_an_example(self) -> None:
        missing = {tool.name for tool in self.make()} - {
            example.name for example in self.tool_examples
        }
        assert not missing, f"add a ToolExample to `tool_examples` for {sorted(missing)}"

    def test_examples_match_the_schema(self) -> None:
        import jsonschema_rs

        for tool, example in self._examples():
            problems = jsonschema_rs.validator_for(dict(tool.parameters)).iter_errors(
                dict(example.arguments)
            )
            assert not (found := [str(problem) for problem in problems]), f"{tool.name}: {found}"

    def test_examples_give_their_results(self) -> None:
        for tool, example in self._examples():
            assert _call(tool, example) == example.result, tool.name

    def test_arguments_are_not_changed(self) -> None:
        for tool, example in self._examples():
            arguments = copy.deepcopy(dict(example.arguments))
            _call(tool, ToolExample(name=tool.name, arguments=arguments, result=None))
            assert arguments == example.arguments, f"{tool.name} changed its arguments"

    def test_parallel_calls_do_not_disturb_each_other(self) -> None:
        for tool, example in self._examples():
            times = min(tool.max_parallel or 8, 8)
            with ThreadPoolExecutor(times) as threads:
                results = list(threads.map(lambda _: _call(tool, example), range(times)))  # noqa: B023
            assert results == [example.result] * times, tool.name

    def test_async_tools_do_not_block_their_loop(self) -> None:
        for tool, example in self._examples():
            if inspect.iscoroutinefunction(tool.function):
                blocked_s = longest_block_s(lambda: tool.function(**example.arguments))  # noqa: B023
                assert blocked_s <= self.max_block_s, (
                    f"{tool.name} held the event loop for {blocked_s:.2f} s"
                )

    def _examples(self) -> list[tuple[Tool, ToolExample]]:
        tools = {tool.name: tool for tool in self.make()}
        return [(tools[example.name], example) for example in self.tool_examples]


def _call(tool: Tool, example: ToolExample) -> object:
    if inspect.iscoroutinefunction(tool.function):
        return asyncio.run(tool.function(**example.arguments))
    return tool.function(**example.arguments)
