"""LangGraph with ChatOpenAI: a graph of a model and its tools, sync, async and streamed token by token."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from openai import DefaultAsyncHttpxClient

from agentkernel.testing import Reply
from agentkernel.testing.openai_server import ToolCall

STEPS = [
    Reply(tool_calls=[ToolCall("stock", {"item": number}, id=f"call_{number}") for number in "12"]),
    Reply(tool_calls=[ToolCall("order", {"item": "2"}, id="call_3")]),
    "Item 2 is ordered.",
]
ASKED = {"messages": [{"role": "user", "content": "Order what is missing.", "id": "asked"}]}


@tool
def stock(item: str) -> int:
    """How many of an item there are."""
    return {"1": 7, "2": 0}[item]


@tool
def order(item: str) -> str:
    """Order an item."""
    return f"{item} is on its way"


def _graph(**settings: Any) -> Any:
    model = ChatOpenAI(model="m", max_retries=0, **settings).bind_tools([stock, order])

    def ask(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def ask_async(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", RunnableLambda(ask, afunc=ask_async))
    graph.add_node("tools", ToolNode([stock, order]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=InMemorySaver())


THREAD: Any = {"configurable": {"thread_id": "1"}}


def _said(state: dict[str, Any]) -> list[Any]:
    """What was said, without the ids that LangChain draws."""
    return [
        (
            message.type,
            message.content,
            getattr(message, "tool_calls", None),
            getattr(message, "usage_metadata", None),
        )
        for message in state["messages"]
    ]


def _invoke() -> Any:
    return _said(_graph().invoke(ASKED, THREAD))


async def _ainvoke() -> Any:
    # LangChain keeps one async HTTP client for all event loops, and fails in the second one.
    async with DefaultAsyncHttpxClient() as http:
        return _said(await _graph(http_async_client=http).ainvoke(ASKED, THREAD))


def _stream() -> Any:
    pieces = _graph(streaming=True).stream(ASKED, THREAD, stream_mode="messages")
    return [(piece.type, piece.content, place["langgraph_node"]) for piece, place in pieces]


async def _astream() -> Any:
    async with DefaultAsyncHttpxClient() as http:
        graph = _graph(stream_usage=True, http_async_client=http)
        pieces = graph.astream(ASKED, THREAD, stream_mode="messages")
        return [
            (piece.type, piece.content, place["langgraph_node"]) async for piece, place in pieces
        ]


def test_graph_is_alike(lab: Any) -> None:
    run = lab.both(_invoke, STEPS)
    assert (run.error, run.value[-1][1]) == (None, "Item 2 is ordered.")
    assert len(run.calls("llm")) == len(run.requests) == 3
    assert {outcome.core for _, outcome in run.syscalls} == {"passthrough-1"}


def test_async_graph_is_alike(lab: Any) -> None:
    run = lab.both(_ainvoke, STEPS)
    assert (run.error, run.value[-1][1]) == (None, "Item 2 is ordered.")
    assert len(run.calls("llm")) == len(run.requests) == 3


def _text(run: Any) -> str:
    pieces = [content for kind, content, _ in run.value if kind == "AIMessageChunk"]
    assert len(pieces) > 3
    return "".join(pieces)


def test_streamed_graph_is_alike(lab: Any) -> None:
    run = lab.both(_stream, STEPS)
    assert (run.error, _text(run)) == (None, "Item 2 is ordered.")
    assert len(run.calls("llm")) == len(run.requests) == 3


def test_async_streamed_graph_is_alike(lab: Any) -> None:
    run = lab.both(_astream, STEPS)
    assert (run.error, _text(run)) == (None, "Item 2 is ordered.")
    assert len(run.calls("llm")) == len(run.requests) == 3
