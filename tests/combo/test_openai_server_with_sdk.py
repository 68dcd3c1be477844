"""The fake OpenAI server as the real `openai` client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import openai
import pytest

from agentkernel.testing.openai_server import (
    OpenAIServer,
    Reply,
    ToolCall,
    Usage,
    echo,
    faults,
    refused,
    sequence,
)

MESSAGES = [{"role": "user", "content": "hello there"}]


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[OpenAIServer, openai.OpenAI]]]:
    servers, clients = [], []

    def start(script: object) -> tuple[OpenAIServer, openai.OpenAI]:
        server = OpenAIServer(script).start()  # type: ignore[arg-type]
        client = openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0, timeout=10)
        servers.append(server)
        clients.append(client)
        return server, client

    yield start
    for closing in (*clients, *servers):
        closing.close()


def run_async(
    server: OpenAIServer, body: Callable[[openai.AsyncOpenAI], Awaitable[object]]
) -> object:
    async def main() -> object:
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key="x", max_retries=0, timeout=10
        ) as client:
            return await body(client)

    return asyncio.run(main())


def test_sync_chat(serve: Callable) -> None:
    server, client = serve(echo())
    completion = client.chat.completions.create(model="m", messages=MESSAGES)
    assert completion.choices[0].message.content == "hello there"
    assert completion.model == "m" and completion.usage.total_tokens > 0
    assert server.requests[0].headers["authorization"] == "Bearer x"


def test_sync_stream_joins_to_the_content(serve: Callable) -> None:
    _, client = serve(Reply(content="a b c d e f", usage=Usage(3, 6)))
    chunks = list(
        client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == "a b c d e f"
    )
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 6


def test_async_chat_of_many_agents_is_concurrent(serve: Callable) -> None:
    server, _ = serve(Reply(content="x", delay_s=0.05))

    async def body(client: openai.AsyncOpenAI) -> None:
        await asyncio.gather(
            *(client.chat.completions.create(model="m", messages=MESSAGES) for _ in range(20))
        )

    run_async(server, body)
    assert server.in_flight_peak == 20


def test_async_stream_over_slow_chunks(serve: Callable) -> None:
    server, _ = serve(Reply(content="slowly", stream_chunk_chars=1, chunk_interval_s=0.001))

    async def body(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert run_async(server, body) == "slowly"


def test_tool_call_round_trip(serve: Callable) -> None:
    server, client = serve(sequence([Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), "3"]))
    call = (
        client.chat.completions.create(model="m", messages=MESSAGES)
        .choices[0]
        .message.tool_calls[0]
    )
    assert (call.function.name, call.function.arguments) == ("add", '{"a":1,"b":2}')
    answered = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "3"},
    ]
    assert (
        client.chat.completions.create(model="m", messages=answered).choices[0].message.content
        == "3"
    )
    assert server.requests[1].payload["messages"][-1]["tool_call_id"] == call.id


def test_streamed_tool_calls_accumulate_in_the_sdks_stream_helper(serve: Callable) -> None:
    _, client = serve(Reply(tool_calls=[ToolCall("add", {"a": 1}), ToolCall("sub", {"b": 2})]))
    with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
        final = stream.get_final_completion()
    functions = [call.function for call in final.choices[0].message.tool_calls]
    assert [(function.name, function.arguments) for function in functions] == [
        ("add", '{"a":1}'),
        ("sub", '{"b":2}'),
    ]
    assert final.choices[0].finish_reason == "tool_calls"


def test_models(serve: Callable) -> None:
    _, client = serve(Reply(content="x"))
    assert [model.id for model in client.models.list()] == ["fake"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("bad_request", openai.BadRequestError),
        ("context_length", openai.BadRequestError),
        ("unauthorized", openai.AuthenticationError),
        ("forbidden", openai.PermissionDeniedError),
        ("rate_limit", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("overloaded", openai.InternalServerError),
        ("html", openai.InternalServerError),
        ("reset", openai.APIConnectionError),
        ("cut", openai.APIConnectionError),
    ],
)
def test_fault_becomes_the_clients_own_error(
    serve: Callable, fault: str, error: type[Exception]
) -> None:
    _, client = serve(faults([fault]))
    with pytest.raises(error):
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert (
        client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content
        == "ok"
    )


def test_error_code_and_retry_after_reach_the_client(serve: Callable) -> None:
    _, client = serve(faults(["rate_limit"]))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "1"


def test_cut_stream_raises_in_mid_stream(serve: Callable) -> None:
    _, client = serve(faults(["cut"]))
    stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    for _ in range(3):
        next(stream)
    # openai 2 lets httpx's error through, openai 3 wraps it.
    with pytest.raises(Exception, match=r"(?i)incomplete|peer closed|connection error"):
        next(stream)


def test_cleanly_cut_stream_passes_the_client_unnoticed(serve: Callable) -> None:
    """The reason why a core has to look for the finish reason itself."""
    _, client = serve(faults(["cut_cleanly"]))
    chunks = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    assert len(chunks) == 3 and all(chunk.choices[0].finish_reason is None for chunk in chunks)


def test_hang_times_out(serve: Callable) -> None:
    server, client = serve(faults(["hang"]))
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.05).chat.completions.create(model="m", messages=MESSAGES)
    server.wait_until(lambda it: it.abandoned == 1)


def test_refused_is_a_connection_error() -> None:
    with (
        refused() as base_url,
        openai.OpenAI(base_url=base_url, api_key="x", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(model="m", messages=MESSAGES)
