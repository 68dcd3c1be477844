"""The eight tools as a plugin of the kernel."""

from __future__ import annotations

import agentkernel_core_nano.tool_plugin
from agentkernel import Client, Kernel
from agentkernel.testing import ToolExample, ToolKit


class TestConformance(ToolKit):
    plugin = agentkernel_core_nano.tool_plugin
    tool_examples = (
        ToolExample(name="calculator", arguments={"expression": "12*7"}, result="84"),
        ToolExample(
            name="convert",
            arguments={"value": 3, "from_unit": "km", "to_unit": "meters"},
            result="3000",
        ),
        ToolExample(
            name="days_between",
            arguments={"start": "2024-02-28", "end": "2024-03-01"},
            result="2",
        ),
        ToolExample(name="lookup", arguments={"key": "France", "field": "capital"}, result="Paris"),
        ToolExample(
            name="remember", arguments={"key": "door pin", "value": "4417"}, result="saved"
        ),
        ToolExample(name="send", arguments={"to": "Alice", "text": "hello"}, result="sent"),
        ToolExample(
            name="weather", arguments={"city": "Oslo", "when": "Monday"}, result="sunny, 31 C"
        ),
    )
    test_every_tool_has_an_example = None  # recall finds what remember has saved: below


def test_recall_finds_what_remember_has_saved_in_the_same_kernel() -> None:
    plugins = {("tool", "nano"): agentkernel_core_nano.tool_plugin}
    with Kernel({}, plugins=plugins, tools=["nano"]) as kernel:
        client = Client(kernel)
        client.call_tool("remember", {"key": "door pin", "value": "4417"})
        assert client.call_tool("recall", {"key": "door pin"}) == "4417"
