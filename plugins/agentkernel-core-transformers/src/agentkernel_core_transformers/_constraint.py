"""Output held to a JSON schema, or to calls of tools."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
import torch
import xgrammar

from agentkernel.api import InvalidOutputSchema
from agentkernel_core_transformers._constraint_calls import (
    CallForm,
    CompiledCalls,
    ToolCalls,
    compile_calls,
)
from agentkernel_core_transformers._constraint_grammar import Grammar
from agentkernel_core_transformers._constraint_run import CompiledText, ConstrainedRun, compile_text
from agentkernel_core_transformers._constraint_vocabulary import ConstraintVocabulary
from agentkernel_core_transformers._generation import Constraint
from agentkernel_core_transformers._schema import SchemaGrammar, check_schema

__all__ = ["ConstraintCompiler"]

_KEPT = 64
_THREADS = 4

_Compiled = TypeVar("_Compiled", CompiledText, CompiledCalls)


class JsonText:
    """A :class:`Constraint`: the whole answer is one JSON value."""

    def __init__(self, compiled: CompiledText, max_new_tokens: int) -> None:
        self._run = ConstrainedRun(compiled, max_new_tokens)

    @property
    def active(self) -> bool:
        """Always: every token is constrained."""
        return True

    def mask(self, logits: torch.Tensor) -> None:
        """Set the logits of forbidden tokens to minus infinity; see :class:`Constraint`."""
        self._run.mask(logits)

    def accept(self, token: int) -> None:
        """Go on by ``token``; raises ValueError, with nothing changed, where it may not come."""
        self._run.accept(token)


class ConstraintCompiler:
    """Makes the constraints of one model. Thread-safe; a new schema compiles for milliseconds to seconds.

    Args:
        tokenizer: of ``transformers``.
        vocab_size: of the model's logits; what the tokenizer does not know of them is never generated.
        eos_ids: the tokens that end an answer.

    Raises:
        UnsupportedModel: constrained output is not possible with this tokenizer.
    """

    def __init__(self, tokenizer: Any, *, vocab_size: int, eos_ids: Collection[int]) -> None:
        self._vocabulary = ConstraintVocabulary(tokenizer, vocab_size=vocab_size, eos_ids=eos_ids)
        self._compiler = xgrammar.GrammarCompiler(
            self._vocabulary.info, max_threads=_THREADS, cache_enabled=False
        )
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, CompiledText | CompiledCalls] = OrderedDict()

    def json_schema(self, schema: Mapping[str, Any], *, max_new_tokens: int) -> Constraint:
        """The answer is one JSON value of ``schema``, complete within ``max_new_tokens`` tokens.

        Raises:
            InvalidOutputSchema: ``schema`` is invalid, holds what cannot be held to, allows no value, or its shortest
                value is too long.
        """
        compiled = self._compiled(["schema", schema], lambda: self._compile_schema(schema))
        _check_budget(compiled, max_new_tokens)
        return JsonText(compiled, max_new_tokens)

    def json_object(self, *, max_new_tokens: int) -> Constraint:
        """The answer is one JSON object of any kind; otherwise as :meth:`json_schema`."""
        return self.json_schema({"type": "object"}, max_new_tokens=max_new_tokens)

    def tool_calls(
        self,
        tools: Sequence[Mapping[str, Any]],
        *,
        choice: str,
        begin: str,
        end: str,
        parallel: bool,
        max_new_tokens: int,
        separator: str | None = None,
        arguments_key: str = "arguments",
    ) -> Constraint:
        """The answer is free text with calls of ``tools`` (OpenAI's function schemas) in it.

        Args:
            choice: ``auto``: it may call; ``required``: it begins with a call; the name of a tool: with one of that tool.
            begin: see :class:`CallForm`, as for ``end``, ``separator`` and ``arguments_key``.
            parallel: more calls may follow the first.

        Raises:
            InvalidOutputSchema: the parameters of a tool cannot be held to, or a call that must be made is too long.
        """
        must_call = choice != "auto"
        if choice not in ("auto", "required"):
            tools = [tool for tool in tools if tool["function"]["name"] == choice]
        form = CallForm(begin, end, separator, arguments_key)
        compiled = self._compiled(
            ["tools", tools, form, parallel],
            lambda: compile_calls(self._vocabulary, self._compiler, tools, form, parallel=parallel),
        )
        if must_call:
            _check_budget(compiled.text, max_new_tokens)
        return ToolCalls(
            compiled, must_call=must_call, parallel=parallel, max_new_tokens=max_new_tokens
        )

    def _compile_schema(self, schema: Mapping[str, Any]) -> CompiledText:
        check_schema(schema)
        grammar = Grammar()
        root = SchemaGrammar(grammar, schema).root()
        return compile_text(self._vocabulary, self._compiler, grammar, root)

    def _compiled(self, key: object, compile_it: Callable[[], _Compiled]) -> _Compiled:
        """What was compiled for ``key``, the least recently used of which are dropped."""
        try:
            digest = hashlib.sha256(msgspec.json.encode(key)).digest()
        except (TypeError, ValueError) as error:
            raise InvalidOutputSchema(f"it is no JSON: {error}") from error
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
                return cast("_Compiled", found)
        made = compile_it()
        with self._lock:
            self._kept[digest] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def _check_budget(compiled: CompiledText, max_new_tokens: int) -> None:
    if compiled.shortest > max_new_tokens:
        raise InvalidOutputSchema(
            f"the shortest answer takes {compiled.shortest} tokens, but max_tokens is {max_new_tokens}. "
            f"Set max_tokens to {compiled.shortest} or more, or ask for less"
        )
