"""Ready scripts for ``OpenAIServer``.

A script is called on the server's loop, one request at a time, so it may keep state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentkernel.testing._http import Request
from agentkernel.testing._openai_wire import Reply

Script = Callable[[Request], Reply]

_RATE_LIMIT = "Rate limit reached for requests"
_TOO_LONG = "This model's maximum context length is 128000 tokens."

FAULTS: Mapping[str, Reply] = {
    "bad_request": Reply(status=400, content="Invalid value for 'messages'."),
    "context_length": Reply(status=400, content=_TOO_LONG, error_code="context_length_exceeded"),
    "cut": Reply(content="this answer never ends", cut_after_chunks=3),
    "cut_cleanly": Reply(content="this answer never ends", cut_after_chunks=3, cut_cleanly=True),
    "empty_choices": Reply(
        body=b'{"id":"chatcmpl-agentkernel","object":"chat.completion","created":0,"model":"m","choices":[]}'
    ),
    "forbidden": Reply(status=403, content="You are not allowed to use this model."),
    "hang": Reply(hang=True),
    "html": Reply(
        status=502, body=b"<html>Bad Gateway</html>", headers={"Content-Type": "text/html"}
    ),
    "malformed_json": Reply(body=b'{"id": "chatcmpl-agentkernel", "choices": [{'),
    "overloaded": Reply(
        status=503, content="The engine is currently overloaded.", headers={"Retry-After": "1"}
    ),
    "rate_limit": Reply(
        status=429,
        content=_RATE_LIMIT,
        error_code="rate_limit_exceeded",
        headers={"Retry-After": "1"},
    ),
    "reset": Reply(cut_after_chunks=0),
    "server_error": Reply(
        status=500, content="The server had an error while processing your request."
    ),
    "unauthorized": Reply(
        status=401, content="Incorrect API key provided.", error_code="invalid_api_key"
    ),
}
"""The named faults that ``faults`` takes."""


def fixed(text: str, *, delay_s: float = 0.0) -> Reply:
    """Always ``text``: the fastest mode, since nothing but the model's name is read from a request."""
    return Reply(content=text, delay_s=delay_s)


def echo() -> Script:
    """The last user message's text."""
    return lambda request: Reply(content=last_user_message(request))


def sequence(replies: Iterable[Reply | str], *, then: Reply | None = None) -> Script:
    """Each reply once, in order of arrival; past the end ``then``, or status 500 that says so."""
    rest = iter([_as_reply(reply) for reply in replies])
    past = then or Reply(
        status=500,
        content="sequence() has no reply left: give it more, or then=",
        error_code="script_exhausted",
    )
    return lambda _request: next(rest, past)


def faults(plan: Iterable[str | Reply], *, then: Reply | None = None) -> Script:
    """The faults of ``plan`` in order of arrival (names of ``FAULTS``, ``"ok"``, or replies), past its end ``then``.

    Raises:
        ValueError: a name is unknown.
    """
    good = then or Reply(content="ok")
    named = {**FAULTS, "ok": good}
    steps = list(plan)
    unknown = [step for step in steps if isinstance(step, str) and step not in named]
    if unknown:
        raise ValueError(
            f"faults(): unknown fault {unknown[0]!r}; expected one of {', '.join(sorted(named))}"
        )
    return sequence([named[step] if isinstance(step, str) else step for step in steps], then=good)


def by_last_user_message(
    mapping: Mapping[str, Reply | str], *, default: Reply | str | None = None
) -> Script:
    """The reply under the last user message's text; else ``default``, or status 500 that quotes the message."""
    replies = {text: _as_reply(reply) for text, reply in mapping.items()}

    def script(request: Request) -> Reply:
        text = last_user_message(request)
        reply = replies.get(text) or (None if default is None else _as_reply(default))
        return reply or Reply(
            status=500,
            content=f"by_last_user_message() has no reply for {text!r}",
            error_code="script_unmatched",
        )

    return script


def last_user_message(request: Request) -> str:
    """The text of the last message whose role is ``user``; ``""`` where there is none."""
    for message in reversed(request.payload.get("messages") or []):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""


def _as_reply(reply: Reply | str) -> Reply:
    return Reply(content=reply) if isinstance(reply, str) else reply
