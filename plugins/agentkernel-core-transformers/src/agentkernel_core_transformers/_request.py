"""The request of a call: OpenAI's parameters, checked, and refused where this core cannot do what they ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from agentkernel.api import InvalidCall, LLMCall

__all__ = ["Defaults", "OutputForm", "Request", "parse_request"]

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]

IGNORED = frozenset(
    {
        "extra_headers",
        "extra_query",
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "timeout",
        "user",
    }
)
"""They change nothing about an answer of a local model."""

_OMITTED = frozenset({"NotGiven", "Omit"})
"""Names of the openai client's types for "leave this out"; it is not imported for them."""

_RESERVED = frozenset(
    {
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "documents",
        "messages",
        "return_dict",
        "tokenize",
        "tools",
    }
)
"""Arguments of the chat template that are the core's to give."""

_FORMS = {
    "response_format": (
        "{'type': 'text'}, {'type': 'json_object'} or "
        "{'type': 'json_schema', 'json_schema': {'name': ..., 'schema': {...}}}"
    ),
    "tool_choice": "'none', 'auto', 'required' or {'type': 'function', 'function': {'name': ...}}",
}
"""For messages."""


class _TextFormat(msgspec.Struct, tag="text", frozen=True):
    pass


class _JsonObject(msgspec.Struct, tag="json_object", frozen=True):
    pass


class _NamedSchema(msgspec.Struct, frozen=True):
    name: str
    schema: dict[str, Any] = msgspec.field(default_factory=dict)
    strict: bool | None = None
    description: str | None = None


class _JsonSchema(msgspec.Struct, tag="json_schema", frozen=True):
    json_schema: _NamedSchema


class _Function(msgspec.Struct, frozen=True):
    name: _Text
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct, frozen=True):
    type: Literal["function"]
    function: _Function


class _FunctionChoice(msgspec.Struct, frozen=True):
    name: _Text


class _Choice(msgspec.Struct, frozen=True):
    type: Literal["function"]
    function: _FunctionChoice


class _Params(msgspec.Struct, frozen=True):
    """What the core takes, by its name in OpenAI's API, or in vLLM's where OpenAI has none."""

    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    min_p: _Share | None = None
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0)] | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    logit_bias: dict[str, float] | None = None
    n: int | None = None
    stop: str | list[_Text] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    response_format: _TextFormat | _JsonObject | _JsonSchema | None = None
    tool_choice: Literal["none", "auto", "required"] | _Choice | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    stream_options: dict[str, Any] | None = None


class OutputForm(msgspec.Struct, frozen=True):
    """What the text of an answer must be: JSON of ``schema``; None, any JSON object."""

    schema: Mapping[str, Any] | None


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling where a call says nothing."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    @classmethod
    def of(cls, generation_config: Any) -> Defaults:
        """What the model's own ``generate`` does: greedy unless its ``generation_config.json`` says ``do_sample``."""

        def given(name: str, otherwise: Any) -> Any:
            value = getattr(generation_config, name, None)
            return otherwise if value is None else value

        penalty = float(given("repetition_penalty", 1.0))
        if not given("do_sample", False):
            return cls(repetition_penalty=penalty)
        return cls(
            temperature=float(given("temperature", 1.0)),
            top_p=float(given("top_p", 1.0)),
            top_k=int(given("top_k", 0)),
            min_p=float(given("min_p", 0.0)),
            repetition_penalty=penalty,
        )


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request. ``max_new_tokens`` and ``seed`` are None where the call says nothing.

    Attributes:
        logprobs: None, or how many of the most probable tokens are wanted beside the chosen one.
        stops: texts before which the answer ends.
        output: the form of the text, None when it is free.
        tools: the tools that the model may call; empty when it must not.
        tool_choice: ``auto``, ``required``, or with ``tool_name`` that tool.
    """

    max_new_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    seed: int | None
    logprobs: int | None
    stops: tuple[str, ...]
    stop_ids: frozenset[int]
    ignore_eos: bool
    output: OutputForm | None
    tools: tuple[Mapping[str, Any], ...]
    tool_choice: Literal["auto", "required"]
    tool_name: str | None
    parallel: bool
    template_kwargs: Mapping[str, Any]

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The names of ``tools``."""
        return tuple(tool["function"]["name"] for tool in self.tools)


