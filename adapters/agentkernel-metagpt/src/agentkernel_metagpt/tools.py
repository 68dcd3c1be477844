"""Tools that MetaGPT's own actions use: web search and web pages."""

from __future__ import annotations

from typing import Any

from agentkernel.sdk import current_context, run_tool_async
from agentkernel_metagpt.roles import AsyncFunction

__all__ = ["browse", "search"]


def search(original: AsyncFunction) -> AsyncFunction:
    """``SearchEngine.run``, whichever engine it is."""

    async def run(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        return await run_tool_async(
            type(self).__name__,
            {"query": query},
            lambda: original(self, query, *args, **kwargs),
            context=current_context(),
        )

    return run


def browse(original: AsyncFunction) -> AsyncFunction:
    """``WebBrowserEngine.run``: one page, or several at once."""

    async def run(self: Any, url: Any, *urls: Any) -> Any:
        return await run_tool_async(
            type(self).__name__,
            {"urls": [url, *urls]},
            lambda: original(self, url, *urls),
            context=current_context(),
        )

    return run
