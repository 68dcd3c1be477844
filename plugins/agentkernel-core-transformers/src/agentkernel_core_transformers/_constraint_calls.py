"""Answers with tool calls: free text, and from the marker of a call on the JSON of that call."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import torch
import xgrammar

from agentkernel_core_transformers._closing import Progress
from agentkernel_core_transformers._constraint_expressions import Expression
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._constraint_run import CompiledText, ConstrainedRun, compile_text
from agentkernel_core_transformers._constraint_vocabulary import ConstraintVocabulary
from agentkernel_core_transformers._schema import SchemaGrammar, check_schema

__all__ = ["CallForm", "CompiledCalls", "ToolCalls", "compile_calls"]


class CallForm(NamedTuple):
    """How a chat template writes tool calls.

    Attributes:
        begin: the text before a call. What stands in it before the first white space marks a call wherever it comes
            up; without any, an answer that begins with a brace is a call.
        end: the text after a call.
        separator: the text between the calls of one block, which has an end; None when each call has a begin and an
            end of its own.
        arguments_key: the key of the arguments.
    """

    begin: str
    end: str
    separator: str | None = None
    arguments_key: str = "arguments"

    @property
    def marker(self) -> str:
        """The text that marks a call in free text; empty when only a brace at the beginning does."""
        return self.begin.split(maxsplit=1)[0] if self.begin.strip() else ""


class _Entry(NamedTuple):
    """A token of free text that completes the marker, and how many tokens the call then takes at least."""

    distance: int
    token: int


class CompiledCalls(NamedTuple):
    """Calls of some tools, ready to constrain answers. Immutable.

    Attributes:
        text: one block of calls, from its marker to its end.
        marker: see :attr:`CallForm.marker`.
        marker_token: the special token that is the marker, or None.
        entries: for each number of the marker's bytes that the text so far ends with, what a token may complete,
            by distance; a token that completes it badly has the distance ``UNREACHABLE``.
    """

    text: CompiledText
    marker: bytes
    marker_token: int | None
    entries: tuple[tuple[tuple[int, ...], torch.Tensor], ...]


def compile_calls(
    vocabulary: ConstraintVocabulary,
    compiler: xgrammar.GrammarCompiler,
    tools: Sequence[Mapping[str, Any]],
    form: CallForm,
    *,
    parallel: bool,
) -> CompiledCalls:
    """Compile calls of ``tools``, OpenAI's function schemas.

    Raises:
        InvalidOutputSchema: the parameters of a tool cannot be held to.
    """
    grammar = Grammar()
    call = grammar.choice([_call(grammar, tool, index, form) for index, tool in enumerate(tools)])
    parts = [
        _marked(grammar, vocabulary, form.begin.lstrip()),
        call,
        _marked(grammar, vocabulary, form.end),
    ]
    if parallel and form.separator is not None and form.end:
        more = grammar.joined(grammar.literal(form.separator), call)
        parts.insert(2, grammar.repeat(more, 0, None))
    root = grammar.joined(*parts)
    text = compile_text(vocabulary, compiler, grammar, root)
    marker = form.marker.encode()
    token = vocabulary.special_ids.get(form.marker)
    last = marker[-1:] or b"{"
    completing = {
        index: one for index, one in enumerate(vocabulary.texts) if one is not None and last in one
    }
    entries = tuple(
        _entries(text, marker, token, marker[:held], completing)
        for held in range(max(len(marker), 1))
    )
    return CompiledCalls(text, marker, token, entries)


def _call(grammar: Grammar, tool: Mapping[str, Any], index: int, form: CallForm) -> Expression:
    function = tool["function"]
    where = f"/tools/{index}/function/parameters"
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    check_schema(parameters, where)
    arguments = SchemaGrammar(grammar, parameters, where).root()
    head = f'{{"name": {_json(function["name"])}, {_json(form.arguments_key)}: '
    return grammar.joined(grammar.literal(head), arguments, grammar.literal("}"))


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _marked(grammar: Grammar, vocabulary: ConstraintVocabulary, text: str) -> Expression:
    """``text``, in which the vocabulary's special tokens may stand for the text they are shown as."""
    for name, token in sorted(vocabulary.special_ids.items(), key=lambda one: -len(one[0])):
        before, found, after = text.partition(name)
        if found:
            marker = grammar.choice([grammar.special(token), grammar.literal(name)])
            return grammar.joined(
                _marked(grammar, vocabulary, before), marker, _marked(grammar, vocabulary, after)
            )
    return grammar.literal(text)


