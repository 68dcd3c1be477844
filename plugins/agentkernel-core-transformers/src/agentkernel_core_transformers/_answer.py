"""One call while it is answered: its generation, and what was shown of the text."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence

import msgspec

from agentkernel.api import Emit, LLMChunk, LLMResponse, ToolRequest, Usage
from agentkernel_core_transformers._generation import Generation, SamplingParams, TokenLogprobs
from agentkernel_core_transformers._payload import Payloads
from agentkernel_core_transformers._request import Request
from agentkernel_core_transformers._text import AnswerText, Vocabulary
from agentkernel_core_transformers._tool_calls import ToolFormat, WrittenCall, parse

__all__ = ["Answer", "Plan"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that determines an answer.

    Attributes:
        request: what was asked for.
        prompt: token ids, those of ``prefix`` included.
        prefix: text with which the answer begins already.
        prefix_ids: its tokens.
        sampling: how tokens are chosen.
        tenant: of the call.
        model: the name that the answer bears.
        created: when the call came, in seconds since 1970.
    """

    request: Request
    prompt: list[int]
    prefix: str
    prefix_ids: list[int]
    sampling: SamplingParams
    tenant: str
    model: str
    created: int


class Answer:
    """Follows the tokens of ``generation``. Used on the event loop; it outlives suspensions.

    ``generation`` may be replaced by one that computes the same tokens from the start: what was shown is not shown
    again.

    Args:
        plan: what is answered.
        generation: where the tokens come from.
        text: the text so far; it has seen no token.
        vocabulary: for log probabilities.
        tool_format: how tool calls are written, None when there are none.
        check: raises InvalidOutput when a whole text is not what was asked for.
    """

    def __init__(
        self,
        plan: Plan,
        generation: Generation,
        text: AnswerText,
        *,
        vocabulary: Vocabulary,
        tool_format: ToolFormat | None,
        check: Callable[[str], None] | None,
    ) -> None:
        self.plan, self.generation = plan, generation
        self._text, self._vocabulary = text, vocabulary
        self._format, self._check = tool_format, check
        self._seen = self._reported = 0

    def show(self, emit: Emit) -> None:
        """Emit what can be shown of the tokens that came since the last time."""
        self._read()
        piece = self._text.take()
        if piece:
            emit(self._chunk(piece))

    def finish(self, emit: Emit | None) -> LLMResponse:
        """The response of the finished generation; what was not shown of it is emitted.

        Raises:
            InvalidOutput: the text is not what was asked for.
        """
        self._read()
        self._text.finish()
        text, stop_at = self._text.text, self._text.stop_at
        whole = text if stop_at is None else text[:stop_at]
        if self._check is not None and stop_at is None:
            self._check(whole)
        content, calls = whole, tuple[WrittenCall, ...]()
        if self._format is not None:
            parsed = parse(whole, self._format, self.plan.request.tool_names)
            content, calls = parsed.content, parsed.calls
        response = self._response(content[len(self.plan.prefix) :], calls)
        if emit is not None:
            self._emit_rest(emit, self._text.take_rest(content), response)
        return response

    def _read(self) -> None:
        tokens = self.generation.tokens
        count = len(tokens)  # the engine may append meanwhile
        if count > self._seen:
            self._text.feed(tokens[self._seen : count])
            self._seen = count

    def _response(self, text: str, calls: Sequence[WrittenCall]) -> LLMResponse:
        generation = self.generation
        response = LLMResponse(
            text=None if calls and not text else text,
            tool_calls=tuple(self._request(index, call) for index, call in enumerate(calls)),
            finish_reason="tool_calls" if calls else generation.finish_reason or "stop",
            usage=Usage(len(generation.prompt), len(generation.tokens)),
            model=self.plan.model,
        )
        if self.plan.request.logprobs is None:
            return response
        raw = self._payloads().completion(response, generation.logprobs)
        return msgspec.structs.replace(response, raw=raw)

    def _request(self, index: int, call: WrittenCall) -> ToolRequest:
        """The id is the same whenever the same answer is generated: also after a restart."""
        assert self._format is not None
        digits = self._digest(index)[: self._format.id_digits]
        return ToolRequest(
            id=self._format.id_prefix + digits, name=call.name, arguments=call.arguments
        )

    def _digest(self, index: int) -> str:
        generation = self.generation
        content = array("q", [*generation.prompt, -1, *generation.tokens, -1, index])
        return hashlib.blake2b(content.tobytes(), digest_size=12).hexdigest()

    def _payloads(self) -> Payloads:
        plan = self.plan
        digest = hashlib.blake2b(array("q", plan.prompt).tobytes(), digest_size=12).hexdigest()
        return Payloads(self._vocabulary, plan.model, f"chatcmpl-{digest}", plan.created)

    def _chunk(self, piece: str) -> LLMChunk:
        if self.plan.request.logprobs is None:
            return LLMChunk(piece)
        return LLMChunk(piece, self._payloads().chunk(piece, self._new_logprobs()))

    def _new_logprobs(self) -> list[TokenLogprobs]:
        new = self.generation.logprobs[self._reported : self._seen]
        self._reported += len(new)
        return new

    def _emit_rest(self, emit: Emit, piece: str, response: LLMResponse) -> None:
        if piece:
            emit(self._chunk(piece))
        if response.raw is not None:  # a stream of payloads is ended by a payload
            last = self._payloads().last_chunk(response, self._new_logprobs())
            emit(LLMChunk(raw=last))
