"""Tools of an MCP server: alike for the program, tool calls for the kernel. A real server: ``programs/mcp_tools.py``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Server:
    """What AutoGen makes of a session with a server: each call gives a future."""

    async def call(self, name: str, asked: dict[str, Any]) -> Any:
        from mcp.types import CallToolResult, TextContent

        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if asked["kargs"] == {"reason": "down"}:
            answer.set_exception(ConnectionError("down"))
        else:
            text = f"{name} {asked['name']} {asked['kargs']}"
            answer.set_result(CallToolResult(content=[TextContent(type="text", text=text)]))
        return answer


def test_workbench_of_an_mcp_server_is_alike(lab: Any) -> None:
    async def main(_: Any) -> Any:
        from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams

        workbench = McpWorkbench(StdioServerParams(command="never-started"))
        workbench._actor = Server()
        try:
            return [
                await workbench.call_tool("add", {"left": 1}),
                await workbench.call_tool("now"),
                await workbench.call_tool(name="fail", arguments={"reason": "down"}),
            ]
        finally:
            workbench._actor = None

    run = lab.compare(main, [])
    assert run.value[2][1]["is_error"]
    assert [(call.name, call.arguments) for call in run.calls("tool")] == [
        ("add", {"left": 1}),
        ("now", {}),
        ("fail", {"reason": "down"}),
    ]