def _entries(
    text: CompiledText,
    marker: bytes,
    special: int | None,
    begun: bytes,
    completing: Mapping[int, bytes],
) -> tuple[tuple[int, ...], torch.Tensor]:
    """The tokens that complete ``marker`` after ``begun``, a part of it, the shortest calls first."""
    progress = Progress(text.root, text.units, text.vocabulary)
    found = []
    if special is not None:
        found.append(_Entry(progress.distance_of(progress.after(special)), special))
    for token, written in completing.items():
        called = _called(begun + written, marker)
        if called is not None:
            found.append(_Entry(progress.distance_of(progress.after_units(called)), token))
    found.sort()
    tokens = torch.tensor([one.token for one in found], dtype=torch.int64)
    return tuple(one.distance for one in found), tokens


def _called(text: bytes, marker: bytes) -> bytes | None:
    """The part of free ``text`` that is a call, None when none begins in it."""
    if not marker:
        begin = text.lstrip()
        return begin if begin.startswith(b"{") else None
    at = text.find(marker)
    return None if at < 0 else text[at:]


class ToolCalls:
    """A :class:`Constraint`: free text and calls. A call that could not be closed within the budget is not begun.

    Args:
        must_call: the answer begins with a call.
        parallel: text and more calls may follow a call; otherwise the answer ends with it.
    """

    def __init__(
        self, compiled: CompiledCalls, *, must_call: bool, parallel: bool, max_new_tokens: int
    ) -> None:
        self._compiled = compiled
        self._vocabulary = compiled.text.vocabulary
        self._parallel = parallel
        self._remaining = max_new_tokens
        self._call = ConstrainedRun(compiled.text, max_new_tokens) if must_call else None
        self._ended = False
        self._tail = b""
        self._held: int | None = 0

    @property
    def active(self) -> bool:
        """Whether some token may not come next."""
        return self._call is not None or self._ended or len(self._too_late()) > 0

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits of forbidden tokens to minus infinity; see :class:`Constraint`."""
        if self._call is not None:
            self._call.mask(logits)
        elif self._ended:
            kept = logits[self._vocabulary.ends]
            logits.fill_(-torch.inf)
            logits[self._vocabulary.ends] = kept
        else:
            logits[self._too_late().to(logits.device)] = -torch.inf

    def _too_late(self) -> torch.Tensor:
        """The tokens that would begin a call that cannot be closed, or no call of any tool."""
        if self._held is None:
            return _NONE
        distances, tokens = self._compiled.entries[self._held]
        return tokens[bisect_right(distances, self._remaining - 1) :]

    def accept(self, token: int) -> None:
        """Go on by ``token``.

        Raises:
            ValueError: it may not come here. Nothing has changed.
        """
        if self._call is not None:
            self._call.accept(token)
        elif token in self._vocabulary.eos_ids:
            return
        elif self._ended:
            raise ValueError(f"token {token} follows the end of the answer")
        else:
            self._call = self._begun(token)
        self._remaining -= 1
        if self._call is not None and self._call.complete:
            self._call = None
            self._ended = not self._parallel or not self._compiled.marker
            self._tail, self._held = b"", 0

    def _begun(self, token: int) -> ConstrainedRun | None:
        """The call that ``token`` begins in free text, if it does."""
        compiled = self._compiled
        if token == compiled.marker_token:
            call = ConstrainedRun(compiled.text, self._remaining)
            call.accept(token)
            return call
        written = self._vocabulary.texts[token]
        if written is None or self._held is None:
            self._tail, self._held = b"", 0 if compiled.marker else None
            return None
        text = self._tail + written
        called = _called(text, compiled.marker)
        if called is not None:
            call = ConstrainedRun(compiled.text, self._remaining - 1)
            call.accept_text(called)
            return call
        self._tail, self._held = self._held_back(text)
        return None

    def _held_back(self, text: bytes) -> tuple[bytes, int | None]:
        """The end of ``text`` that may be the beginning of a marker, and how much of the marker that is."""
        marker = self._compiled.marker
        if not marker:
            return b"", None if text.strip() else 0
        for held in range(min(len(marker) - 1, len(text)), 0, -1):
            if text.endswith(marker[:held]):
                return marker[:held], held
        return b"", 0


_NONE = torch.empty(0, dtype=torch.int64)
