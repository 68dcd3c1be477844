"""An assistant with the tools of an MCP server that runs beside it."""

# ruff: noqa: ASYNC240

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.ui import Console
from autogen_ext.models.openai import OpenAIChatCompletionClient
from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams

SERVER = '''
from mcp.server.fastmcp import FastMCP

server = FastMCP("warehouse", log_level="ERROR")


@server.tool()
def stock(item: str) -> int:
    """How many of an item there are."""
    return {"bolts": 120, "nuts": 80}[item]


server.run()
'''


async def main() -> None:
    client = OpenAIChatCompletionClient(
        model="gpt-4o-2024-08-06",
        base_url=os.environ["OPENAI_BASE_URL"],
        api_key="key-1",
    )
    with tempfile.TemporaryDirectory() as folder:
        server = Path(folder, "server.py")
        server.write_text(SERVER)
        parameters = StdioServerParams(
            command=sys.executable, args=[str(server)], read_timeout_seconds=60
        )
        async with McpWorkbench(parameters) as workbench:
            clerk = AssistantAgent("clerk", client, workbench=workbench, reflect_on_tool_use=True)
            await Console(clerk.run_stream(task="How many bolts are there?"), output_stats=False)
    await client.close()


asyncio.run(main())
