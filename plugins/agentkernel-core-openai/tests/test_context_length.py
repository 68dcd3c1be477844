"""Calls that are too long: every endpoint's words for it are one error, with the counts in them, and no other is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agentkernel.api import (
    ContextWindowExceeded,
    CoreProtocolError,
    CoreStatusError,
    InvalidCall,
    LLMCoreError,
    RateLimited,
)
from agentkernel.testing.openai_server import FAULTS, OpenAIServer, Reply
from agentkernel_core_openai import ContextLengthExceeded
from agentkernel_core_openai._context_length import Counts, counts_of


def refusal(message: str, status: int = 400, **fields: Any) -> tuple[int, str, bytes]:
    return status, message, json.dumps({"error": {"message": message, **fields}}).encode()


# Tokens of prompt, answer and window (- where they are not said), and the words: of OpenAI, OpenRouter, vLLM, SGLang,
# llama.cpp, Anthropic, Gemini, Mistral, xAI, Fireworks, Text Generation Inference, Moonshot, Qwen, Ollama, LM Studio,
# Bedrock, Groq, OpenAI, MiniMax, and of a proxy.
REFUSALS = """
4360 1000 4097
This model's maximum context length is 4097 tokens. However, you requested 5360 tokens (4360 in the messages, 1000 in
the completion). Please reduce the length of the messages or completion.

7500 1500 8192
This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (7000 in the messages, 500 in
the functions, and 1500 in the completion). Please reduce the length.

10341 5 8191
This model's maximum context length is 8191 tokens, however you requested 10346 tokens (10346 in your prompt; 5 for
the completion). Please reduce your prompt; or completion length.

140123 - 128000
This model's maximum context length is 128000 tokens. However, your messages resulted in 140123 tokens. Please reduce
the length of the messages.

509178 - 272000
Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 509178 tokens. Please reduce the
length of the messages.

200000 100 131072
This endpoint's maximum context length is 131072 tokens. However, you requested about 200100 tokens (200000 of text
input, 100 in the output). Please reduce the length of either one.

9001 - 8192
This model's maximum context length is 8192 tokens. However, your request has 9001 input tokens. Please reduce the
length of the input messages.

2104 2000 4096
'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum context length is 4096 tokens and
your request has 2104 input tokens (2000 > 4096 - 2104).

98305 32768 131072
You passed 98305 input tokens and requested 32768 output tokens. However, the model's context length is only 131072
tokens, resulting in a maximum input length of 98304 tokens. Please reduce the length of the input prompt.
(parameter=input_tokens, value=98305)

2049 - 2048
You passed 2049 input tokens and requested 0 output tokens. However, the model's context length is only 2048 tokens,
resulting in a maximum input length of 2048 tokens.

- - 8192
You passed 50001 input characters and requested 0 output tokens. However, the model's context length is only 8192
tokens, resulting in a maximum input length of 8192 tokens.

9000 - 8192
The decoder prompt (length 9000) is longer than the maximum model length of 8192. Make sure that `max_model_len` is no
smaller than the number of text tokens.

516368 - 262144
The input (516368 tokens) is longer than the model's context length (262144 tokens).

7897 64000 64000
Requested token count exceeds the model's maximum context length of 64000 tokens. You requested a total of 71897
tokens: 7897 tokens from the input messages and 64000 tokens for the completion. Please reduce.

- - 131072
Requested token count exceeds the model's maximum context length of 131072 tokens.

265330 - 262144
Input length (265330) exceeds model's maximum context length (262144).

9000 - 8185
Input length (9000 tokens) exceeds the maximum allowed length (8185 tokens). Use a shorter input.

13392 - 8192
request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it

- - -
the request exceeds the available context size, try increasing it

213462 - 200000
prompt is too long: 213462 tokens > 200000 maximum

190000 20000 200000
input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and
try again

1196265 - 1048575
The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).

1196265 - 1048575
The input token count 1196265 exceeds the maximum number of tokens allowed 1048575.

240000 - 131072
Prompt contains 240000 tokens and 0 draft tokens, too large for model with 131072 maximum context length

537812 - 131072
This model's maximum prompt length is 131072 but the request contains 537812 tokens.

9000 - 8191
The prompt is too long: 9000, model maximum context length: 8191

4000 512 4097
Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000 `inputs` tokens and 512
`max_new_tokens`

300000 - 262144
Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)

- - 129024
Range of input length should be [1, 129024]

- - -
prompt too long; exceeded max context length by 100918 tokens

- - -
The number of tokens to keep from the initial prompt is greater than the context length.

- - -
Input is too long for requested model.

- - -
Please reduce the length of the messages or completion.

- - -
Your input exceeds the context window of this model.

- - -
invalid params, context window exceeds limit

