"""Responses, embeddings and completions make their own requests, as syscalls; all else is not touched."""

from __future__ import annotations

from typing import Any

import openai
import pydantic
import pytest

HAS_RESPONSES = hasattr(openai.resources, "responses")

both_colours = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


class Answer(pydantic.BaseModel):
    x: int


async def _response(lab: Any, client: Any) -> Any:
    return await lab.settled(client.responses.create(model="m", input="hello"))


async def _response_stream(lab: Any, client: Any) -> Any:
    events = await lab.settled(client.responses.create(model="m", input="hello", stream=True))
    return [event async for event in lab.items(events)]


async def _response_parse(lab: Any, client: Any) -> Any:
    answer = await lab.settled(client.responses.parse(model="m", input="hello", text_format=Answer))
    return answer.output_parsed


async def _response_helper(lab: Any, client: Any) -> Any:
    async with lab.entered(client.responses.stream(model="m", input="hello")) as events:
        kinds = [event.type async for event in lab.items(events)]
        return kinds, await lab.settled(events.get_final_response())


async def _response_raw(lab: Any, client: Any) -> Any:
    raw = await lab.settled(client.responses.with_raw_response.create(model="m", input="hello"))
    return raw.status_code, raw.text


async def _response_streaming(lab: Any, client: Any) -> Any:
    ask = client.responses.with_streaming_response.create
    async with lab.entered(ask(model="m", input="hello", stream=True)) as response:
        return [line async for line in lab.items(response.iter_lines())]


async def _embedding(lab: Any, client: Any) -> Any:
    return await lab.settled(client.embeddings.create(model="m", input="hello"))


async def _embeddings_of_tokens(lab: Any, client: Any) -> Any:
    return await lab.settled(
        client.embeddings.create(model="m", input=[[1, 2], [3]], encoding_format="float")
    )


async def _completion(lab: Any, client: Any) -> Any:
    return await lab.settled(client.completions.create(model="m", prompt="once"))


async def _completion_stream(lab: Any, client: Any) -> Any:
    chunks = await lab.settled(
        client.completions.create(model="m", prompt=["once", "twice"], stream=True)
    )
    return [chunk async for chunk in lab.items(chunks)]


RESPONSES = [
    *(_response, _response_stream, _response_parse),
    *(_response_helper, _response_raw, _response_streaming),
]
OTHERS = [_embedding, _embeddings_of_tokens, _completion, _completion_stream]
WAYS = {way.__name__: way for way in [*(RESPONSES if HAS_RESPONSES else []), *OTHERS]}


@both_colours
@pytest.mark.parametrize("kind", ["plain", "transport"])
@pytest.mark.parametrize("name", WAYS)
def test_request_is_a_syscall_that_the_client_makes(
    lab: Any, name: str, kind: str, is_async: bool
) -> None:
    async def use(client: Any) -> Any:
        return await WAYS[name](lab, client)

    run = lab.both(lab.use(use, kind, is_async=is_async), list)
    assert run.error is None
    assert run.value is not None
    assert [outcome.core for _, outcome in run.syscalls] == ["passthrough-1"]
    assert run.syscalls[0][1].error is None
    assert len(run.requests) == 1


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        *([("_response", "hello")] if HAS_RESPONSES else []),
        *(("_embedding", "hello"), ("_embeddings_of_tokens", [1, 2]), ("_completion", "once")),
    ],
)
def test_call_says_what_was_asked(lab: Any, name: str, recorded: Any) -> None:
    async def use(client: Any) -> Any:
        return await WAYS[name](lab, client)

    (call,) = lab.wrapped(lab.use(use), list).calls("llm")
    assert call.model == "m"
    assert call.messages[0] == {"role": "user", "content": recorded}


@both_colours
def test_request_that_is_no_llm_call_is_none(lab: Any, is_async: bool) -> None:
    async def use(client: Any) -> Any:
        models = [model.id async for model in lab.items(await _page(client.models.list()))]
        moderated = await lab.settled(client.moderations.create(model="m", input="hello"))
        assert moderated.id == "modr_1"
        with pytest.raises(openai.NotFoundError):
            await lab.settled(client.audio.speech.create(model="m", voice="alloy", input="hello"))
        return models

    async def _page(pages: Any) -> Any:
        return pages if hasattr(pages, "__aiter__") else await lab.settled(pages)

    run = lab.both(lab.use(use, is_async=is_async), list)
    assert (run.error, run.value) == (None, ["fake"])
    assert run.syscalls == []
    assert len(run.requests) == 3
