"""From a call to the generation that answers it, and from a saved one back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec

from agentkernel.api import ContextWindowExceeded, InvalidCall, InvalidOutput, LLMCall
from agentkernel_core_transformers._answer import Answer, Plan
from agentkernel_core_transformers._chat import ChatTemplate
from agentkernel_core_transformers._generation import Constraint, Generation, SamplingParams
from agentkernel_core_transformers._request import Defaults, OutputForm, Request, parse_request
from agentkernel_core_transformers._text import AnswerText, StopWatch, Vocabulary
from agentkernel_core_transformers._tool_calls import ToolFormat

if TYPE_CHECKING:
    from agentkernel_core_transformers._constraint import ConstraintCompiler

__all__ = ["Preparation"]


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """Prepares answers. Everything here computes for milliseconds and is safe from any number of threads.

    Attributes:
        names: under which the model is served; answers bear the one that their call uses, or the first.
        window_tokens: tokens of prompt and answer together.
        eos_ids: tokens that end an answer.
        max_new_tokens: of calls that do not say.
        tool_format: how the model writes tool calls, None when it has no way to.
        seed: a seed for a call that brings none.
        now: seconds since 1970.
    """

    names: tuple[str, ...]
    chat: ChatTemplate
    vocabulary: Vocabulary
    compiler: ConstraintCompiler
    defaults: Defaults
    window_tokens: int
    eos_ids: frozenset[int]
    max_new_tokens: int
    tool_format: ToolFormat | None
    seed: Callable[[], int]
    now: Callable[[], float]

    def begin(self, call: LLMCall) -> Answer:
        """The answer to ``call``, with nothing generated.

        Raises:
            InvalidCall: the call cannot be answered as it is.
        """
        plan = self._plan(call)
        return self._answer(plan, self._generation(plan))

    def again(self, answer: Answer) -> None:
        """Let ``answer`` be generated once more, from its first token; its tokens will be the same."""
        answer.generation = self._generation(answer.plan)

    def restore(self, call: LLMCall, generation: Generation) -> Answer | None:
        """The answer to ``call`` that goes on with a loaded ``generation``, or None when that answers something else."""
        plan = self._plan(call)
        saved = generation.sampling
        seeded = plan.request.seed is not None
        sampling = (
            plan.sampling if seeded else msgspec.structs.replace(plan.sampling, seed=saved.seed)
        )
        if generation.prompt != plan.prompt or saved != sampling:
            return None
        plan = msgspec.structs.replace(plan, sampling=sampling)
        fresh = self._generation(plan)
        try:
            _replay(fresh, generation.tokens)
        except ValueError:  # they were generated under another constraint
            return None
        generation.constraint, generation.watch = fresh.constraint, fresh.watch
        generation.tenant = plan.tenant
        return self._answer(plan, generation)

    def _plan(self, call: LLMCall) -> Plan:
        model = call.model or self.names[0]
        if model not in self.names:
            served = ", ".join(self.names)
            raise InvalidCall(f"this core serves {served}, not {model!r}. Add it to `models`")
        request = parse_request(call, self.defaults)
        if request.tools and self.tool_format is None:
            raise InvalidCall(
                f"tools: the chat template of {model!r} has no form for tool calls that this core can read. "
                "Use a model whose template has (Hermes, Qwen, Mistral, Llama 3), or set tool_format"
            )
        prompt = self.chat.prompt_ids(call.messages, request.tools, request.template_kwargs)
        prefix_ids = self.chat.encode(call.prefix) if call.prefix else []
        prompt = prompt + prefix_ids
        if not prompt:
            raise InvalidCall("messages: the chat template makes an empty prompt of them")
        return Plan(
            request=request,
            prompt=prompt,
            prefix=call.prefix,
            prefix_ids=prefix_ids,
            sampling=self._sampling(request, len(prompt)),
            tenant=call.context.tenant,
            model=model,
            created=int(self.now()),
        )

    def _sampling(self, request: Request, prompt_tokens: int) -> SamplingParams:
        room = self.window_tokens - prompt_tokens
        wanted = request.max_new_tokens or min(self.max_new_tokens, max(room, 1))
        if wanted > room:
            raise ContextWindowExceeded(
                prompt_tokens=prompt_tokens, max_tokens=wanted, window_tokens=self.window_tokens
            )
        endless = request.ignore_eos and not request.tools and request.output is None
        return SamplingParams(
            max_new_tokens=wanted,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            min_p=request.min_p,
            repetition_penalty=request.repetition_penalty,
            seed=self.seed() if request.seed is None else request.seed,
            logprobs=request.logprobs,
            eos_ids=request.stop_ids if endless else self.eos_ids | request.stop_ids,
        )

    def _generation(self, plan: Plan) -> Generation:
        watch = StopWatch(self._text(plan)) if plan.request.stops else None
        return Generation(
            plan.prompt,
            plan.sampling,
            tenant=plan.tenant,
            constraint=self._constraint(plan),
            watch=watch,
        )

    def _answer(self, plan: Plan, generation: Generation) -> Answer:
        request = plan.request
        return Answer(
            plan,
            generation,
            self._text(plan),
            vocabulary=self.vocabulary,
            tool_format=self._format(request),
            check=None if request.tools else _check(request.output),
        )

    def _format(self, request: Request) -> ToolFormat | None:
        return self.tool_format if request.tools else None

    def _text(self, plan: Plan) -> AnswerText:
        tool_format = self._format(plan.request)
        shown: Iterable[str] = () if tool_format is None else tool_format.markers
        return AnswerText(
            self.vocabulary,
            hidden=self.vocabulary.hidden_ids(frozenset(shown)),
            prefix=plan.prefix,
            stops=plan.request.stops,
            tool_format=tool_format,
        )

    def _constraint(self, plan: Plan) -> Constraint | None:
        """What holds the answer to its form; it has accepted the prefix."""
        budget = plan.sampling.max_new_tokens + len(plan.prefix_ids)
        constraint = self._compiled(plan.request, budget)
        if constraint is not None:
            try:
                for token in plan.prefix_ids:
                    constraint.accept(token)
            except ValueError as error:
                raise InvalidCall(
                    f"prefix: the text {plan.prefix!r} does not begin an answer of the form that the call asks for"
                ) from error
        return constraint

    def _compiled(self, request: Request, budget: int) -> Constraint | None:
        tool_format = self._format(request)
        if tool_format is not None:
            return self.compiler.tool_calls(
                request.tools,
                choice=request.tool_name or request.tool_choice,
                begin=tool_format.begin,
                end=tool_format.end,
                separator=tool_format.separator,
                arguments_key=tool_format.arguments_key,
                parallel=request.parallel,
                max_new_tokens=budget,
            )
        if request.output is None:
            return None
        if request.output.schema is None:
            return self.compiler.json_object(max_new_tokens=budget)
        return self.compiler.json_schema(request.output.schema, max_new_tokens=budget)


def _replay(generation: Generation, tokens: Iterable[int]) -> None:
    """Bring constraint and watch to where they were after ``tokens``."""
    for token in tokens:
        if generation.constraint is not None:
            generation.constraint.accept(token)
        if generation.watch is not None:
            generation.watch(token)


def _check(output: OutputForm | None) -> Callable[[str], None] | None:
    """The last guard: constrained output is of its form, and if it ever is not, the caller learns it."""
    if output is None:
        return None
    schema = {"type": "object"} if output.schema is None else output.schema
    validator = jsonschema_rs.validator_for(dict(schema), retriever=_refuse)

    def check(text: str) -> None:
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise InvalidOutput(text, expected="JSON", problem=str(error)) from error
        for problem in validator.iter_errors(value):
            raise InvalidOutput(text, expected="of the JSON schema", problem=problem.message)

    return check


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri}: references to other documents are not followed")