3000 - 1024
litellm.BadRequestError: OpenAIException - This model's maximum context length is 1024 tokens. However, your messages
resulted in 3000 tokens.
"""


def refusals() -> Iterator[tuple[str, Counts]]:
    for paragraph in REFUSALS.strip().split("\n\n"):
        counts, _, words = paragraph.partition("\n")
        prompt, answer, window = (None if one == "-" else int(one) for one in counts.split())
        yield words.replace("\n", " "), Counts(prompt, answer, window)


@pytest.mark.parametrize(("message", "counts"), list(refusals()))
@pytest.mark.parametrize("status", [400, 413, 422])
def test_counts_in_the_words_of_an_endpoint_are_read(
    message: str, counts: Counts, status: int
) -> None:
    assert counts_of(*refusal(message, status)) == counts


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"code": "context_length_exceeded"}, Counts()),
        ({"type": "context_length_exceeded"}, Counts()),
        ({"code": "model_context_window_exceeded"}, Counts()),
        (
            {"type": "exceed_context_size_error", "n_prompt_tokens": 900, "n_ctx": 512},
            Counts(900, None, 512),
        ),
        ({"type": "exceed_context_size_error", "n_prompt_tokens": "x", "n_ctx": -1}, Counts()),
    ],
)
def test_code_of_the_error_counts_where_its_words_say_nothing(
    fields: dict[str, Any], counts: Counts
) -> None:
    assert counts_of(*refusal("no", **fields)) == counts


def test_fields_complete_words_without_counts() -> None:
    message = "the request exceeds the available context size. try increasing it"
    found = counts_of(*refusal(message, n_prompt_tokens=900, n_ctx=512))
    assert found == Counts(900, None, 512)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value for 'messages'.",
        "max_tokens is too large: 5000. This model supports at most 4096 completion tokens.",
        "Invalid 'user': string too long. Expected a string with maximum length 64.",
        "Rate limit reached: Limit 6000, Requested 9000 tokens per minute. Please reduce your message size.",
        "",
    ],
)
def test_other_refusals_are_not_taken_for_it(message: str) -> None:
    assert counts_of(*refusal(message)) is None
    assert counts_of(400, message, b"<html>") is None
    assert counts_of(400, message, b"[1]") is None


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_other_statuses_are_what_they_are_whatever_they_say(status: int) -> None:
    too_long = "prompt is too long: 2 tokens > 1 maximum"
    assert counts_of(*refusal(too_long, status, code="context_length_exceeded")) is None


# --- through the core


async def failure(running: Any, call: Any, reply: Reply, *, stream: bool = False) -> LLMCoreError:
    with OpenAIServer(reply) as server:
        async with running(server.base_url) as core:
            with pytest.raises(LLMCoreError) as caught:
                await core.execute(call(), (lambda _chunk: None) if stream else None)
    return caught.value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_error_is_that_of_windows_and_carries_what_was_sent(
    running: Any, call: Any, stream: bool
) -> None:
    error = await failure(running, call, FAULTS["context_length"], stream=stream)
    assert type(error) is ContextLengthExceeded
    assert isinstance(error, ContextWindowExceeded)
    assert isinstance(error, CoreStatusError)
    assert isinstance(error, InvalidCall)
    assert (error.window_tokens, error.prompt_tokens, error.max_tokens) == (128000, None, None)
    assert (error.status, error.core, error.retryable, error.retry_after_s) == (
        400,
        "main",
        False,
        None,
    )
    assert json.loads(error.body)["error"]["code"] == "context_length_exceeded"
    assert error.headers["content-type"] == "application/json"


async def test_text_says_where_and_what_and_the_cure(running: Any, call: Any) -> None:
    text = str(await failure(running, call, FAULTS["context_length"]))
    assert text.startswith("POST http://127.0.0.1:")
    assert "status 400: This model's maximum context length is 128000 tokens. Shorten" in text
    assert text.endswith("kernel.window = 'trim'")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("code", [400, "context_length_exceeded"])
async def test_error_object_in_an_answer_of_status_200_is_the_same_error(
    running: Any, call: Any, stream: bool, code: object
) -> None:
    error = {"message": "prompt is too long: 2 tokens > 1 maximum", "code": code}
    body = json.dumps({"error": error}).encode()
    sent = Reply(body=b"data: " + body + b"\n\n" if stream else body)
    raised = await failure(running, call, sent, stream=stream)
    assert type(raised) is ContextLengthExceeded
    assert (raised.status, raised.prompt_tokens, raised.window_tokens) == (400, 2, 1)
    assert json.loads(raised.body)["error"] == error


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (FAULTS["bad_request"], CoreStatusError),
        (Reply(status=429, content="prompt is too long"), RateLimited),
        (Reply(body=b'{"error": {"message": "no"}}'), CoreProtocolError),
    ],
)
async def test_other_errors_are_what_they_were(
    running: Any, call: Any, reply: Reply, kind: type[LLMCoreError]
) -> None:
    assert type(await failure(running, call, reply)) is kind
