"""What goes wrong is the same, as often as it goes wrong."""

from __future__ import annotations

from typing import Any

import pytest

import agentkernel
from agentkernel.api import KernelStopped
from agentkernel.testing import Reply

HELLO = [{"role": "user", "content": "hello"}]
REPLIES = {
    "bad request": Reply(status=400, content="no", error_code="x"),
    "no key": Reply(status=401, content="no"),
    "no model": Reply(status=404, content="no"),
    "window": Reply(
        status=400,
        content="This model's maximum context length is 8 tokens.",
        error_code="context_length_exceeded",
    ),
    "rate": Reply(status=429, content="no", headers={"Retry-After": "7"}),
    "server": Reply(status=500, content="no"),
    "overloaded": Reply(status=503, content="no"),
    "no json": Reply(body=b"<html>"),
    "no answer": Reply(body=b""),
    "cut": Reply(content="hi there, how are you?", cut_after_chunks=2),
    "cut cleanly": Reply(content="hi there, you", cut_after_chunks=2, cut_cleanly=True),
    "refused": Reply(content="x", cut_after_chunks=0),
}


def _both_see(lab: Any, ask: Any, script: Any) -> Any:
    run = lab.both(ask, script)
    assert len(run.syscalls) == len(run.requests)
    return run


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", REPLIES)
def test_error_is_the_same(litellm: Any, lab: Any, reply: str, stream: bool) -> None:
    def ask() -> Any:
        answer = litellm.completion(**lab.ask(), stream=stream)
        if not stream:
            return lab.described(answer)
        return [chunk.choices[0].delta.content for chunk in answer]

    _both_see(lab, ask, [REPLIES[reply]])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", REPLIES)
def test_async_error_is_the_same(litellm: Any, lab: Any, reply: str, stream: bool) -> None:
    async def ask() -> Any:
        answer = await litellm.acompletion(**lab.ask(), stream=stream)
        if not stream:
            return lab.described(answer)
        return [chunk.choices[0].delta.content async for chunk in answer]

    _both_see(lab, ask, [REPLIES[reply]])


def test_error_of_the_request_is_raised_before_the_stream_is_read(litellm: Any, lab: Any) -> None:
    run = lab.both(lambda: litellm.completion(**lab.ask(), stream=True), [Reply(status=429)])
    assert isinstance(run.error, litellm.RateLimitError)


@pytest.mark.parametrize("stream", [False, True])
def test_timeout(litellm: Any, lab: Any, stream: bool) -> None:
    asked = lab.ask(timeout=0.2, stream=stream)
    run = lab.wrapped(lambda: litellm.completion(**asked), lambda _: Reply(hang=True))
    assert isinstance(run.error, litellm.Timeout)
    assert len(run.syscalls) == 1


def test_each_retry_of_litellm_is_a_syscall(litellm: Any, lab: Any) -> None:
    asked = lab.ask(num_retries=2, model="hosted_vllm/m")
    down = Reply(status=500, content="no")
    run = lab.both(lambda: lab.described(litellm.completion(**asked)), [down, down, "hi"])
    assert run.error is None
    assert len(run.syscalls) == len(run.requests) == 3


def test_retries_of_the_client_are_within_the_syscall(litellm: Any, lab: Any) -> None:
    down = Reply(status=500, content="no", headers={"retry-after-ms": "1"})
    asked = lab.ask(max_retries=2)
    run = lab.both(lambda: lab.described(litellm.completion(**asked)), [down, "hi"])
    assert (run.error, len(run.syscalls), len(run.requests)) == (None, 1, 2)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_fallbacks(litellm: Any, lab: Any, way: str) -> None:
    asked = lab.ask(fallbacks=["openai/second"])

    async def ask_async() -> Any:
        return lab.described(await litellm.acompletion(**asked))

    def ask() -> Any:
        return lab.described(litellm.completion(**asked))

    run = lab.both(ask if way == "sync" else ask_async, [Reply(status=500, content="no"), "hi"])
    assert run.error is None
    assert [call.model for call in run.calls("llm")] == ["m", "second"]


def _router(litellm: Any, lab: Any) -> Any:
    names = {"good": "good", "bad": "bad"}
    deployments = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": lab.base_url,
                "api_key": "key-1",
                "max_retries": 0,
            },
            "model_info": {"id": f"deployment-{name}"},
        }
        for name, model in names.items()
    ]
    return litellm.Router(
        model_list=deployments, fallbacks=[{"bad": ["good"]}], num_retries=1, retry_after=0
    )


def _bad_fails(request: Any) -> Reply:
    if request.payload["model"] == "bad":
        return Reply(status=500, content="no")
    return Reply(content="from the good one")


@pytest.mark.parametrize("way", ["sync", "sync stream", "async", "async stream"])
def test_router_falls_back_from_a_failing_deployment(litellm: Any, lab: Any, way: str) -> None:
    stream = "stream" in way

    def ask() -> Any:
        answer = _router(litellm, lab).completion("bad", HELLO, stream=stream)
        if not stream:
            return lab.described(answer)
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer)

    async def ask_async() -> Any:
        answer = await _router(litellm, lab).acompletion("bad", HELLO, stream=stream)
        if not stream:
            return lab.described(answer)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    run = lab.both(ask_async if "async" in way else ask, lambda: _bad_fails)
    assert run.error is None
    assert [call.model for call in run.calls("llm")] == ["bad", "bad", "good"]
    assert len(run.requests) == 3


def test_kernel_that_was_stopped_says_so(litellm: Any, lab: Any) -> None:
    with lab.wrap() as (kernel, _):
        kernel.stop()
        with pytest.raises(litellm.APIConnectionError) as raised:
            litellm.completion(**lab.ask())
    assert isinstance(raised.value.__context__, KernelStopped)
    agentkernel.unwrap()