def parse_request(call: LLMCall, defaults: Defaults) -> Request:
    """The request of ``call``.

    Raises:
        InvalidCall: a parameter is unknown, has a wrong type or value, or asks for what this core cannot do.
    """
    params = _params(call)
    _refuse_unsupported(params)
    choice, name = _tool_choice(params.tool_choice)
    tools = () if choice == "none" else _tools(call)
    _check_tools(tools, choice, name, params)

    def chosen(value: Any, otherwise: Any) -> Any:
        return otherwise if value is None else value

    return Request(
        max_new_tokens=params.max_completion_tokens or params.max_tokens,
        temperature=chosen(params.temperature, defaults.temperature),
        top_p=chosen(params.top_p, defaults.top_p),
        top_k=max(chosen(params.top_k, defaults.top_k), 0),
        min_p=chosen(params.min_p, defaults.min_p),
        repetition_penalty=chosen(params.repetition_penalty, defaults.repetition_penalty),
        seed=params.seed,
        logprobs=(params.top_logprobs or 0) if params.logprobs else None,
        stops=_stops(params.stop),
        stop_ids=frozenset(params.stop_token_ids or ()),
        ignore_eos=bool(params.ignore_eos),
        output=_output(params.response_format),
        tools=tools,
        tool_choice="required" if choice == "required" else "auto",
        tool_name=name,
        parallel=params.parallel_tool_calls is not False,
        template_kwargs=_template_kwargs(params.chat_template_kwargs or {}),
    )


def _params(call: LLMCall) -> _Params:
    fields = dict(call.params)
    extra = fields.pop("extra_body", None)
    if isinstance(extra, Mapping):
        fields.update(extra)
    fields = {
        name: value
        for name, value in fields.items()
        if name not in IGNORED and type(value).__name__ not in _OMITTED
    }
    known = _Params.__struct_fields__
    for name in fields:
        if name not in known:
            raise InvalidCall(
                f"parameter {name!r} is not known to this core. It takes {', '.join(sorted(known))}"
            )
    try:
        return msgspec.convert(fields, _Params)
    except msgspec.ValidationError as error:
        raise InvalidCall(_explained(str(error), fields)) from error


def _explained(problem: str, found: Any, where: str = "") -> str:
    """A message of msgspec (``Expected `int`, got `str` - at `$.top_k```) with the place first, and what was found."""
    problem, _, path = problem.partition(" - at `$")
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        where += f"[{index}]" if index else f".{key}" if where else key
        found = found[int(index) if index else key]
    shown = repr(found)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    text = f"{where}: {problem[:1].lower()}{problem[1:]}; found {shown}"
    form = _FORMS.get(where.partition(".")[0])
    return f"{text}. It is {form}" if form else text


def _refuse_unsupported(params: _Params) -> None:
    for name in ("frequency_penalty", "presence_penalty"):
        if getattr(params, name):
            raise InvalidCall(f"{name}: this core has none; use repetition_penalty, or leave it 0")
    if params.logit_bias:
        raise InvalidCall("logit_bias: this core has none; leave it empty")
    if params.n not in (None, 1):
        raise InvalidCall(f"n: expected 1, found {params.n}. Make one call for each answer")
    if params.top_logprobs is not None and not params.logprobs:
        raise InvalidCall("top_logprobs: it needs logprobs = true")


def _tool_choice(choice: str | _Choice | None) -> tuple[str, str | None]:
    if isinstance(choice, _Choice):
        return "required", choice.function.name
    return choice or "auto", None


def _tools(call: LLMCall) -> tuple[Mapping[str, Any], ...]:
    tools = tuple(call.tools or ())
    for position, tool in enumerate(tools):
        try:
            msgspec.convert(tool, _Tool)
        except msgspec.ValidationError as error:
            raise InvalidCall(_explained(str(error), tool, f"tools[{position}]")) from error
    return tools


def _check_tools(
    tools: tuple[Mapping[str, Any], ...], choice: str, name: str | None, params: _Params
) -> None:
    names = [tool["function"]["name"] for tool in tools]
    if choice == "required" and not tools:
        raise InvalidCall("tool_choice: it asks for a tool call, but the call has no tools")
    if name is not None and name not in names:
        raise InvalidCall(f"tool_choice: expected one of {names}, found {name!r}")
    if tools and choice == "auto" and _output(params.response_format) is not None:
        raise InvalidCall(
            "response_format: this core cannot hold an answer that may call tools to a JSON format too. "
            "Set tool_choice to 'required' or 'none', or leave out one of both"
        )


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > 16:
        raise InvalidCall(f"stop: expected at most 16 texts, found {len(stops)}")
    return tuple(one for one in stops if one)


def _output(response_format: _TextFormat | _JsonObject | _JsonSchema | None) -> OutputForm | None:
    if isinstance(response_format, _JsonSchema):
        return OutputForm(response_format.json_schema.schema)
    return OutputForm(None) if isinstance(response_format, _JsonObject) else None


def _template_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    for name in kwargs:
        if name in _RESERVED:
            raise InvalidCall(f"chat_template_kwargs.{name}: it is not for calls to set")
    return kwargs
